"""Chapter 4.1, Menon et al. (2021), Lemma 1: Bayes labels take the label noise out of the empirical risk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import given
from kdtheory.experiments import Rows
from kdtheory.experiments.risk.variance import (
    all_different,
    label_noise_of_losses_on_the_support,
    of_the_point_before,
    of_the_training_points,
    risks_of_all_samples,
    variance_gaps_on_images,
    variance_gaps_on_three_gaussians,
)
from kdtheory.risk.empirical import distilled_risk
from kdtheory.risk.variance import label_noise_variance

LEMMA: dict[str, Any] = {
    "section": "4.1",
    "formula": r"\operatorname{Var}\hat R(f) - \operatorname{Var}\hat R_*(f)"
    r" = \tfrac1N\,\mathbb E_x \operatorname{Var}_{y|x}\,\ell(f(x))_y \ge 0",
    "source": "menon2021statistical",
    "place": "Lemma 1",
    "assumes": (
        "f does not depend on the sample.",
        "The teacher gives the Bayes class-probabilities p*.",
    ),
}
NOISE = Scaled(label_noise_variance)


def _second_moment(losses: Tensor, probs: Tensor, weights: Tensor, /, *, n: int) -> Tensor:
    return (weights * (probs * losses.square()).sum(-1)).sum(-1) / n


def _noise_of_uniform_labels(losses: Tensor, probs: Tensor, weights: Tensor, /, *, n: int) -> Tensor:
    return (weights * losses.var(-1, correction=0)).sum(-1) / n


def _distilled_sum(losses: Tensor, teacher_probs: Tensor, /) -> Tensor:
    return (teacher_probs * losses).sum((-1, -2))


SECOND_MOMENT = Mutant("second moment for variance", label_noise_variance, _second_moment)
A_SUM = Mutant("a sum for the mean over the sample", distilled_risk, _distilled_sum)
UNIFORM_LABELS = Mutant("labels drawn uniformly", label_noise_variance, _noise_of_uniform_labels)


@claim(
    **LEMMA,
    experiment=risks_of_all_samples,
    control=Control("the teacher's rows p*(x) are given to the wrong x", posterior=of_the_point_before),
    mutants=(
        Mutant("the noise is not divided by N", label_noise_variance, given(n=1)),
        SECOND_MOMENT,
        A_SUM,
    ),
)
def distilled_risk_has_no_larger_variance(rows: Rows, /) -> Evidence:
    """For a fixed predictor the Bayes-distilled risk has the mean of the one-hot risk and no larger variance:
    what it saves is (1/N) E_x Var_{y|x} ℓ(f(x))_y, the label noise.

    Means and variances are exact sums. The search tries to make the distilled variance the larger one; it
    must come within 0.1 per cent.
    """
    return Joint(
        parts={
            "one mean": Identity.of(rows.soft_mean, rows.mean, tolerance=1e-10),
            "gap": Identity.of(rows.variance - rows.soft_variance, rows.noise, tolerance=1e-10),
            "no larger": Inequality.of(rows.soft_variance, rows.variance, slack=1e-12),
            "searched": WorstRatio(attempts=rows.attempts, ratio=rows.searched, must_reach=0.999),
        }
    )


@claim(
    section="4.1",
    formula=r"\operatorname{Var}\hat R = \operatorname{Var}\hat R_* \iff"
    r" \ell(f(x))_y \text{ is constant on the support of } p^*(x) \text{ for almost every } x",
    source="menon2021statistical",
    place="Lemma 1",
    assumes=("f does not depend on the sample.",),
    experiment=label_noise_of_losses_on_the_support,
    control=Control("the losses differ on the support", on_support=all_different),
    mutants=(UNIFORM_LABELS,),
)
def variance_gap_vanishes_iff_loss_is_constant_on_the_support(rows: Rows, /) -> Evidence:
    """The Bayes-distilled risk saves nothing exactly when, for almost every x, the loss is the same for every
    label that can occur there.

    "If": losses made equal on the support leave no gap. "Only if": moving the loss of one possible label a by
    d from the others opens a gap of w(x) p_a (1 − p_a) d².
    """
    return Joint(
        parts={
            "if": Identity.of(rows.noise, torch.zeros_like(rows.noise), tolerance=1e-12, effect=1.0),
            "only if": Identity.of(rows.moved_noise, rows.opened, tolerance=1e-9),
        }
    )


@claim(
    **LEMMA,
    experiment=variance_gaps_on_images,
    control=Control("each net is judged on points that it was trained on", source=of_the_training_points),
    mutants=(SECOND_MOMENT, A_SUM),
    power=NOISE,
    cost=1.5,
)
def variance_gap_is_the_label_noise_on_trained_networks(rows: Rows, /) -> Evidence:
    """At networks trained on another sample of real images with redrawn labels, the variance of the one-hot
    risk exceeds that of the Bayes-distilled risk by the label noise (1/N) E_x Var_{y|x} ℓ(f(x))_y.

    Equal within 20 % of the effect. Judged on points that it was trained on a net has fitted their label
    noise: the gap closes, and reverses.
    """
    return Equality.of(rows.measured, rows.exact, margin=0.2)


@claim(
    **LEMMA,
    experiment=variance_gaps_on_three_gaussians,
    control=Control("each point gets the p* of another one", posterior=of_the_point_before),
    mutants=(SECOND_MOMENT, UNIFORM_LABELS),
    power=NOISE,
    cost=1.5,
)
def variance_gap_is_the_label_noise_on_a_gaussian_mixture(rows: Rows, /) -> Evidence:
    """On a mixture of three overlapping Gaussians, at networks trained on another sample, the variance of the
    one-hot risk exceeds that of the Bayes-distilled risk by the label noise.

    Equal within 15 % of the effect.
    """
    return Equality.of(rows.measured, rows.exact, margin=0.15)
