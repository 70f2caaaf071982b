"""The limit of a student of soft and hard labels: its *effective logits* (Ji & Zhu, 2020).

For two classes and one logit z, label y ∈ {0, 1}, teacher's logit z_t, soft ratio ρ and temperature T, the
loss ρ·CE(σ(z_t/T), σ(z/T)) + (1 − ρ)·CE(y, σ(z)) has the slope

    L′(z) = (ρ/T)(σ(z/T) − σ(z_t/T)) + (1 − ρ)(σ(z) − y),

which increases in z, from below 0 to above 0: it has one root z_eff for 0 < ρ ≤ 1, between z_t and y·∞. A
student that can fit its points ends there whatever its start, and a linearised one with the weights
Δŵ = φ(X)Θ⁻¹(z_eff − f_0(X)). With Hinton's factor T² the soft term weighs ρT instead of ρ/T.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from kdtheory.doors import door
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import check_finite, check_labels, check_positive

__all__ = ["distillation_slope", "effective_logits", "overruling_soft_ratio"]

_MOST_STEPS = 200


@door
def distillation_slope(
    logits: Float[Tensor, "*batch"],
    teacher_logits: Float[Tensor, "*batch"],
    labels: Int[Tensor, "*batch"],
    /,
    *,
    soft_ratio: float,
    temperature: float = 1.0,
    temperature_squared: bool = False,
) -> Float[Tensor, "*batch"]:
    """L′(z) = (ρ/T)(σ(z/T) − σ(z_t/T)) + (1 − ρ)(σ(z) − y) of each example.

    Args:
        logits: z, the student's.
        teacher_logits: z_t.
        labels: y, 0 or 1.
        soft_ratio: ρ in (0, 1], the weight of the teacher.
        temperature: T.
        temperature_squared: whether the soft term carries T².

    Raises:
        ValueError: shapes differ, an entry is not finite, or a setting is out of its range.

    >>> zero = torch.zeros(1)
    >>> distillation_slope(zero, zero, torch.tensor([1]), soft_ratio=0.5)
    tensor([-0.2500])
    """
    _check(teacher_logits, labels, soft_ratio, temperature)
    check_finite("logits", logits)
    logits, teacher_logits = promoted(*at_least_float32(logits, teacher_logits))
    soft = torch.sigmoid(logits / temperature) - torch.sigmoid(teacher_logits / temperature)
    hard = torch.sigmoid(logits) - labels
    return soft_ratio * _soft_scale(temperature, temperature_squared) * soft + (1 - soft_ratio) * hard


@door
def effective_logits(
    teacher_logits: Float[Tensor, "*batch"],
    labels: Int[Tensor, "*batch"],
    /,
    *,
    soft_ratio: float,
    temperature: float = 1.0,
    temperature_squared: bool = False,
) -> Float[Tensor, "*batch"]:
    """z_eff, the root of L′(z) = (ρ/T)(σ(z/T) − σ(z_t/T)) + (1 − ρ)(σ(z) − y) (Ji & Zhu, 2020).

    Found for the gap |z_eff − z_t| on a logarithmic scale, with the logarithms of both terms, so that it
    keeps its digits where the teacher is sure; Newton's steps inside a bracket, which is halved where one
    leaves it. Computed in double precision.

    Args:
        teacher_logits: z_t.
        labels: y, 0 or 1.
        soft_ratio: ρ in (0, 1]; at 1 the root is z_t, and it grows without limit as ρ → 0, where hard
            labels alone have none.
        temperature: T.
        temperature_squared: whether the soft term carries T².

    Raises:
        ValueError: shapes differ, an entry is not finite, or a setting is out of its range.

    >>> effective_logits(torch.zeros(1), torch.tensor([1]), soft_ratio=0.5).exp()  # σ(z) = ¾
    tensor([3.])
    """
    _check(teacher_logits, labels, soft_ratio, temperature)
    if soft_ratio == 1:
        return at_least_float32(teacher_logits)[0].clone()
    towards = 2.0 * labels - 1
    # For y = 0 everything is mirrored: L′(−z) is minus the slope with −z_t and 1 − y.
    start = towards * teacher_logits.double()
    soft = soft_ratio * _soft_scale(temperature, temperature_squared)
    return (towards * _root(start, temperature, soft, 1 - soft_ratio)).to(
        at_least_float32(teacher_logits)[0].dtype
    )


@door
def overruling_soft_ratio(
    teacher_logits: Float[Tensor, "*batch"],
    /,
    *,
    temperature: float = 1.0,
    temperature_squared: bool = False,
) -> Float[Tensor, "*batch"]:
    """ρ* = 1/(1 + tanh(|z_t|/2T)/T): below it a hard label overrules a teacher that is wrong.

    z_eff has the sign of the label iff L′(0) has the other, ρ/T·tanh(|z_t|/2T) < 1 − ρ (derived here). At
    T = 1 the threshold is between ½, for a sure teacher, and 1, for one in doubt.

    Raises:
        ValueError: a logit is not finite, or the temperature is not positive.

    >>> overruling_soft_ratio(torch.tensor([0.0, 100.0]))
    tensor([1.0000, 0.5000])
    """
    check_finite("teacher_logits", teacher_logits)
    check_positive("temperature", temperature)
    doubt = torch.tanh(at_least_float32(teacher_logits)[0].abs() / (2 * temperature))
    return 1 / (1 + _soft_scale(temperature, temperature_squared) * doubt)


def _root(start: Tensor, temperature: float, soft: float, hard: float) -> Tensor:
    """The root z > s of soft·(σ(z/T) − σ(s/T)) = hard·σ(−z), s the teacher's logit towards the label.

    With q = z − s, σ(a + δ) − σ(a) = σ(a + δ)σ(−a)(1 − e^{−δ}): both sides have logarithms that do not
    cancel, and their difference increases in ln q.
    """
    fixed = math.log(soft / hard) + logsigmoid(-start / temperature)

    def excess(z: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        value = (
            fixed + logsigmoid(z / temperature) + torch.log(-torch.expm1(-q / temperature)) - logsigmoid(-z)
        )
        inside = torch.sigmoid(-z / temperature) + 1 / torch.expm1(q / temperature)
        return value, inside / temperature + torch.sigmoid(z)

    # From 1 − e^{−q/T} ≤ q/T and softplus(s + q) ≤ softplus(s) + 1 for q ≤ 1; and from q ≥ T, s + q ≥ 0.
    low = (math.log(temperature) - fixed + logsigmoid(-start) - 1).clamp_max(0.0)
    high = torch.maximum((1.2 - fixed - start).clamp_min(temperature), -start).log()
    x = high
    for _ in range(_MOST_STEPS):
        q = x.exp()
        value, slope = excess(start + q, q)
        low, high = torch.where(value < 0, x, low), torch.where(value >= 0, x, high)
        step = x - value / (q * slope)
        step = torch.where((step > low) & (step < high), step, (low + high) / 2)
        moved, x = (step - x).abs(), step
        if bool((moved <= 1e-15 * (1 + x.abs())).all()):
            break
    z = start + x.exp()
    # Where s and q cancel, z has lost digits that one more step, in z itself, brings back.
    value, slope = excess(z, torch.where(z - start > 0, z - start, 1.0))
    return torch.where(z - start > start.abs() / 2, z - value / slope, z)


def _soft_scale(temperature: float, squared: bool) -> float:
    return temperature if squared else 1 / temperature


def _check(teacher_logits: Tensor, labels: Tensor, soft_ratio: float, temperature: float) -> None:
    check_finite("teacher_logits", teacher_logits)
    check_labels("labels", labels, 2)
    check_positive("temperature", temperature)
    if not 0 < soft_ratio <= 1:
        raise ValueError(
            f"soft_ratio = {soft_ratio} must lie in (0, 1]; hard labels alone have no finite effective logit"
        )
