"""Teachers of whom only the K largest probabilities were kept, and what may be made of them.

Let p be the teacher's law, sorted, P_K = Σ_{i≤K} p_i, and Q_K the student's mass on the same classes. The
bare sum Σ_{i≤K} p_i ln(p_i/q_i) is no divergence: it goes below zero. With the rest as one more class,

    KL_K = Σ_{i≤K} p_i ln(p_i/q_i) + (1−P_K) ln((1−P_K)/(1−Q_K)),   0 ≤ KL_K ≤ KL_{K+1} ≤ KL(p‖q),

with equality iff p/q is constant on the rest (data processing; derived here). Renormalised to the K classes
it is ≥ 0, but does not see what the student gives to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses.divergences import ACCURATE_TERMS
from kdtheory.types import told, widened
from kdtheory.validate import check_at_least, check_logits, check_one_of, check_positive

__all__ = ["Tail", "TopK", "top_k", "top_k_divergence"]

Tail = Literal["bucket", "renormalised", "bare"]
"""The treatment of the classes that were not kept: one class more; nothing, with the K renormalised on both
sides; or nothing at all, which gives no divergence."""
_TAILS = ("bucket", "renormalised", "bare")
_ROUNDING = 1e-3


@door
@dataclass(frozen=True, eq=False)
class TopK:
    """The K largest probabilities of a teacher, as those store them who cannot keep a whole vocabulary.

    Args:
        log_probs: ln p_i of the classes kept, at `temperature`, normalised over *all* classes.
        indices: which classes, each at most once a row.
        temperature: T at which they were computed; a truncated law cannot be softened afterwards.

    Raises:
        ValueError: shapes differ, no class is kept, a log-probability is positive or NaN, their sum exceeds 1
            by more than half precision explains, or an index is repeated or negative.
    """

    log_probs: Float[Tensor, "*batch kept"]
    indices: Int[Tensor, "*batch kept"]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        if self.log_probs.shape != self.indices.shape or self.log_probs.ndim < 1:
            raise ValueError(
                f"log_probs has shape {tuple(self.log_probs.shape)} and indices "
                f"{tuple(self.indices.shape)}; give both as … × K"
            )
        if self.indices.is_floating_point() or bool((self.indices < 0).any()):
            raise ValueError("indices must be class numbers ≥ 0")
        check_at_least("the number of classes kept", self.kept, 1)
        (logs,) = widened(self.log_probs)
        if bool(torch.isnan(logs).any()) or bool((logs.exp().sum(-1) > 1 + _ROUNDING).any()):
            raise ValueError(
                "log_probs are no log-probabilities: NaN, or a row whose probabilities sum to more than 1; "
                "give log_softmax over the whole vocabulary, then take the largest"
            )
        ordered = self.indices.sort(-1).values
        if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
            raise ValueError("indices repeat a class in a row; give each class once")

    @property
    def kept(self) -> int:
        """K."""
        return self.log_probs.shape[-1]


@door
def top_k(logits: Float[Tensor, "*batch k"], /, *, kept: int, temperature: float = 1.0) -> TopK:
    """The `kept` largest probabilities of φ_T(z), with their log-probabilities under the whole law.

    Raises:
        ValueError: K is not from 1 to the number of classes, T ≤ 0, or the logits are unusable.
    """
    check_logits("logits", logits)
    check_at_least("kept", kept, 1)
    check_positive("temperature", temperature)
    if kept > logits.shape[-1]:
        raise ValueError(f"kept = {kept} is more than the {logits.shape[-1]} classes")
    (wide,) = widened(logits, temperature=temperature)
    found = (wide / temperature).log_softmax(-1).topk(kept, -1)
    return TopK(told(found.values, logits), found.indices, temperature)


@door
def top_k_divergence(
    student_logits: Float[Tensor, "*batch k"],
    teacher: TopK,
    /,
    *,
    tail: Tail = "bucket",
    reverse: bool = False,
) -> Float[Tensor, "*batch"]:
    """KL of what was kept of the teacher and the student at the teacher's temperature, by `tail`.

    Args:
        student_logits: over the whole vocabulary, not yet divided by the temperature.
        teacher: what was kept.
        tail: "bucket" adds the rest as one class (0 ≤ KL_K ≤ KL); "renormalised" is KL between both laws
            given that the class is among the K (≥ 0, blind to the rest); "bare" is Σ_{i≤K} p_i ln(p_i/q_i).
        reverse: KL(student‖teacher) instead; not for the bare sum. By "bucket" it is +∞ where nothing is left
            of the teacher's mass, by rounding or not, and something of the student's.

    Raises:
        ValueError: batch shapes differ, an index is outside the vocabulary, an unknown tail.

    >>> z = torch.tensor([0.5, 0.3, 0.2]).log()
    >>> student = torch.tensor([0.2, 0.4, 0.4]).log()
    >>> whole = 0.5 * torch.tensor(0.5 / 0.2).log() + 0.5 * torch.tensor(0.5 / 0.8).log()
    >>> torch.isclose(top_k_divergence(student, top_k(z, kept=1)), whole)
    tensor(True)
    """
    check_logits("student_logits", student_logits)
    check_kept(student_logits, teacher, tail, reverse)
    (wide,) = widened(student_logits, temperature=teacher.temperature)
    return told(kept_divergence(wide / teacher.temperature, teacher, tail, reverse), student_logits)


def check_kept(student_logits: Tensor, teacher: TopK, tail: Tail, reverse: bool, /) -> None:
    """Check that the kept values and indices fit the student, and that the tail is one of the three."""
    check_one_of("tail", tail, _TAILS)
    if reverse and tail == "bare":
        raise ValueError("reverse = True has no bare form; take tail = 'bucket' or 'renormalised'")
    if student_logits.shape[:-1] != teacher.indices.shape[:-1]:
        raise ValueError(
            f"student_logits has examples {tuple(student_logits.shape[:-1])} and the teacher "
            f"{tuple(teacher.indices.shape[:-1])}; give the same"
        )
    if int(teacher.indices.max()) >= student_logits.shape[-1]:
        raise ValueError(
            f"indices reach {int(teacher.indices.max())}; student_logits has "
            f"{student_logits.shape[-1]} classes"
        )


def kept_divergence(softened: Tensor, teacher: TopK, tail: Tail, reverse: bool, /) -> Tensor:
    """`top_k_divergence` of logits that are divided by the temperature, unchecked."""
    p, indices = teacher.log_probs.to(softened), teacher.indices.long()
    log_q = softened.log_softmax(-1)
    q = log_q.gather(-1, indices)
    if tail == "bare":
        bare: Tensor = (p.exp() * (p - q).where(p.exp() > 0, 0)).sum(-1)
        return bare
    if tail == "bucket" and teacher.kept < softened.shape[-1]:
        rest, left = _log_rest(log_q, indices), _log_left(teacher.log_probs)
        # What the student rules out altogether, and the teacher but for rounding, is no class.
        none = torch.isneginf(rest) & (left.exp() <= _rounding(teacher.log_probs))
        p, q = torch.cat((p, left.masked_fill(none, -torch.inf).to(p)), -1), torch.cat((q, rest), -1)
    return ACCURATE_TERMS["reverse_kl" if reverse else "kl"](q, p)


def _log_rest(log_q: Tensor, indices: Tensor) -> Tensor:
    """ln(1 − Q_K), of the student's own terms; −∞, with gradient 0, where it rules out all of the rest."""
    others = log_q.scatter(-1, indices, -torch.inf)
    none = torch.isneginf(others.detach().amax(-1, keepdim=True))
    return others.masked_fill(none, 0.0).logsumexp(-1, keepdim=True).masked_fill(none, -torch.inf)


def _log_left(log_probs: Tensor) -> Tensor:
    """ln(1 − P_K) = ln(1 − p₁ − …) in float64: beside the largest, 1 − p₁ keeps digits that P_K has lost."""
    logs = log_probs.double()
    top, at = logs.max(-1, keepdim=True)
    others = logs.scatter(-1, at, -torch.inf).exp().sum(-1, keepdim=True)
    return (-torch.expm1(top) - others).clamp_min(0).log()


def _rounding(log_probs: Tensor) -> Tensor:
    """How far 1 − P_K may be from zero by the rounding of ln p_i: ε·(1 + Σ p_i |ln p_i|)."""
    logs = log_probs.double()
    return torch.finfo(log_probs.dtype).eps * (1 - (logs.exp() * logs.clamp_min(-1e4)).sum(-1, keepdim=True))
