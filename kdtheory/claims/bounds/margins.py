"""Chapters 5.1 to 5.4: softmax margins bound the error, change slowly, are inherited (Hsu et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.bounds.margins import (
    confidence_lipschitz,
    distillation_error,
    margin_surrogate,
    margin_surrogate_lipschitz,
    softmax_confidence,
    softmax_distance,
    softmax_distance_lipschitz,
)
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.margins import (
    confidence_over_the_euclidean_norm,
    distance_over_the_euclidean_norm,
    distillation_errors,
    errors_and_softmax_margin_losses,
    largest_ratio_with_constant_scaled,
    margin_loss_over_the_distance,
    over_the_classes,
    sums_of_softmaxes,
    surrogates_of_the_margin,
)

SOURCE = "hsu2021generalization"
PLACE = "constants derived here"
POSITIVE = "γ > 0."
HALVED = Control("the constant is halved", share=0.5)
QUARTER = Control("a quarter of the ℓ1 distance is taken, not half", share=0.5)
REACH = 0.999


def _odds(logits: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    own = logits.gather(-1, labels[..., None]).squeeze(-1)
    hidden = logits.scatter(-1, labels[..., None], -torch.inf)
    return (own / gamma - (hidden / gamma).logsumexp(-1)).exp().clamp_max(1.0)


def _half_l2(student: Tensor, teacher: Tensor, /, *, gamma: float) -> Tensor:
    apart = (student / gamma).softmax(-1) - (teacher / gamma).softmax(-1)
    norm: Tensor = torch.linalg.vector_norm(apart, dim=-1)
    return norm / 2


@claim(
    section="5.1",
    formula=r"\mathbf 1[\operatorname{argmax} f(x) \ne y] \le 2\,(1 - \varphi_\gamma(f(x))_y)",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=errors_and_softmax_margin_losses,
    control=Control("the factor 2 is dropped", factor=1.0),
    mutants=(
        Mutant("odds for probability", softmax_confidence, _odds),
        Mutant(
            "the next label is read",
            softmax_confidence,
            arguments(lambda logits, labels: (logits, (labels + 1) % logits.shape[-1])),
        ),
    ),
    power=Scaled(softmax_confidence, towards="more"),
)
def error_is_at_most_twice_the_softmax_margin_loss(rows: Rows, /) -> Evidence:
    """Where another class is at least as likely as the label, φ_γ(f(x))_y ≤ ½; so the error, ties counted, is
    at most 2(1 − φ_γ(f(x))_y) for every γ > 0.

    With the factor 1 every tie of two is a counterexample.
    """
    return Inequality.of(rows.error, rows.loss, slack=1e-12)


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


@claim(
    section="5.3",
    formula=r"\varphi_\gamma(f(x_i), y_i)"
    r" = \frac{\exp(f(x_i)_{y_i}/\gamma)}{\sum_{i=1}^k \exp(f(x_i)_j/\gamma)}",
    source="shen2021deep",
    place="Section 7",
    assumes=(POSITIVE,),
    experiment=sums_of_softmaxes,
    control=Control("the sum runs over the classes j", summed=over_the_classes),
    mutants=(
        Mutant(
            "1/k whatever the logits",
            softmax_confidence,
            arguments(lambda logits, labels: (torch.zeros_like(logits), labels)),
        ),
    ),
    power=Scaled(softmax_confidence),
    loose="The printed sums are as far from one as from each other: no factor mends them.",
    expect=Verdict.REFUTED,
)
def printed_softmax_is_a_probability_vector(rows: Rows, /) -> Evidence:
    """As printed, the softmax with margin scale γ sums over the index i of the examples; read so, the values
    of an example's labels would have to sum to one.

    The index is a misprint for j, and f(x_i)y_i, f(x_i)j are f(x_i)_{y_i}, f(x_i)_j.
    """
    return Identity.of(rows.total, torch.ones_like(rows.total), tolerance=1e-12)


@claim(
    section="5.3",
    formula=r"\Phi_{\gamma,n}(f,g) \le \Phi^{TV}_{\gamma,n}(f,g)"
    r" = \tfrac1n \sum_i \tfrac12 \lVert \varphi_\gamma(f(x_i)) - \varphi_\gamma(g(x_i)) \rVert_1",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=distillation_errors,
    control=QUARTER,
    mutants=(
        Mutant("the printed error doubled", distillation_error, scaled(2.0)),
        Mutant("the full ℓ1 norm", softmax_distance, scaled(2.0)),
        Mutant("γ is forgotten", softmax_distance, given(gamma=1.0)),
    ),
    power=Scaled(distillation_error),
)
def distillation_error_is_at_most_the_label_free_one(rows: Rows, /) -> Evidence:
    """On the same points the printed distillation error is at most the label-free one, which tends to the
    share of disagreements as γ → 0 and vanishes like 1/γ as γ → ∞; with two classes the two are equal."""
    two = rows.classes == 2
    return Joint(
        parts={
            "printed ≤ label-free": Inequality.of(rows.printed, rows.label_free, slack=1e-12),
            "two classes": Identity.of(rows.printed[two], rows.label_free[two], tolerance=1e-12),
            "γ → 0": Identity.of(rows.sharp, rows.apart, tolerance=1e-9),
            "γ → ∞": Inequality.of(rows.flat, rows.cap, slack=1e-12),
        }
    )


@claim(
    section="5.4",
    formula=r"1 - \varphi_\gamma(f)_y \le (1 - \varphi_\gamma(g)_y)"
    r" + \tfrac12 \lVert \varphi_\gamma(f) - \varphi_\gamma(g) \rVert_1",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=largest_ratio_with_constant_scaled.given(ratio=margin_loss_over_the_distance),
    control=QUARTER,
    mutants=(
        Mutant("the full ℓ1 norm", softmax_distance, scaled(2.0)),
        Mutant("half the Euclidean distance", softmax_distance, _half_l2),
    ),
    power=Scaled(softmax_distance),
)
def teacher_inherits_the_students_margin_loss(rows: Rows, /) -> Evidence:
    """At every point the softmax margin loss of f is at most that of g plus half the ℓ1 distance of their
    softened outputs, whatever the label; the constant cannot be improved.

    A search tries to make (φ_γ(g)_y − φ_γ(f)_y) larger than the distance; it must come within 0.1 per cent of
    it, and may not exceed it.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=REACH)
