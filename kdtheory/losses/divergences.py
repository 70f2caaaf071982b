"""Divergences between the softened laws of student and teacher: the soft term of a distillation loss.

Each function takes student logits and teacher logits [*batch k], already divided by the temperature, and
returns one number per example [*batch]: a sum over the k classes. p_s = φ(z_s), p_t = φ(z_t); logarithms
are natural; 0·ln 0 = 0, so that a class which the teacher rules out (logit −∞) costs nothing and sends a
finite gradient. Log-probabilities are logits, so these functions take them as well. Logits in half precision
are widened to float32 first; where student and teacher nearly agree the divergences keep their digits, and
none is ever negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._precision import CLOSE_TERMS, accurate, at_least_zero, close_jensen_shannon
from kdtheory.types import at_least_float32, widened
from kdtheory.validate import check_fraction, check_logits

__all__ = [
    "SOFT_TERMS",
    "SoftTerm",
    "cross_entropy",
    "jensen_shannon",
    "kl_divergence",
    "reverse_kl_divergence",
    "squared_logit_distance",
    "squared_prob_distance",
]

SoftTerm = Callable[[Tensor, Tensor], Tensor]
"""Student logits and teacher logits over T, to one loss per example."""


@door
def cross_entropy(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """CE(p_t, p_s) = −Σ_j p_t,j ln p_s,j, the cross-entropy of the student under the teacher.

    At least H(p_t), with equality iff p_s = p_t; so zero only for a one-hot teacher. KL is what reaches zero.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN, +∞ or a row of −∞.

    >>> cross_entropy(torch.zeros(4), torch.tensor([0.0, 0.0, -math.inf, -math.inf])).exp()
    tensor(4.)
    """
    return _cross_entropy(*_checked_pair(student_logits, teacher_logits))


@door
def kl_divergence(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """KL(p_t‖p_s) = Σ_j p_t,j (ln p_t,j − ln p_s,j), the forward divergence: the teacher comes first.

    Zero iff p_s = p_t; +∞ where the student rules out a class that the teacher allows.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN, +∞ or a row of −∞.

    >>> kl_divergence(torch.zeros(4), torch.tensor([0.0, 0.0, -math.inf, -math.inf])).exp()
    tensor(2.)
    """
    return ACCURATE_TERMS["kl"](*_checked_pair(student_logits, teacher_logits))


@door
def reverse_kl_divergence(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """KL(p_s‖p_t) = Σ_j p_s,j (ln p_s,j − ln p_t,j), the reverse divergence: the student comes first.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN, +∞ or a row of −∞.

    >>> reverse_kl_divergence(torch.tensor([0.0, 0.0, -math.inf, -math.inf]), torch.zeros(4)).exp()
    tensor(2.)
    """
    return ACCURATE_TERMS["reverse_kl"](*_checked_pair(student_logits, teacher_logits))


@door
def jensen_shannon(
    student_logits: Float[Tensor, "*batch k"],
    teacher_logits: Float[Tensor, "*batch k"],
    /,
    *,
    beta: float = 0.5,
    continuous: bool = False,
) -> Float[Tensor, "*batch"]:
    """JSD_β = β KL(p_t‖m) + (1−β) KL(p_s‖m), m = β p_t + (1−β) p_s (Agarwal et al. 2024, equation 1).

    The endpoints are set apart, as the codes in use do: β = 0 is the forward KL(p_t‖p_s), β = 1 the reverse
    KL(p_s‖p_t). They are a *discontinuity*: inside (0, 1) the loss vanishes like β·KL(p_t‖p_s) as β → 0,
    and like (1−β)·KL(p_s‖p_t) as β → 1, so near an end β sets the size of the gradient and not its
    direction. `continuous=True` swaps the weights, (1−β) KL(p_t‖m) + β KL(p_s‖m), which runs from the one
    endpoint to the other without a jump. Both agree at β = 1/2.

    Args:
        student_logits: z_s.
        teacher_logits: z_t.
        beta: β in [0, 1], the share of the teacher in the mixture m.
        continuous: swap the weights, so that β → 0 and β → 1 tend to the endpoints.

    Raises:
        ValueError: β lies outside [0, 1], the shapes differ, or the logits hold NaN, +∞ or a row of −∞.

    >>> one, other = torch.tensor([0.0, -math.inf]), torch.tensor([-math.inf, 0.0])
    >>> jensen_shannon(one, other).exp()
    tensor(2.)
    """
    check_fraction("beta", beta)
    pair = _checked_pair(student_logits, teacher_logits)
    if beta in (0, 1):
        return ACCURATE_TERMS["reverse_kl" if beta else "kl"](*pair)
    weight = 1 - beta if continuous else beta
    plain, close = (
        partial(term, beta=beta, weight=weight) for term in (_jensen_shannon, close_jensen_shannon)
    )
    return accurate(plain, close)(*pair)


@door
def squared_logit_distance(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """Σ_j (z_s,j − z_t,j)², matching of the logits themselves; not invariant to a shift of either.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN or an infinity.

    >>> squared_logit_distance(torch.zeros(2), torch.tensor([3.0, 4.0]))
    tensor(25.)
    """
    student_logits, teacher_logits = _checked_pair(student_logits, teacher_logits)
    if not bool((torch.isfinite(student_logits) & torch.isfinite(teacher_logits)).all()):
        raise ValueError("logits hold -inf, whose distance has no meaning; match probabilities instead")
    return _squared_distance(student_logits, teacher_logits)


@door
def squared_prob_distance(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """‖p_s − p_t‖₂² = Σ_j (p_s,j − p_t,j)², between 0 and 2.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN, +∞ or a row of −∞.

    >>> squared_prob_distance(torch.zeros(2), torch.tensor([0.0, -math.inf]))
    tensor(0.5000)
    """
    return ACCURATE_TERMS["mse_probs"](*_checked_pair(student_logits, teacher_logits))


def _cross_entropy(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    probs = teacher_logits.softmax(-1)
    return -(probs * student_logits.log_softmax(-1).where(probs > 0, 0)).sum(-1)


def _kl_divergence(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    return at_least_zero(_expected_gap(teacher_logits.log_softmax(-1), student_logits.log_softmax(-1)))


def _expected_gap(log_probs: Tensor, other: Tensor) -> Tensor:
    """Σ p (ln p − ln q); a class with p = 0 counts for nothing, and there ln p is finite and ln q is masked,
    before they can make a NaN, here or in a gradient.
    """
    least = torch.finfo(log_probs.dtype)
    floor = math.log(least.smallest_normal * least.eps) - 1  # below, exp is 0
    probs, finite = log_probs.exp(), log_probs.clamp_min(floor)
    return (probs * (finite - other.where(probs > 0, 0))).sum(-1)


def _jensen_shannon(student_logits: Tensor, teacher_logits: Tensor, beta: float, weight: float) -> Tensor:
    """`beta` in (0, 1) is the teacher's share of the mixture, `weight` what its divergence to it counts."""
    log_s, log_t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    dead = torch.isneginf(log_s) & torch.isneginf(log_t)
    log_m = torch.logaddexp(
        log_t.masked_fill(dead, 0) + math.log(beta), log_s.masked_fill(dead, 0) + math.log1p(-beta)
    )
    return at_least_zero(weight * _expected_gap(log_t, log_m) + (1 - weight) * _expected_gap(log_s, log_m))


