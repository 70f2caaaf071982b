"""Chapter 5.2: the Lipschitz constants of the softmax margin, all attained (Hsu et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.margins import (
    confidence_lipschitz,
    margin_surrogate,
    margin_surrogate_lipschitz,
    multiclass_margin,
    softmax_confidence,
    softmax_distance,
    softmax_distance_lipschitz,
)
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, WorstRatio
from kdtheory.search import worst_case

GAMMA = 0.7
POSITIVE = "γ > 0."
HALVED = Control("the constant is halved", share=0.5)


def _distance_doubled(
    *, gamma: float, norm: str, _true: Callable[..., float] = softmax_distance_lipschitz
) -> float:
    return 2 * _true(gamma=gamma, norm=norm)


def _distance_euclidean(
    *, gamma: float, norm: str, _true: Callable[..., float] = softmax_distance_lipschitz
) -> float:
    return _true(gamma=gamma, norm="euclidean")


def _distance_sup(
    *, gamma: float, norm: str, _true: Callable[..., float] = softmax_distance_lipschitz
) -> float:
    return _true(gamma=gamma, norm="sup")


def _confidence_doubled(*, gamma: float, _true: Callable[..., float] = confidence_lipschitz) -> float:
    return 2 * _true(gamma=gamma)


def _confidence_quarter(*, gamma: float) -> float:
    return 1 / (4 * gamma)


def _surrogate_half(*, gamma: float) -> float:
    return 1 / (2 * gamma)


def _surrogate_times_gamma(*, gamma: float) -> float:
    return gamma / 4


def _log_k(
    margins: Tensor, /, *, gamma: float, num_classes: int, _true: Callable[..., Tensor] = margin_surrogate
) -> Tensor:
    return _true(margins, gamma=gamma, num_classes=num_classes + 1)


def _no_log(
    margins: Tensor, /, *, gamma: float, num_classes: int, _true: Callable[..., Tensor] = margin_surrogate
) -> Tensor:
    return _true(margins, gamma=gamma, num_classes=2)


def _full_l1(*both: Tensor, gamma: float, _true: Callable[..., Tensor] = softmax_distance) -> Tensor:
    return 2 * _true(*both, gamma=gamma)


@claim(
    section="5.2",
    formula=r"\tfrac12 \lVert \varphi_\gamma(u) - \varphi_\gamma(v) \rVert_1"
    r" \le \tfrac{1}{2\gamma} \lVert u - v \rVert_\infty",
    source="hsu2021generalization",
    assumes=(POSITIVE,),
    control=HALVED,
    uses=(softmax_distance, softmax_distance_lipschitz),
    mutants=(
        Mutant("the constant is doubled", softmax_distance_lipschitz, _distance_doubled),
        Mutant("the Euclidean constant", softmax_distance_lipschitz, _distance_euclidean),
        Mutant("the full ℓ1 norm", softmax_distance, _full_l1),
    ),
    place="constants derived here",
    power=Scaled(softmax_distance_lipschitz),
)
def softmax_distance_is_lipschitz_in_the_sup_norm(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """The total variation between two softened outputs is at most 1/(2γ) times the largest difference of
    their logits, and no smaller constant will do.

    A search over pairs of logits with 2 and 4 classes tries to exceed the constant; it must come within
    0.1 per cent of it, which two equal logits that move apart do in the limit u → v.
    """

    def ratio(u: Tensor, v: Tensor) -> Tensor:
        constant = share * softmax_distance_lipschitz(gamma=GAMMA, norm="sup")
        return softmax_distance(u, v, gamma=GAMMA) / (constant * (u - v).abs().amax(-1))

    return _searched(setting, ratio)


@claim(
    section="5.2",
    formula=r"\tfrac12 \lVert \varphi_\gamma(u) - \varphi_\gamma(v) \rVert_1"
    r" \le \tfrac{1}{2\sqrt2\,\gamma} \lVert u - v \rVert_2",
    source="hsu2021generalization",
    assumes=(POSITIVE,),
    control=HALVED,
    uses=(softmax_distance, softmax_distance_lipschitz),
    mutants=(
        Mutant("the constant is doubled", softmax_distance_lipschitz, _distance_doubled),
        Mutant("the constant of the sup norm", softmax_distance_lipschitz, _distance_sup),
        Mutant("the full ℓ1 norm", softmax_distance, _full_l1),
    ),
    place="constants derived here",
    power=Scaled(softmax_distance_lipschitz),
)
def softmax_distance_is_lipschitz_in_the_euclidean_norm(
    setting: Setting, /, *, share: float = 1.0
) -> Evidence:
    """The total variation between two softened outputs is at most 1/(2√2 γ) times the Euclidean distance of
    their logits, and no smaller constant will do.

    The derivative is (1/2γ)Σp_i|w_i − w̄| ≤ sd(w)/(2γ) ≤ ‖w‖₂/(2√2 γ). A search over pairs of logits tries to
    exceed the constant and must come within 0.1 per cent of it.
    """

    def ratio(u: Tensor, v: Tensor) -> Tensor:
        constant = share * softmax_distance_lipschitz(gamma=GAMMA, norm="euclidean")
        norm: Tensor = torch.linalg.vector_norm(u - v, dim=-1)
        return softmax_distance(u, v, gamma=GAMMA) / (constant * norm)

    return _searched(setting, ratio)


@claim(
    section="5.2",
    formula=r"|\varphi_\gamma(u)_y - \varphi_\gamma(v)_y| \le \tfrac{\sqrt2}{4\gamma} \lVert u - v \rVert_2",
    source="hsu2021generalization",
    assumes=(POSITIVE,),
    control=HALVED,
    uses=(softmax_confidence, confidence_lipschitz),
    mutants=(
        Mutant("the constant is doubled", confidence_lipschitz, _confidence_doubled),
        Mutant("1/(4γ), without √2", confidence_lipschitz, _confidence_quarter),
    ),
    place="constants derived here",
    power=Scaled(confidence_lipschitz),
)
def softmax_confidence_is_lipschitz(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """The softened probability of one class changes by at most √2/(4γ) times the Euclidean distance of the
    logits, and no smaller constant will do.

    A search over pairs of logits tries to exceed the constant and must come within 0.1 per cent of it.
    """

    def ratio(u: Tensor, v: Tensor) -> Tensor:
        labels = torch.zeros(len(u), dtype=torch.long)
        change = softmax_confidence(u, labels, gamma=GAMMA) - softmax_confidence(v, labels, gamma=GAMMA)
        norm: Tensor = torch.linalg.vector_norm(u - v, dim=-1)
        return change.abs() / (share * confidence_lipschitz(gamma=GAMMA) * norm)

    return _searched(setting, ratio)


@claim(
    section="5.2",
    formula=r"1 - \varphi_\gamma(f)_y \le \sigma(\ln(k-1) - m/\gamma),\quad"
    r" |\sigma(\ln(k-1) - a/\gamma) - \sigma(\ln(k-1) - b/\gamma)| \le \tfrac{1}{4\gamma} |a - b|",
    source="hsu2021generalization",
    assumes=(POSITIVE, "m = f_y − max_{j≠y} f_j."),
    control=HALVED,
    uses=(softmax_confidence, multiclass_margin, margin_surrogate, margin_surrogate_lipschitz),
    mutants=(
        Mutant("ln k for ln(k−1)", margin_surrogate, _log_k),
        Mutant("ln(k−1) is forgotten", margin_surrogate, _no_log),
        Mutant("1/(2γ)", margin_surrogate_lipschitz, _surrogate_half),
        Mutant("γ/4", margin_surrogate_lipschitz, _surrogate_times_gamma),
    ),
    place="constants derived here",
    power=Scaled(margin_surrogate_lipschitz),
)
def margin_surrogate_dominates_and_is_lipschitz(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """The softmax margin loss is at most σ(ln(k−1) − m/γ), a function of the margin m alone that is
    1/(4γ)-Lipschitz; both constants are attained.

    Two searches: over logits within ±3, comparing odds (1 − φ)/φ, which are equal where all other logits are;
    and over pairs of margins. Each must come within 0.1 per cent of its limit.
    """

    def odds(u: Tensor, v: Tensor) -> Tensor:
        labels = torch.zeros(len(u), dtype=torch.long)
        u = 3 * (u / 3).tanh()  # 1 − φ keeps its digits
        confidence = softmax_confidence(u, labels, gamma=GAMMA)
        bound = margin_surrogate(multiclass_margin(u, labels), gamma=GAMMA, num_classes=u.shape[-1])
        return (1 - confidence) / confidence / (bound / (1 - bound))

    def slope(u: Tensor, v: Tensor) -> Tensor:
        k, constant = u.shape[-1], share * margin_surrogate_lipschitz(gamma=GAMMA)
        a, b = u[:, 0], v[:, 0]
        change = margin_surrogate(a, gamma=GAMMA, num_classes=k) - margin_surrogate(
            b, gamma=GAMMA, num_classes=k
        )
        return change.abs() / (constant * (a - b).abs().clamp_min(1e-3))

    return Joint(parts={"dominates": _searched(setting, odds), "Lipschitz": _searched(setting, slope)})


def _searched(setting: Setting, ratio: Callable[[Tensor, Tensor], Tensor]) -> WorstRatio:
    """The worst ratio over pairs u, v = c ± e^h·d/2, ‖d‖ = 1, for 2 and 4 classes; 1/400 ≤ e^h ≤ 20.

    The attempts begin at all sizes between, for some constants are attained by near pairs only.
    """
    attempts, worst = setting.size(quick=10, full=160), 0.0
    for k in (2, 4):
        generator = setting.stream.child(k).torch()
        starts = torch.randn(attempts, 2 * k + 1, dtype=torch.float64, generator=generator)
        starts[:, -1] = torch.linspace(-6, 3, attempts)

        def of_pairs(points: Tensor, k: int = k) -> Tensor:
            centre, direction, size = points[:, :k], points[:, k : 2 * k], points[:, -1:].clamp(-6, 3).exp()
            half = size * direction / (2 * direction.norm(dim=-1, keepdim=True))
            return ratio(centre + half, centre - half)

        worst = max(worst, worst_case(of_pairs, starts, steps=120, learning_rate=0.1, polished=1).ratio)
    return WorstRatio(attempts=2 * attempts, ratio=worst, must_reach=0.999)
