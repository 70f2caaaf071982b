"""Which divergence the codes in use descend: their losses of the next token, as means over what they sample.

Each entry says by whose prefixes a code goes, whether it takes the whole vocabulary or the sampled token,
where its temperature stands, and the divergence of the two next-token laws, p of the teacher and q of the
student, whose gradient its loss has on average; None where it is that of neither KL(p‖q) nor KL(q‖p).

The losses are written anew here by their formulas, read in the version that is named. Where tokens are
sampled the mean is over y ∼ q with the sampling held fixed, as a code does that differentiates its loss at
the tokens it has drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import gate
from kdtheory.losses import jensen_shannon, kl_divergence
from kdtheory.sequences.divergences import Direction
from kdtheory.sequences.estimators import kl_surrogate

__all__ = ["SEQUENCE_CONVENTIONS", "SequenceConvention"]

TokenLoss = Callable[[Tensor, Tensor], Tensor]


@gate
@dataclass(frozen=True, kw_only=True)
class SequenceConvention:
    """One code's loss of the next token.

    Args:
        code: which code it is, where in it, and in which version.
        prefixes: whose sequences it goes along: "teacher" (or a corpus), "student", or "both", by shares.
        estimator: "vocabulary" where it sums over all tokens, else the name of what it computes at one.
        temperature: where its temperature stands.
        descends: the divergence whose gradient its loss has on average at T = 1; None where it is neither.
        loss: student logits, teacher logits ↦ the mean loss of each next token.
        note: what else a user should know.
    """

    code: str
    prefixes: str
    estimator: str
    temperature: str
    descends: Direction | None
    loss: TokenLoss
    note: str = ""

    def gradient(
        self, student_logits: Float[Tensor, "*batch v"], teacher_logits: Float[Tensor, "*batch v"], /
    ) -> Float[Tensor, "*batch v"]:
        """The mean gradient in the student's logits of each next token's loss.

        Raises:
            ValueError: as the loss, or the code's formula has no value here, as 0·∞ where a token is masked.

        >>> student, teacher = torch.zeros(2), torch.tensor([1.0, 3.0]).log()
        >>> SEQUENCE_CONVENTIONS["trl_gkd_0"].gradient(student, teacher)  # q − p
        tensor([ 0.2500, -0.2500])
        >>> SEQUENCE_CONVENTIONS["verl_k3"].gradient(student, teacher)
        tensor([ 0.2500, -0.2500])
        >>> SEQUENCE_CONVENTIONS["verl_k1"].gradient(student, teacher)
        tensor([0., 0.])
        """
        leaf = student_logits.detach().requires_grad_()
        losses = self.loss(leaf, teacher_logits.detach())
        gradient = torch.autograd.grad(losses.sum(), leaf)[0]
        if bool(torch.isnan(losses.detach()).any() | torch.isnan(gradient).any()):
            raise ValueError(f"{self.code}: its formula has no value at these logits; give finite ones")
        return gradient


def _sampled(student: Tensor, teacher: Tensor, /, *, estimator: str, ratio: bool = False) -> Tensor:
    """Σ_y q(y)·k(y), q held fixed; with `ratio` k is weighed by q/q_old, through which gradients flow."""
    q, p = student.log_softmax(-1), teacher.log_softmax(-1)
    losses = kl_surrogate(q, p, estimator=estimator)
    weights = (q - q.detach()).exp() if ratio else 1.0
    return (q.detach().exp() * weights * losses).sum(-1)


def _kl_div(student: Tensor, teacher: Tensor, /) -> Tensor:
    """torch's kl_div(log q, log p, log_target=True): the second argument is the target, so KL(p‖q)."""
    laws = student.log_softmax(-1), teacher.log_softmax(-1)
    return torch.nn.functional.kl_div(*laws, reduction="none", log_target=True).sum(-1)


def _kl_div_swapped(student: Tensor, teacher: Tensor, /) -> Tensor:
    """torch's kl_div(log p, log q, log_target=True)."""
    return _kl_div(teacher, student)


def _by_hand(student: Tensor, teacher: Tensor, /) -> Tensor:
    """Σ p·(ln p − ln q)."""
    p = teacher.softmax(-1)
    return (p * (p.log() - student.log_softmax(-1))).sum(-1)


def _mixture_turned_round(student: Tensor, teacher: Tensor, /, *, beta: float) -> Tensor:
    """β·KL(p‖m) + (1 − β)·KL(q‖m), m = β·q + (1 − β)·p: a Jensen–Shannon divergence at ½ only."""
    mixed = (beta * student.softmax(-1) + (1 - beta) * teacher.softmax(-1)).log()
    return beta * kl_divergence(mixed, teacher) + (1 - beta) * kl_divergence(mixed, student)


