"""Chapter 1, temperature: limits of the softmax, high temperature, a temperature on the teacher only."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate
from kdtheory.claims.response.image_logits import batch_errors, image_logits, log_uniform
from kdtheory.claims.response.wrong_losses import gradient_without_t, loss_with_t
from kdtheory.losses import (
    entropy,
    entropy_temperature_derivative,
    high_temperature_divergence,
    high_temperature_gradient,
    kd_gradient,
    kd_loss,
    renyi_entropy,
    tempered_softmax,
    transformed_teacher_matching,
    zero_temperature_softmax,
    zheng24_terms,
)

POSITIVE = "T > 0, and the logits are finite."
LARGE = "T is large beside the logits."
HORIZONS = [2.0**power for power in range(5, 12)]

Function = Callable[..., Tensor]


def _of_the_product(logits: Tensor, /, *, temperature: float, _true: Function = tempered_softmax) -> Tensor:
    return _true(logits, temperature=1 / temperature)


def _over_the_square(logits: Tensor, /, *, temperature: float, _true: Function = tempered_softmax) -> Tensor:
    return _true(logits, temperature=temperature**2)


def _first_of_the_largest(logits: Tensor, /) -> Tensor:
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)


@claim(
    section="1.1",
    formula=r"\varphi_T(z) \to \tfrac1k\mathbf 1\ (T\to\infty),\qquad "
    r"\varphi_T(z) \to \operatorname{unif}(\arg\max_j z_j)\ (T\to 0^+)",
    source="hinton2015distilling",
    assumes=(POSITIVE,),
    control=(
        Control("the temperature is negative, so that the smallest logit wins", sign=-1.0),
        Control("the logits grow like the root of the temperature", growth=0.5),
    ),
    uses=(tempered_softmax, zero_temperature_softmax),
    mutants=(
        Mutant("the logits are multiplied by T", tempered_softmax, _of_the_product),
        Mutant("the logits are divided by T²", tempered_softmax, _over_the_square),
        Mutant("a tie is broken in favour of one class", zero_temperature_softmax, _first_of_the_largest),
    ),
)
def softmax_runs_from_the_argmax_to_uniform(
    setting: Setting, /, *, sign: float = 1.0, growth: float = 0.0
) -> Evidence:
    """The temperature softmax φ_T(z) tends to the uniform law as T → ∞, at the rate 1/T, and to the uniform
    law on the largest logits as T → 0+.

    How it's judged: logits on real images, rounded to whole numbers, every other one with a tie at the top.
    The distance to uniform over T = 2⁶ … 2¹² must have slope −1 ± 0.05, one slope per batch; at T = 10⁻³,
    where the runner-up has e⁻¹⁰⁰⁰, the two laws must be equal. For T < 0, φ_T(z) = φ_|T|(−z), which still
    flattens out as |T| grows but picks the smallest logit as T → 0−. Where the logits grow like √T,
    the law flattens out at half the rate.
    """
    logits = (2 * image_logits(setting, setting.size(quick=480, full=4800))[1]).round()
    logits[::2, 0] = logits[::2].amax(-1)
    temperatures = [2.0**power for power in range(6, 13)]
    gaps = [
        (tempered_softmax(sign * t**growth * logits, temperature=t) - 1 / logits.shape[-1]).norm(dim=-1)
        for t in temperatures
    ]
    cold = tempered_softmax(sign * 1e-3**growth * logits, temperature=1e-3)
    to_uniform = torch.stack([batch_errors(gap) for gap in gaps], dim=1)
    return Joint(
        parts={
            "T → ∞": Rate.of(temperatures, to_uniform, expected=-1.0, margin=0.05),
            "T → 0+": Identity.of(cold, zero_temperature_softmax(logits), tolerance=1e-12),
        }
    )


def _slope_over_the_square(
    logits: Tensor, /, *, temperature: Tensor, _true: Function = entropy_temperature_derivative
) -> Tensor:
    return _true(logits, temperature=temperature) * temperature


def _in_bits(logits: Tensor, /, *, temperature: Tensor, _true: Function = entropy) -> Tensor:
    return _true(logits, temperature=temperature) / math.log(2)


@claim(
    section="1.1",
    formula=r"\frac{d}{dT} H\bigl(\varphi_T(z)\bigr)"
    r" = \frac{\operatorname{Var}_{\varphi_T(z)}(z)}{T^3} \ge 0",
    source="hinton2015distilling",
    assumes=(POSITIVE,),
    control=Control("the temperature is negative", sign=-1.0),
    uses=(entropy, entropy_temperature_derivative),
    mutants=(
        Mutant("T² in place of T³", entropy_temperature_derivative, _slope_over_the_square),
        Mutant("the entropy is taken in bits", entropy, _in_bits),
    ),
)
def entropy_grows_with_the_temperature(setting: Setting, /, *, sign: float = 1.0) -> Evidence:
    """The entropy of φ_T(z) never falls as T grows: its slope in T is the variance of the logits under
    φ_T(z), divided by T³.

    How it's judged: the slope that automatic differentiation finds against the closed form, and against 0,
    for logits on real images and T log-uniform in [0.2, 20]; and the entropy itself at T and 1.1·T. For
    T < 0, φ_T(z) = φ_|T|(−z), and the entropy falls as T rises to 0.
    """
    logits = sign * image_logits(setting, setting.size(quick=300, full=3000))[1]
    low = log_uniform(0.2, 20, len(logits), setting.stream.child("temperature")).requires_grad_()
    at_low = entropy(logits, temperature=low)
    slope = sign * torch.autograd.grad(at_low.sum(), low)[0]
    at_high = entropy(logits, temperature=1.1 * low.detach())
    closed = entropy_temperature_derivative(logits, temperature=low.detach())
    growth = sign * (at_high - at_low).detach()
    return Joint(
        parts={
            "slope": Identity.of(slope, closed, tolerance=1e-10),
            "sign": Inequality.of(-slope, torch.zeros_like(slope), slack=1e-12),
            "growth": Inequality.of(-growth, torch.zeros_like(growth), slack=1e-12),
        }
    )


def _limit_without_centring(student_logits: Tensor, teacher_logits: Tensor, /) -> Tensor:
    return (student_logits - teacher_logits) / student_logits.shape[-1]


def _limit_without_the_half(*logits: Tensor, _true: Function = high_temperature_divergence) -> Tensor:
    return 2 * _true(*logits)


@claim(
    section="1.3",
    formula=r"T\bigl(\varphi_T(z_s)-\varphi_T(z_t)\bigr)"
    r" = \tfrac1k\,(d - \bar d) + O(1/T),\quad d = z_s - z_t",
    source="hinton2015distilling",
    assumes=(POSITIVE, LARGE),
    control=Control("the factor T² is dropped from the loss", temperature_squared=False),
    uses=(kd_gradient, high_temperature_gradient),
    mutants=(
        Mutant("the limit is not centred", high_temperature_gradient, _limit_without_centring),
        Mutant("the gradient lacks its factor T", kd_gradient, gradient_without_t),
    ),
)
def soft_gradient_tends_to_the_gap_of_centred_logits(
    setting: Setting, /, *, temperature_squared: bool = True
) -> Evidence:
    """With its factor T², the gradient of the soft term tends to the gap of the centred logits over k as
    T → ∞, with an error of order 1/T: at high temperature, distillation matches logits.

    How it's judged: the distance to the limit over T = 2⁵ … 2¹¹, for logits on real images; slope
    −1 ± 0.05, one slope per batch. Without T² the gradient tends to 0, and its distance to the limit to a
    constant: slope 0.
    """
    student, teacher, labels = image_logits(setting, setting.size(quick=480, full=4800), spread=2.0)
    limit = high_temperature_gradient(student, teacher)
    gradients = [
        kd_gradient(
            student,
            teacher,
            labels,
            temperature=temperature,
            weight=1.0,
            temperature_squared=temperature_squared,
        )
        for temperature in HORIZONS
    ]
    errors = torch.stack([batch_errors((each - limit).norm(dim=-1)) for each in gradients], dim=1)
    return Rate.of(HORIZONS, errors, expected=-1.0, margin=0.05)


@claim(
    section="1.3",
    formula=r"T^2\,\mathrm{KL}\bigl(\varphi_T(z_t)\,\|\,\varphi_T(z_s)\bigr) = "
    r"\tfrac1{2k}\sum_j (d_j - \bar d)^2 + O(1/T),\quad d = z_s - z_t",
    source="hinton2015distilling",
    assumes=(POSITIVE, LARGE),
    control=Control("the factor T² is dropped from the loss", temperature_squared=False),
    uses=(kd_loss, high_temperature_divergence),
    mutants=(
        Mutant("the limit lacks its factor 1/2", high_temperature_divergence, _limit_without_the_half),
        Mutant("T in place of T²", kd_loss, loss_with_t),
    ),
)
def soft_loss_tends_to_half_the_variance_of_the_gap(
    setting: Setting, /, *, temperature_squared: bool = True
) -> Evidence:
    """T² times KL(φ_T(z_t)‖φ_T(z_s)) tends to half the variance over the classes of z_s − z_t as T → ∞, with
    an error of order 1/T: hence the factor T².

    How it's judged: the distance to the limit over T = 2⁵ … 2¹¹, for logits on real images; slope
    −1 ± 0.05, one slope per batch. Without T² the loss tends to 0, and its distance to the limit to a
    constant: slope 0.
    """
    student, teacher, _ = image_logits(setting, setting.size(quick=480, full=4800), spread=2.0)
    limit = high_temperature_divergence(student, teacher)
    losses = [
        kd_loss(
            student,
            teacher,
            None,
            temperature=temperature,
            weight=1.0,
            temperature_squared=temperature_squared,
            reduction="none",
        )
        for temperature in HORIZONS
    ]
    errors = torch.stack([batch_errors(each - limit) for each in losses], dim=1)
    return Rate.of(HORIZONS, errors, expected=-1.0, margin=0.05)


def _renyi_unnormalised(logits: Tensor, /, *, order: float, _true: Function = renyi_entropy) -> Tensor:
    return _true(logits, order=order) * (1 - order)


def _teacher_entropy_at_one(
    *logits: Tensor, temperature: float, _true: Callable[..., dict[str, Tensor]] = zheng24_terms
) -> dict[str, Tensor]:
    terms = _true(*logits, temperature=temperature)
    return {**terms, "teacher_entropy": (temperature - 1) * entropy(logits[1])}


@claim(
    section="1.6",
    formula=r"\mathrm{KL}(p_T\|q) = T\,\mathrm{KL}(p_T\|q_T) - (T-1)\,H_{1/T}(q) + (T-1)\,H(p_T)",
    source="zheng2024knowledge",
    assumes=(POSITIVE,),
    control=Control("the Rényi entropy has order T in place of 1/T", order="T"),
    uses=(transformed_teacher_matching, zheng24_terms, renyi_entropy),
    mutants=(
        Mutant("the Rényi entropy lacks its factor 1/(1−α)", renyi_entropy, _renyi_unnormalised),
        Mutant("the teacher's entropy is taken at T = 1", zheng24_terms, _teacher_entropy_at_one),
    ),
)
def transformed_teacher_matching_rewards_renyi_entropy(
    setting: Setting, /, *, order: str = "1/T"
) -> Evidence:
    """Without the temperature on the student's side, KL(p_T‖q) is distillation at T, times T, with a reward
    for the student's Rényi entropy of order 1/T, up to a term of the teacher alone.

    How it's judged: the two sides on logits on real images at T = 1/2, 1, 3/2, 4 and 10. With the order T in
    place of 1/T they agree at T = 1 only.
    """
    student, teacher, _ = image_logits(setting, setting.size(quick=100, full=1000), spread=3.0)
    left, right = [], []
    for temperature in (0.5, 1.0, 1.5, 4.0, 10.0):
        terms = zheng24_terms(student, teacher, temperature=temperature)
        if order == "T":
            terms["renyi_entropy"] = (1 - temperature) * renyi_entropy(student, order=temperature)
        left.append(transformed_teacher_matching(student, teacher, temperature=temperature))
        right.append(terms["distillation"] + terms["renyi_entropy"] + terms["teacher_entropy"])
    return Identity.of(torch.stack(left), torch.stack(right), tolerance=1e-10)
