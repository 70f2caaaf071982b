"""The terms of both forms of the distillation bound (Hsu, Ji, Telgarsky & Wang 2021), constants derived.

Pr[argmax f ≠ y] ≤ 2E ℓ + 2ρE d: ℓ = 1 − φ_γ(g)_y on the labelled points, or the surrogate of the margins,
σ(ln(k−1) − m/γ) ≥ ℓ, and d = ½‖φ_γ(f) − φ_γ(g)‖₁ on the unlabelled ones, of density ratio ρ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from kdtheory.bounds.deviation import single_term, uniform_term
from kdtheory.bounds.margins import margin_surrogate, multiclass_margin, softmax_confidence
from kdtheory.validate import check_fraction, check_positive, check_weight

__all__ = ["Setting", "check_complexity", "six_terms", "student_losses"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The settings beside logits and complexities.

    Args:
        gamma: γ.
        delta: δ.
        gamma_weight: w_γ, of γ among those that were to choose from.
        density_ratio: ρ.
        weight: p_j, of the class.

    Raises:
        ValueError: one of them out of range.
    """

    gamma: float
    delta: float
    gamma_weight: float
    density_ratio: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_positive("gamma", self.gamma)
        check_fraction("delta", self.delta, open_interval=True)
        check_weight("weight", self.weight)
        check_weight("gamma_weight", self.gamma_weight)
        if not 1 <= self.density_ratio < math.inf:
            raise ValueError(f"density_ratio = {self.density_ratio} must be finite and at least 1")


def student_losses(student_logits: Tensor, labels: Tensor, /, *, gamma: float, surrogate: bool) -> Tensor:
    """ℓ at each labelled point: 1 − φ_γ(g(x_i))_{y_i}, or its surrogate σ(ln(k−1) − m_i/γ) of the margins."""
    if not surrogate:
        return 1 - softmax_confidence(student_logits, labels, gamma=gamma)
    margins = multiclass_margin(student_logits, labels)
    return margin_surrogate(margins, gamma=gamma, num_classes=student_logits.shape[-1])


def six_terms(
    n: int, m: int, /, *, loss: float, distance: float, student: float, joint: float | None, setting: Setting
) -> dict[str, float]:
    """2ℓ̂ + (2/γ)·Rad_n(G) + 6√(ln(4/δp)/2n) + ρ(2Φ + (2√2/γ)·Rad_m(F, G) + 6√(ln(4/δp)/2m)), term by term.

    δ is that of one γ, δ·w_γ. Each line has a half of it: a deviation is 2·3√(ln(2/(δp/2))/2n).

    Args:
        n, m: labelled and unlabelled points.
        loss: ℓ̂, the mean of the student's losses.
        distance: Φ, the mean of the distances.
        student: Rad_n(G) = Rad^vec_n(G), or half of Rad_n of the margins.
        joint: Rad_m(F, G) = Rad^vec_m(F) + Rad^vec_m(G); None where f and g were fixed before, the last term
            being 2√(ln(2/δ)/2m) then.
        setting: γ, δ, ρ and p.

    >>> setting = Setting(gamma=1.0, delta=4 * math.exp(-2), gamma_weight=1.0, density_ratio=1.0)
    >>> list(six_terms(9, 4, loss=0.1, distance=0.2, student=0.5, joint=0.0, setting=setting).values())
    [0.2, 1.0, 2.0, 0.4, 0.0, 3.0]
    """
    gamma, ratio, half = setting.gamma, setting.density_ratio, setting.delta * setting.gamma_weight / 2
    radius = single_term(m, half) if joint is None else uniform_term(m, half * setting.weight)
    return {
        "student's loss": 2 * loss,
        "student's complexity": 2 * student / gamma,
        "labelled deviation": 2 * uniform_term(n, half * setting.weight),
        "distillation error": 2 * ratio * distance,
        "joint complexity": 2 * math.sqrt(2) * ratio * (joint or 0.0) / gamma,
        "unlabelled deviation": 2 * ratio * radius,
    }


def check_complexity(name: str, complexity: float, /) -> None:
    """ValueError unless it is finite and at least 0."""
    if not 0 <= complexity < math.inf:
        raise ValueError(f"{name} = {complexity} must be finite and at least 0")
