"""Chapter 8.2: estimators of the reverse divergence, their values, and where their gradients lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import given, scaled, swapped, value
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.laws import (
    gradients_on_an_earlier_students_samples,
    k1,
    k2,
    k3,
    moments_on_the_students_samples,
    variances_of_the_estimators,
)
from kdtheory.sequences import Moments, estimator_moments, kl_estimate, kl_surrogate

SOURCE = "schulman2020approximating"
ON_SAMPLES = "The tokens are drawn from the student."


def _score_of_the_other_sign(
    *log_probs: Tensor, estimator: str, _true: Callable[..., Tensor] = kl_surrogate, **how: Tensor | None
) -> Tensor:
    sign = -1 if estimator == "score" else 1
    return sign * _true(*log_probs, estimator=estimator, **how)


def _half_of_the_score(
    *log_probs: Tensor, estimator: str, _true: Callable[..., Tensor] = kl_surrogate, **how: Tensor | None
) -> Tensor:
    share = 0.5 if estimator == "score" else 1
    return share * _true(*log_probs, estimator=estimator, **how)


def _mean_squares(found: Moments, /) -> Moments:
    return replace(
        found,
        variance=found.variance + found.value**2,
        gradient_variance=found.gradient_variance + found.gradient.square().sum(),
    )


@claim(
    section="8.2",
    formula=r"\mathbb E_{y\sim q}\bigl[-\ln r\bigr] = \mathbb E_{y\sim q}\bigl[r - 1 - \ln r\bigr]"
    r" = \mathrm{KL}(q\|p),\quad r = p(y)/q(y)",
    source=SOURCE,
    place="derived here",
    assumes=(ON_SAMPLES,),
    experiment=(
        moments_on_the_students_samples.given(estimator=k1),
        moments_on_the_students_samples.given(estimator=k3),
    ),
    control=Control("k2, half the squared logarithm of the ratio", estimator=k2),
    mutants=(Mutant("the ratio upside down", kl_estimate, swapped()),),
    power=Scaled(kl_estimate),
)
def k1_and_k3_are_unbiased_for_the_reverse_divergence(first: Rows, third: Rows, /) -> Evidence:
    """From tokens that the student q drew, k1 = −ln r and k3 = r − 1 − ln r, r = p/q, both have the mean
    KL(q‖p); k2 = ½(ln r)² has not.

    Equality to 1e-12.
    """
    return Joint(
        parts={
            name: Identity.of(rows.value, rows.divergence, tolerance=1e-12)
            for name, rows in (("k1", first), ("k3", third))
        }
    )


@claim(
    section="8.2",
    formula=r"\mathbb E\nabla k_1 = 0,\quad \mathbb E\nabla k_2 = \mathbb E[k_1\nabla\ln q] = "
    r"\nabla\mathrm{KL}(q\|p),\quad \mathbb E\nabla k_3 = \nabla\mathrm{KL}(p\|q)",
    source=SOURCE,
    place="derived here",
    assumes=("The tokens are weighed by q/q_old, where an earlier student drew them.",),
    experiment=gradients_on_an_earlier_students_samples,
    control=Control("an earlier student drew the tokens, and the ratio is left out", corrected=False),
    mutants=(
        Mutant(
            "the score function with its sign changed",
            kl_surrogate,
            _score_of_the_other_sign,
        ),
        Mutant(
            "the ratio of student and earlier student is left out",
            kl_surrogate,
            given(sampler_log_probs=None),
        ),
        Mutant(
            "k3 in the place of k2",
            estimator_moments,
            given(estimator=lambda name: {"k2": "k3"}.get(name, name)),
        ),
        Mutant("half of each gradient", estimator_moments, scaled(0.5, entry="gradient")),
    ),
    power=Scaled(estimator_moments, entry="gradient"),
)
def gradient_of_an_estimator_is_not_the_gradient_of_what_it_estimates(rows: Rows, /) -> Evidence:
    """Differentiated at tokens held fixed, k1 goes nowhere on average, k2 and the score function descend the
    reverse divergence KL(q‖p), and k3 the forward one, KL(p‖q), though its value estimates the reverse one.

    To 1e-10 of the largest reverse gradient.
    """
    wanted = {"k1": torch.zeros_like(rows.reverse), "k2": rows.reverse, "k3": rows.forward}
    effect = float(rows.reverse.abs().max())
    return Joint(
        parts={
            name: Identity.of(rows[name], gradient, tolerance=1e-10, effect=effect)
            for name, gradient in (*wanted.items(), ("score", rows.reverse))
        }
    )


@claim(
    section="8.2",
    formula=r"\mathbb E_{y\sim q}\nabla\bigl[r - 1 - \ln r\bigr] = \nabla\mathrm{KL}(q\|p)",
    source=SOURCE,
    place="as a loss, in training codes",
    assumes=(ON_SAMPLES,),
    experiment=moments_on_the_students_samples.given(estimator=k3),
    control=Control("k2, half the squared logarithm of the ratio", estimator=k2),
    mutants=(Mutant("k2 in the place of k3", estimator_moments, given(estimator="k2")),),
    expect=Verdict.REFUTED,
    reading="a good estimate of a divergence is read as a loss that descends it",
    power=Scaled(estimator_moments, entry="gradient"),
    loose="The two gradients differ in direction: no factor makes one the other.",
)
def k3_as_a_loss_descends_the_reverse_divergence(rows: Rows, /) -> Evidence:
    """k3 at tokens that the student drew, differentiated as it stands, has the gradient of the reverse
    divergence KL(q‖p) that it estimates.

    To 1e-10. Its mean gradient is that of KL(p‖q) instead.
    """
    return Identity.of(rows.gradient, rows.divergence_gradient, tolerance=1e-10)


@claim(
    section="8.2",
    formula=r"\operatorname{Var} k_1 \sim \varepsilon^2,\ \operatorname{Var} k_3 \sim \varepsilon^4,\quad"
    r" \nabla k_2 = k_1\nabla\ln q,\ \operatorname{Var}\nabla k_1 \not\to 0",
    source=SOURCE,
    place="derived here",
    assumes=(ON_SAMPLES, "The student's logits are within ε of the teacher's."),
    experiment=variances_of_the_estimators,
    control=Control("the logits are within the root of ε alone", power=0.5),
    mutants=(
        Mutant(
            "k2 in the place of k1", estimator_moments, given(estimator=lambda name: name.replace("1", "2"))
        ),
        Mutant(
            "k1 in the place of k3", estimator_moments, given(estimator=lambda name: name.replace("3", "1"))
        ),
        Mutant("half of the score function", kl_surrogate, _half_of_the_score),
        Mutant("mean squares in the place of variances", estimator_moments, value(_mean_squares)),
    ),
    power=Scaled(estimator_moments, entry="variance"),
)
def one_tokens_noise_falls_with_the_distance_but_for_the_gradient_of_k1(rows: Rows, /) -> Evidence:
    """From one token that the student drew, the variance of k1 falls like the square of its distance from the
    teacher and that of k3 like the fourth power, though far away k3 varies more than k1. The gradient of k2
    is that of the score function, token by token; both and that of k3 vary like the square, and that of k1,
    whose mean is zero, as much as ever.

    Slopes over ε within 0.2; "same": the two variances, to 1e-12 of the largest; "far": twice as much or
    more, in the mean; "variances": each is half the mean square of what two independent tokens differ by, to
    1e-6 of itself.
    """
    values = {
        name: Rate.of(rows.epsilon, rows["values"][name], expected=power, margin=0.2)
        for name, power in (("k1", 2), ("k3", 4))
    }
    slopes = {
        f"∇{name}": Rate.of(rows.epsilon, rows.gradients[name], expected=power, margin=0.2)
        for name, power in (("k1", 0), ("k3", 2), ("score", 2))
    }
    return Joint(
        parts={
            **values,
            **slopes,
            "same": Identity.of(rows.gradients["k2"], rows.gradients["score"], tolerance=1e-12),
            "far": Inequality.of([2 * float(rows.far["k1"].mean())], [float(rows.far["k3"].mean())]),
            "variances": Identity.of(rows.all / rows.by_pairs, torch.ones_like(rows.all), tolerance=1e-6),
        }
    )
