"""Chapter 1, conventions: the losses of the codes in use, and the generalised Jensen–Shannon divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate, WorstRatio
from kdtheory.claims.response.loss import gradient_without_t
from kdtheory.claims.wrong import Wrong, given
from kdtheory.experiments import Rows
from kdtheory.experiments.response.conventions import (
    gradients_of_codes,
    jensen_shannon_losses_near_their_endpoint,
)
from kdtheory.losses import jensen_shannon, kd_gradient, kd_loss, kl_divergence


def _weights_swapped(right: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The weight of the teacher is given to the labels, where there are some, and the other way round."""

    def wrong(*arrays: Tensor | None, weight: Any, hard_weight: Any, **options: Any) -> Tensor:
        weights = (weight, hard_weight) if arrays[2] is None else (hard_weight, weight)
        return right(*arrays, weight=weights[0], hard_weight=weights[1], **options)

    return wrong


def _mixture_of_logarithms(
    student_logits: Tensor, teacher_logits: Tensor, /, *, beta: float, continuous: bool = False
) -> Tensor:
    log_s, log_t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    if beta == 0:
        return kl_divergence(student_logits, teacher_logits)
    log_m = beta * log_t + (1 - beta) * log_s
    weight = 1 - beta if continuous else beta
    to_mixture = weight * log_t.exp() * (log_t - log_m) + (1 - weight) * log_s.exp() * (log_s - log_m)
    return to_mixture.sum(-1)


@claim(
    section="1.5",
    formula=r"\nabla L_{\text{code}} = a\,\nabla\bigl(T^2\,\mathrm{KL}(\varphi_T(z_t)\|\varphi_T(z_s))\bigr)"
    r" + b\,\nabla\mathrm{CE}(e_y, \varphi_1(z_s))",
    source="hinton2015distilling",
    place="derived here",
    assumes=("T > 0, and the logits are finite.",),
    experiment=gradients_of_codes,
    control=Control("the soft term is the squared distance of the softmaxes", codes=("kd_lib",)),
    mutants=(
        Mutant("T² is forgotten", kd_loss, given(temperature_squared=False)),
        Mutant("the weights of teacher and labels are swapped", kd_loss, Wrong(_weights_swapped)),
        Mutant("the reference gradient lacks its factor T", kd_gradient, gradient_without_t),
        Mutant("the divergence is reversed", kd_loss, given(soft="reverse_kl")),
    ),
)
def codes_in_use_agree_after_rescaling(rows: Rows, /) -> Evidence:
    """The distillation losses of the codes in use (with T² or without, divergence or cross-entropy, the
    weight on the teacher or on the labels) have one gradient after a rescaling, the one that is documented
    for each.

    The pair that comes closest must reproduce the gradient from those of the two reference terms, and must be
    the documented pair. No pair fits the squared distance of softmaxes: it is another loss, and the pair that
    its weights would stand for is not the one that comes closest.
    """
    return Joint(
        parts={
            "some pair fits": Identity.of(rows.fitted, rows.found, tolerance=1e-10),
            "the pair is the documented one": Identity.of(rows.best, rows.stated, tolerance=1e-10),
        }
    )


@claim(
    section="1.5",
    formula=r"\mathrm{JSD}_\beta = \beta\,\mathrm{KL}(p_t\|m) + (1-\beta)\,\mathrm{KL}(p_s\|m) "
    r"\le \beta\,\mathrm{KL}(p_t\|p_s),\qquad m = \beta p_t + (1-\beta)p_s",
    source="agarwal2024onpolicy",
    place="derived here",
    assumes=("Student and teacher allow the same classes.",),
    experiment=jensen_shannon_losses_near_their_endpoint,
    control=Control("the two weights are swapped: the continuous form", continuous=True),
    mutants=(
        Mutant("the two weights are swapped", jensen_shannon, given(continuous=lambda swapped: not swapped)),
        Mutant("the mixture is one of logarithms", jensen_shannon, _mixture_of_logarithms),
        Mutant("the endpoint is the limit", jensen_shannon, given(beta=lambda beta: max(beta, 1e-12))),
    ),
)
def generalised_jsd_jumps_at_its_endpoint(rows: Rows, /) -> Evidence:
    """The generalised Jensen–Shannon loss vanishes like β as β → 0, below β·KL(p_t‖p_s), although its
    endpoint β = 0 is set to KL(p_t‖p_s): near the end, β is a step size and not a direction.

    The loss has slope 1 ± 0.05 in β, one slope per batch; it never exceeds β·KL(p_t‖p_s), since the mixture m
    is nearer to both in the mean than p_s is, and the search comes within 1 per cent of that and does not
    exceed it either; at β = 0 it is KL(p_t‖p_s). With the weights swapped it tends to KL(p_t‖p_s) without a
    jump: slope 0. The ratio tends to 1 − β where the two laws are close.
    """
    return Joint(
        parts={
            "vanishes like β": Rate.of(rows.beta, rows.batch_loss, expected=1.0, margin=0.05),
            "below β·KL": Inequality.of(rows.loss, rows.beta[:, None] * rows.divergence, slack=1e-12),
            "searched": WorstRatio(attempts=rows.attempts, ratio=rows.searched, must_reach=0.99),
            "is KL at β = 0": Identity.of(rows.endpoint, rows.divergence, tolerance=1e-12),
        }
    )
