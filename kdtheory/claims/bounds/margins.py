"""Chapter 5.1, 5.3, 5.4: softmax margins bound the error, and are inherited (Hsu et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.bounds.margins import distillation_error, softmax_confidence, softmax_distance
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.margins import (
    distillation_errors,
    errors_and_softmax_margin_losses,
    largest_ratio_with_constant_scaled,
    margin_loss_over_the_distance,
    over_the_classes,
    sums_of_softmaxes,
)

SOURCE = "hsu2021generalization"
HALVED = Control("a quarter of the ℓ1 distance is taken, not half", share=0.5)


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
    assumes=("γ > 0.",),
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
    section="5.3",
    formula=r"\varphi_\gamma(f(x_i), y_i)"
    r" = \frac{\exp(f(x_i)_{y_i}/\gamma)}{\sum_{i=1}^k \exp(f(x_i)_j/\gamma)}",
    source="shen2021deep",
    place="Section 7",
    assumes=("γ > 0.",),
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
    assumes=("γ > 0.",),
    experiment=distillation_errors,
    control=HALVED,
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
    assumes=("γ > 0.",),
    experiment=largest_ratio_with_constant_scaled.given(ratio=margin_loss_over_the_distance),
    control=HALVED,
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
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=0.999)