def _squared_distance(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    return (student_logits - teacher_logits).square().sum(-1)


def _squared_prob_distance(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    return _squared_distance(student_logits.softmax(-1), teacher_logits.softmax(-1))


def _checked_pair(student_logits: Tensor, teacher_logits: Tensor) -> list[Tensor]:
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
    return widened(student_logits, teacher_logits)


def _wide(term: SoftTerm) -> SoftTerm:
    return lambda student, teacher: term(*at_least_float32(student, teacher))


SOFT_TERMS: dict[str, SoftTerm] = {
    "kl": _wide(_kl_divergence),
    "reverse_kl": _wide(lambda student, teacher: _kl_divergence(teacher, student)),
    "cross_entropy": _wide(_cross_entropy),
    "jsd": _wide(lambda student, teacher: _jensen_shannon(student, teacher, 0.5, 0.5)),
    "mse_logits": _wide(_squared_distance),
    "mse_probs": _wide(_squared_prob_distance),
}
"""The soft terms by name, unchecked and summed plainly, in float32 at least, as training at every step wants
them."""

ACCURATE_TERMS: dict[str, SoftTerm] = {
    name: accurate(term, CLOSE_TERMS[name]) if name in CLOSE_TERMS else term
    for name, term in SOFT_TERMS.items()
}
"""The divergences of `kd_loss`: unchecked, with all digits where student and teacher nearly agree."""
