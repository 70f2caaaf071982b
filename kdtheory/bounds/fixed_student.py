"""The distillation bound for one student that was fixed before the labelled points: no class, one function.

Pr[argmax f ≠ y] ≤ 2E(1 − φ_γ(g)_y) + 2E ½‖φ_γ(f) − φ_γ(g)‖₁ (Hsu, Ji, Telgarsky & Wang 2021). Where g was
fixed before the n labelled points, and f and g before the m unlabelled ones, both are means of values in
[0, 1] of one function each. A uniform bound pays 3√(ln(2/δ′)/2n) for each, two of Hoeffding's √(ln(2/δ)/2n),
and the product of the two p-values (`kdtheory.bounds.product`) less than either, most of all where the means
are small.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.bounds.assumptions import CANDIDATES_FIXED, DRAWN, ONE_LAW, STUDENT_FIXED, UNSEEN
from kdtheory.bounds.distilled import Setting, student_losses
from kdtheory.bounds.holdout import unit_mean
from kdtheory.bounds.margins import softmax_distance
from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.result import Bound, in_proportion
from kdtheory.bounds.tails import RiskTail
from kdtheory.doors import door
from kdtheory.validate import check_flags

__all__ = ["hsu21_fixed_student", "hsu21_fixed_student_by_margins"]

Words = dict[str, bool]


@door
def hsu21_fixed_student(
    student_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    student_unlabelled: Float[Tensor, "m k"],
    teacher_unlabelled: Float[Tensor, "m k"],
    /,
    *,
    gamma: float,
    delta: float,
    gamma_weight: float = 1.0,
    density_ratio: float = 1.0,
    student_fixed_in_advance: bool,
    candidates_fixed_in_advance: bool,
    drawn_afterwards: bool,
    independent_draws: bool,
    same_law: bool,
) -> Bound:
    """Pr[argmax f ≠ y] ≤ 2·sup{p + q : e^{−n·kl(ℓ̂‖p)}·e^{−m·kl(d̂‖q)} ≥ c}, c(1 − ln c) = δ·w_γ.

    Hsu et al. (2021), radii derived here; ℓ̂ the mean of 1 − φ_γ(g(x_i))_{y_i}, d̂ that of ½‖φ_γ(f) − φ_γ(g)‖₁.
    f may have seen the labelled points. `needed` is a number of labelled points, the unlabelled ones in
    proportion.

    Args:
        student_logits: g on the labelled points.
        labels: their labels.
        student_unlabelled: g on the unlabelled points.
        teacher_unlabelled: f on the unlabelled points.
        gamma: γ, chosen beforehand or paid for in `gamma_weight`.
        delta: δ.
        gamma_weight: w_γ, of γ among those that were to choose from after the data, such as 1/J for one of J.
        density_ratio: ‖dμ/dν‖_∞ where the unlabelled points are drawn from ν instead of μ; multiplies q.
        student_fixed_in_advance: whether g was fixed before the labelled points were drawn.
        candidates_fixed_in_advance: whether the candidates of γ and their shares of δ were.
        drawn_afterwards: whether the unlabelled points were drawn after f and g were fixed.
        independent_draws: whether the labelled points are independent draws.
        same_law: whether the unlabelled points are independent draws from their law (or one of the density
            ratio given).

    Raises:
        ValueError: γ, δ, w_γ or the density ratio out of range, logits or labels that are, or a flag neither
            True nor False.

    >>> import torch
    >>> sure = torch.tensor([[50.0, 0.0]]).repeat(100, 1).double()
    >>> words = dict(student_fixed_in_advance=True, candidates_fixed_in_advance=True, drawn_afterwards=True,
    ...              independent_draws=True, same_law=True)
    >>> bound = hsu21_fixed_student(sure, torch.zeros(100).long(), sure, sure, gamma=1.0, delta=0.05, **words)
    >>> round(bound.value, 3), round(4 * (1 - 0.008705 ** (1 / 200)), 3)  # 2(p + q), p = q = 1 − c^{1/200}
    (0.094, 0.094)
    """
    losses = student_losses(student_logits, labels, gamma=gamma, surrogate=False)
    words = _words(
        student_fixed_in_advance, candidates_fixed_in_advance, drawn_afterwards, independent_draws, same_law
    )
    apart = softmax_distance(student_unlabelled, teacher_unlabelled, gamma=gamma)
    setting = Setting(gamma=gamma, delta=delta, gamma_weight=gamma_weight, density_ratio=density_ratio)
    return _bound("hsu21_fixed_student", losses, apart, setting, words)


@door
def hsu21_fixed_student_by_margins(
    student_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    student_unlabelled: Float[Tensor, "m k"],
    teacher_unlabelled: Float[Tensor, "m k"],
    /,
    *,
    gamma: float,
    delta: float,
    gamma_weight: float = 1.0,
    density_ratio: float = 1.0,
    student_fixed_in_advance: bool,
    candidates_fixed_in_advance: bool,
    drawn_afterwards: bool,
    independent_draws: bool,
    same_law: bool,
) -> Bound:
    """The bound with the surrogate σ(ln(k−1) − m_i/γ) ≥ 1 − φ_γ(g(x_i))_{y_i} of the margins for the loss.

    Hsu et al. (2021), radii derived here. Never the smaller one; for the comparison of the two forms.

    Args:
        student_logits, labels, student_unlabelled, teacher_unlabelled: as in `hsu21_fixed_student`.
        gamma, delta, gamma_weight, density_ratio: as there.
        student_fixed_in_advance, candidates_fixed_in_advance, drawn_afterwards: as there.
        independent_draws, same_law: as there.

    Raises:
        ValueError: as `hsu21_fixed_student`; a margin that is not finite.
    """
    losses = student_losses(student_logits, labels, gamma=gamma, surrogate=True)
    words = _words(
        student_fixed_in_advance, candidates_fixed_in_advance, drawn_afterwards, independent_draws, same_law
    )
    apart = softmax_distance(student_unlabelled, teacher_unlabelled, gamma=gamma)
    setting = Setting(gamma=gamma, delta=delta, gamma_weight=gamma_weight, density_ratio=density_ratio)
    return _bound("hsu21_fixed_student_by_margins", losses, apart, setting, words)


def _words(student: bool, candidates: bool, afterwards: bool, independent: bool, same_law: bool) -> Words:
    check_flags(
        student_fixed_in_advance=student,
        candidates_fixed_in_advance=candidates,
        drawn_afterwards=afterwards,
        independent_draws=independent,
        same_law=same_law,
    )
    return {
        DRAWN: independent,
        STUDENT_FIXED: student,
        CANDIDATES_FIXED: candidates,
        UNSEEN: afterwards,
        ONE_LAW: same_law,
    }


def _bound(name: str, losses: Tensor, apart: Tensor, setting: Setting, words: Words) -> Bound:
    (loss, n), (distance, m) = unit_mean("losses", losses.detach()), unit_mean("distances", apart.detach())
    level = fisher32_log_level(setting.delta * setting.gamma_weight)

    def value_at(size: int) -> float:
        first = RiskTail("loss", loss, size, False, words)
        second = RiskTail("distance", distance, in_proportion(m, size, n), False, words)
        return 2 * product_upper_limit(first, second, log_level=level, scale=setting.density_ratio)

    value = value_at(n)
    terms = {"student's loss": 2 * loss, "distillation error": 2 * setting.density_ratio * distance}
    terms["joint radius"] = value - sum(terms.values())
    quantities = {
        "n": n,
        "m": m,
        "gamma": setting.gamma,
        "gamma_weight": setting.gamma_weight,
        "density_ratio": setting.density_ratio,
    }
    return Bound(
        name,
        value,
        terms,
        setting.delta,
        words,
        value_at=value_at,
        over="both samples",
        quantities=quantities,
    )
