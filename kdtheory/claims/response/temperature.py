"""Chapter 1, temperature: limits of the softmax, high temperature, a temperature on the teacher only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate
from kdtheory.claims.response.loss import gradient_without_t
from kdtheory.claims.wrong import Wrong, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.response.temperature import (
    entropies_over_the_temperature,
    of_order_t,
    soft_terms_at_high_temperature,
    softmaxes_at_the_ends,
    terms_of_transformed_teacher_matching,
)
from kdtheory.losses import (
    entropy,
    entropy_temperature_derivative,
    high_temperature_divergence,
    high_temperature_gradient,
    kd_gradient,
    kd_loss,
    kl_divergence,
    renyi_entropy,
    tempered_softmax,
    zero_temperature_softmax,
    zheng24_terms,
)

POSITIVE = "T > 0, and the logits are finite."
LARGE = "T is large beside the logits."
NO_T_SQUARED = Control("the factor T² is dropped from the loss", temperature_squared=False)


def _first_of_the_largest(logits: Tensor, /) -> Tensor:
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)


def _times(factor: Callable[[float], float], setting: str) -> Wrong:
    """The value times a function of a setting."""

    def of(right: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda logits, /, **settings: factor(settings[setting]) * right(logits, **settings)

    return Wrong(of)


def _limit_without_centring(student_logits: Tensor, teacher_logits: Tensor, /) -> Tensor:
    return (student_logits - teacher_logits) / student_logits.shape[-1]


def _loss_with_t(student: Tensor, teacher: Tensor, _: None, /, *, temperature: float, **_o: Any) -> Tensor:
    return temperature * kl_divergence(student / temperature, teacher / temperature)


def _teacher_entropy_at_one(right: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    def wrong(student: Tensor, teacher: Tensor, /, *, temperature: float) -> dict[str, Tensor]:
        own = (temperature - 1) * entropy(teacher)
        return {**right(student, teacher, temperature=temperature), "teacher_entropy": own}

    return wrong


@claim(
    section="1.1",
    formula=r"\varphi_T(z) \to \tfrac1k\mathbf 1\ (T\to\infty),\qquad "
    r"\varphi_T(z) \to \operatorname{unif}(\arg\max_j z_j)\ (T\to 0^+)",
    source="hinton2015distilling",
    place="derived here",
    assumes=(POSITIVE,),
    experiment=softmaxes_at_the_ends,
    control=(
        Control("the temperature is negative, so that the smallest logit wins", sign=-1.0),
        Control("the logits grow like the root of the temperature", growth=0.5),
    ),
    mutants=(
        Mutant("the logits are multiplied by T", tempered_softmax, given(temperature=lambda t: 1 / t)),
        Mutant("the logits are divided by T²", tempered_softmax, given(temperature=lambda t: t**2)),
        Mutant("a tie is broken in favour of one class", zero_temperature_softmax, _first_of_the_largest),
    ),
)
def softmax_runs_from_the_argmax_to_uniform(rows: Rows, /) -> Evidence:
    """The temperature softmax φ_T(z) tends to the uniform law as T → ∞, at the rate 1/T, and to the uniform
    law on the largest logits as T → 0+.

    The distance to uniform must have slope −1 ± 0.05, one slope per batch; at T = 10⁻³ the two laws must be
    equal. For T < 0, φ_T(z) = φ_|T|(−z), which still flattens out as |T| grows but picks the smallest logit
    as T → 0−. Where the logits grow like √T, the law flattens out at half the rate.
    """
    return Joint(
        parts={
            "T → ∞": Rate.of(rows.temperature, rows.to_uniform, expected=-1.0, margin=0.05),
            "T → 0+": Identity.of(rows.cold, rows.limit, tolerance=1e-12),
        }
    )


@claim(
    section="1.1",
    formula=r"\frac{d}{dT} H\bigl(\varphi_T(z)\bigr)"
    r" = \frac{\operatorname{Var}_{\varphi_T(z)}(z)}{T^3} \ge 0",
    source="hinton2015distilling",
    place="derived here",
    assumes=(POSITIVE,),
    experiment=entropies_over_the_temperature,
    control=Control("the temperature is negative", sign=-1.0),
    mutants=(
        Mutant(
            "T² in place of T³", entropy_temperature_derivative, _times(lambda t: t, setting="temperature")
        ),
        Mutant("the entropy is taken in bits", entropy, scaled(1 / math.log(2))),
    ),
)
def entropy_grows_with_the_temperature(rows: Rows, /) -> Evidence:
    """The entropy of φ_T(z) never falls as T grows: its slope in T is the variance of the logits under
    φ_T(z), divided by T³.

    For T < 0 the entropy falls as T rises to 0.
    """
    return Joint(
        parts={
            "slope": Identity.of(rows.slope, rows.closed, tolerance=1e-10),
            "sign": Inequality.of(-rows.slope, torch.zeros_like(rows.slope), slack=1e-12),
            "growth": Inequality.of(-rows.growth, torch.zeros_like(rows.growth), slack=1e-12),
        }
    )


@claim(
    section="1.3",
    formula=r"T\bigl(\varphi_T(z_s)-\varphi_T(z_t)\bigr)"
    r" = \tfrac1k\,(d - \bar d) + O(1/T),\quad d = z_s - z_t",
    source="hinton2015distilling",
    place="derived here",
    assumes=(POSITIVE, LARGE),
    experiment=soft_terms_at_high_temperature,
    control=NO_T_SQUARED,
    mutants=(
        Mutant("the limit is not centred", high_temperature_gradient, _limit_without_centring),
        Mutant("the gradient lacks its factor T", kd_gradient, gradient_without_t),
    ),
)
def soft_gradient_tends_to_the_gap_of_centred_logits(rows: Rows, /) -> Evidence:
    """With its factor T², the gradient of the soft term tends to the gap of the centred logits over k as
    T → ∞, with an error of order 1/T: at high temperature, distillation matches logits.

    Slope −1 ± 0.05, one slope per batch. Without T² the gradient tends to 0, and its distance to the limit to
    a constant: slope 0.
    """
    return Rate.of(rows.temperature, rows.gradient_error, expected=-1.0, margin=0.05)


@claim(
    section="1.3",
    formula=r"T^2\,\mathrm{KL}\bigl(\varphi_T(z_t)\,\|\,\varphi_T(z_s)\bigr) = "
    r"\tfrac1{2k}\sum_j (d_j - \bar d)^2 + O(1/T),\quad d = z_s - z_t",
    source="hinton2015distilling",
    place="derived here",
    assumes=(POSITIVE, LARGE),
    experiment=soft_terms_at_high_temperature,
    control=NO_T_SQUARED,
    mutants=(
        Mutant("the limit lacks its factor 1/2", high_temperature_divergence, scaled(2.0)),
        Mutant("T in place of T²", kd_loss, _loss_with_t),
    ),
)
def soft_loss_tends_to_half_the_variance_of_the_gap(rows: Rows, /) -> Evidence:
    """T² times KL(φ_T(z_t)‖φ_T(z_s)) tends to half the variance over the classes of z_s − z_t as T → ∞, with
    an error of order 1/T: hence the factor T².

    Slope −1 ± 0.05, one slope per batch. Without T² the loss tends to 0, and its distance to the limit to a
    constant: slope 0.
    """
    return Rate.of(rows.temperature, rows.loss_error, expected=-1.0, margin=0.05)


@claim(
    section="1.6",
    formula=r"\mathrm{KL}(p_T\|q) = T\,\mathrm{KL}(p_T\|q_T) - (T-1)\,H_{1/T}(q) + (T-1)\,H(p_T)",
    source="zheng2024knowledge",
    place="derived here",
    assumes=(POSITIVE,),
    experiment=terms_of_transformed_teacher_matching,
    control=Control("the Rényi entropy has order T in place of 1/T", reward=of_order_t),
    mutants=(
        Mutant(
            "the Rényi entropy lacks its factor 1/(1−α)",
            renyi_entropy,
            _times(lambda order: 1 - order, setting="order"),
        ),
        Mutant("the teacher's entropy is taken at T = 1", zheng24_terms, Wrong(_teacher_entropy_at_one)),
    ),
)
def transformed_teacher_matching_rewards_renyi_entropy(rows: Rows, /) -> Evidence:
    """Without the temperature on the student's side, KL(p_T‖q) is distillation at T, times T, with a reward
    for the student's Rényi entropy of order 1/T, up to a term of the teacher alone.

    With the order T in place of 1/T the two sides agree at T = 1 only.
    """
    return Identity.of(rows.matched, rows.summed, tolerance=1e-10)