def _of_the_largest(student: Tensor, teacher: Tensor, /, *, kept: int) -> Tensor:
    """KL(p‖q) of both laws renormalised over the teacher's largest tokens."""
    values, places = teacher.topk(min(kept, teacher.shape[-1]), -1)
    return kl_divergence(student.gather(-1, places), values)


_TRL = "TRL, trl/experimental/gkd/gkd_trainer.py at 054a0dabfa87"
_SWIFT = "ms-swift, swift/rlhf_trainers/gkd_loss.py at 0ee3340a79c4"
_VERL = "verl, verl/trainer/ppo/core_algos.py at 26b5d6b2bbf0"
_SLIME = "slime, slime/utils/ppo_utils.py at 06787cf57985"
_BOTH = "divides both laws' logits, without T²"
_NONE = "in sampling alone"


def _estimated(code: str, name: str, descends: Direction | None, note: str = "") -> SequenceConvention:
    return SequenceConvention(
        code=code,
        prefixes="student",
        estimator=name,
        temperature=_NONE,
        descends=descends,
        loss=partial(_sampled, estimator=name),
        note=note,
    )


_FORWARD: Direction = "teacher_to_student"
_REVERSE: Direction = "student_to_teacher"
_AS_IT_STANDS = "values estimate KL(q‖p); clamped where a single one exceeds 10"

SEQUENCE_CONVENTIONS: Mapping[str, SequenceConvention] = {
    "trl_gkd_0": SequenceConvention(
        code=f"{_TRL}, beta = 0",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=_FORWARD,
        loss=_kl_div,
        note="kl_div(log q, log p): the target is the second argument, so this is KL(p‖q).",
    ),
    "trl_gkd_1": SequenceConvention(
        code=f"{_TRL}, beta = 1",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=_REVERSE,
        loss=_kl_div_swapped,
    ),
    "trl_gkd": SequenceConvention(
        code=f"{_TRL}, beta = 0.5",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=None,
        loss=partial(jensen_shannon, beta=0.5),
        note="the generalised Jensen–Shannon divergence; 0 and 1 are not its limits but special cases.",
    ),
    "ms_swift_gkd": SequenceConvention(
        code=f"{_SWIFT}, jsd_loss with beta = 0",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=_FORWARD,
        loss=_by_hand,
    ),
    "ms_swift_gkd_top_k": SequenceConvention(
        code=f"{_SWIFT}, gkd_loss of a teacher of top-k tokens, beta = 0",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=None,
        loss=partial(_of_the_largest, kept=3),
        note="both laws are renormalised over the kept tokens: blind to the mass outside them.",
    ),
    "liger_jsd": SequenceConvention(
        code="Liger-Kernel, src/liger_kernel/chunked_loss/jsd_loss.py at 08f12c62217b, beta = 0.1",
        prefixes="both",
        estimator="vocabulary",
        temperature=_BOTH,
        descends=None,
        loss=partial(_mixture_turned_round, beta=0.1),
        note="in this version the mixture weighs the student by β and the divergences the teacher by β: the "
        "two agree with TRL at β = ½ only.",
    ),
    "verl_k1": _estimated(f"{_VERL}, kl_penalty kl", "k1", None, "as a loss its mean gradient is 0"),
    "verl_k2": _estimated(f"{_VERL}, kl_penalty mse", "k2", _REVERSE),
    "verl_k3": _estimated(f"{_VERL}, kl_penalty low_var_kl", "k3", _FORWARD, _AS_IT_STANDS),
    "slime_k3": _estimated(f"{_SLIME}, low_var_kl", "k3", _FORWARD, _AS_IT_STANDS),
    "slime_unbiased": SequenceConvention(
        code=f"{_SLIME}, low_var_kl with importance_ratio",
        prefixes="student",
        estimator="k3",
        temperature=_NONE,
        descends=_REVERSE,
        loss=partial(_sampled, estimator="k3", ratio=True),
        note="gradients flow through q/q_old, so that the mean is that of Σ q·k3 = KL(q‖p).",
    ),
    "pytorch_tutorial": SequenceConvention(
        code="PyTorch tutorial on knowledge distillation; for classes, not tokens",
        prefixes="teacher",
        estimator="vocabulary",
        temperature="divides both laws' logits, with T²",
        descends=_FORWARD,
        loss=_by_hand,
        note="the cross-entropy without the entropy, of which the gradient is that of KL(p‖q).",
    ),
}
