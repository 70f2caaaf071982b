"""Chapter 5.2: the Lipschitz constants of the softmax margin, all attained (Hsu et al., 2021)."""

from __future__ import annotations

from kdtheory.bounds.margins import (
    confidence_lipschitz,
    margin_surrogate,
    margin_surrogate_lipschitz,
    softmax_distance,
    softmax_distance_lipschitz,
)
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Joint, WorstRatio
from kdtheory.claims.wrong import given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.margins import (
    confidence_over_the_euclidean_norm,
    distance_over_the_euclidean_norm,
    largest_ratio_with_constant_scaled,
    surrogates_of_the_margin,
)

SOURCE = "hsu2021generalization"
PLACE = "constants derived here"
POSITIVE = "γ > 0."
HALVED = Control("the constant is halved", share=0.5)
REACH = 0.999


@claim(
    section="5.2",
    formula=r"\tfrac12 \lVert \varphi_\gamma(u) - \varphi_\gamma(v) \rVert_1"
    r" \le \tfrac{1}{2\gamma} \lVert u - v \rVert_\infty",
    source=SOURCE,
    place=PLACE,
    assumes=(POSITIVE,),
    experiment=largest_ratio_with_constant_scaled,
    control=HALVED,
    mutants=(
        Mutant("the constant is doubled", softmax_distance_lipschitz, scaled(2.0)),
        Mutant("the Euclidean constant", softmax_distance_lipschitz, given(norm="euclidean")),
        Mutant("the full ℓ1 norm", softmax_distance, scaled(2.0)),
    ),
    power=Scaled(softmax_distance_lipschitz),
)
def softmax_distance_is_lipschitz_in_the_sup_norm(rows: Rows, /) -> Evidence:
    """The total variation between two softened outputs is at most 1/(2γ) times the largest difference of
    their logits, and no smaller constant will do.

    The search must come within 0.1 per cent of the constant, which two equal logits that move apart do in the
    limit u → v.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=REACH)


@claim(
    section="5.2",
    formula=r"\tfrac12 \lVert \varphi_\gamma(u) - \varphi_\gamma(v) \rVert_1"
    r" \le \tfrac{1}{2\sqrt2\,\gamma} \lVert u - v \rVert_2",
    source=SOURCE,
    place=PLACE,
    assumes=(POSITIVE,),
    experiment=largest_ratio_with_constant_scaled.given(ratio=distance_over_the_euclidean_norm),
    control=HALVED,
    mutants=(
        Mutant("the constant is doubled", softmax_distance_lipschitz, scaled(2.0)),
        Mutant("the constant of the sup norm", softmax_distance_lipschitz, given(norm="sup")),
        Mutant("the full ℓ1 norm", softmax_distance, scaled(2.0)),
    ),
    power=Scaled(softmax_distance_lipschitz),
)
def softmax_distance_is_lipschitz_in_the_euclidean_norm(rows: Rows, /) -> Evidence:
    """The total variation between two softened outputs is at most 1/(2√2 γ) times the Euclidean distance of
    their logits, and no smaller constant will do.

    The derivative is (1/2γ)Σp_i|w_i − w̄| ≤ sd(w)/(2γ) ≤ ‖w‖₂/(2√2 γ). The search must come within 0.1 per
    cent of the constant.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=REACH)


@claim(
    section="5.2",
    formula=r"|\varphi_\gamma(u)_y - \varphi_\gamma(v)_y| \le \tfrac{\sqrt2}{4\gamma} \lVert u - v \rVert_2",
    source=SOURCE,
    place=PLACE,
    assumes=(POSITIVE,),
    experiment=largest_ratio_with_constant_scaled.given(ratio=confidence_over_the_euclidean_norm),
    control=HALVED,
    mutants=(
        Mutant("the constant is doubled", confidence_lipschitz, scaled(2.0)),
        Mutant("1/(4γ), without √2", confidence_lipschitz, scaled(2**-0.5)),
    ),
    power=Scaled(confidence_lipschitz),
)
def softmax_confidence_is_lipschitz(rows: Rows, /) -> Evidence:
    """The softened probability of one class changes by at most √2/(4γ) times the Euclidean distance of the
    logits, and no smaller constant will do.

    The search must come within 0.1 per cent of the constant.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=REACH)


@claim(
    section="5.2",
    formula=r"1 - \varphi_\gamma(f)_y \le \sigma(\ln(k-1) - m/\gamma),\quad"
    r" |\sigma(\ln(k-1) - a/\gamma) - \sigma(\ln(k-1) - b/\gamma)| \le \tfrac{1}{4\gamma} |a - b|",
    source=SOURCE,
    place=PLACE,
    assumes=(POSITIVE, "m = f_y − max_{j≠y} f_j."),
    experiment=surrogates_of_the_margin,
    control=HALVED,
    mutants=(
        Mutant("ln k for ln(k−1)", margin_surrogate, given(num_classes=lambda k: k + 1)),
        Mutant("ln(k−1) is forgotten", margin_surrogate, given(num_classes=2)),
        Mutant("1/(2γ)", margin_surrogate_lipschitz, scaled(2.0)),
        Mutant("γ/4", margin_surrogate_lipschitz, given(gamma=lambda gamma: 1 / gamma)),
    ),
    power=Scaled(margin_surrogate_lipschitz),
)
def margin_surrogate_dominates_and_is_lipschitz(rows: Rows, /) -> Evidence:
    """The softmax margin loss is at most σ(ln(k−1) − m/γ), a function of the margin m alone that is
    1/(4γ)-Lipschitz; both constants are attained.

    The odds are equal where all other logits are. Each search must come within 0.1 per cent of its limit.
    """
    return Joint(
        parts={
            "dominates": WorstRatio(attempts=rows.attempts, ratio=rows.odds, must_reach=REACH),
            "Lipschitz": WorstRatio(attempts=rows.attempts, ratio=rows.slope, must_reach=REACH),
        }
    )
