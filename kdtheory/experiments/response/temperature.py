"""Softmaxes, entropies and soft terms over the temperature, for logits on real images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.response.image_logits import batch_errors, image_logits, log_uniform
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
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

Reward = Callable[[dict[str, Tensor], Tensor, float], Tensor]


@experiment
def softmaxes_at_the_ends(run: Run, /, *, sign: float = 1.0, growth: float = 0.0) -> Rows:
    """480 logits on real images, rounded to whole numbers, every other one with a tie at the top, times
    `sign` and T^`growth`: the distance of φ_T from uniform over T = 2⁶ … 2¹², root mean square over each of
    24 batches; and at T = 10⁻³, where the runner-up has e⁻¹⁰⁰⁰, the law beside that of the limit.
    """
    logits = (2 * image_logits(run, run.size(quick=480, full=4800))[1]).round()
    logits[::2, 0] = logits[::2].amax(-1)
    temperatures = [2.0**power for power in range(6, 13)]
    gaps = [
        (tempered_softmax(sign * t**growth * logits, temperature=t) - 1 / logits.shape[-1]).norm(dim=-1)
        for t in temperatures
    ]
    return Rows(
        temperature=temperatures,
        to_uniform=torch.stack([batch_errors(gap) for gap in gaps], dim=1),
        cold=tempered_softmax(sign * 1e-3**growth * logits, temperature=1e-3),
        limit=zero_temperature_softmax(logits),
    )


@experiment
def entropies_over_the_temperature(run: Run, /, *, sign: float = 1.0) -> Rows:
    """300 logits on real images, T log-uniform in [0.2, 20] and times `sign`, as φ_{−T}(z) = φ_T(−z): the
    slope of the entropy in T by automatic differentiation and in closed form, and its growth to 1.1·T.
    """
    logits = sign * image_logits(run, run.size(quick=300, full=3000))[1]
    low = log_uniform(0.2, 20, len(logits), run.stream.child("temperature")).requires_grad_()
    at_low = entropy(logits, temperature=low)
    slope = sign * torch.autograd.grad(at_low.sum(), low)[0]
    at_high = entropy(logits, temperature=1.1 * low.detach())
    closed = entropy_temperature_derivative(logits, temperature=low.detach())
    return Rows(slope=slope, closed=closed, growth=sign * (at_high - at_low).detach())


@experiment
def soft_terms_at_high_temperature(run: Run, /, *, temperature_squared: bool = True) -> Rows:
    """480 pairs of logits on real images, T = 2⁵ … 2¹¹: the distance of the gradient of the soft term, and of
    the term itself, from its limit, root mean square over each of 24 batches.
    """
    student, teacher, labels = image_logits(run, run.size(quick=480, full=4800), spread=2.0)
    gradient, divergence = (
        limit(student, teacher) for limit in (high_temperature_gradient, high_temperature_divergence)
    )
    temperatures, of_gradient, of_loss = [2.0**power for power in range(5, 12)], [], []
    for temperature in temperatures:
        found = kd_gradient(
            student, teacher, labels,
            temperature=temperature, weight=1.0, temperature_squared=temperature_squared,
        )  # fmt: skip
        loss = kd_loss(
            student, teacher, None, temperature=temperature, weight=1.0,
            temperature_squared=temperature_squared, reduction="none",
        )  # fmt: skip
        of_gradient.append(batch_errors((found - gradient).norm(dim=-1)))
        of_loss.append(batch_errors(loss - divergence))
    return Rows(
        temperature=temperatures,
        gradient_error=torch.stack(of_gradient, dim=1),
        loss_error=torch.stack(of_loss, dim=1),
    )


def of_order_one_over_t(terms: dict[str, Tensor], student: Tensor, temperature: float) -> Tensor:
    """−(T−1)·H_{1/T}(q)."""
    return terms["renyi_entropy"]


def of_order_t(terms: dict[str, Tensor], student: Tensor, temperature: float) -> Tensor:
    """−(T−1)·H_T(q)."""
    return (1 - temperature) * renyi_entropy(student, order=temperature)


@experiment
def terms_of_transformed_teacher_matching(run: Run, /, *, reward: Reward = of_order_one_over_t) -> Rows:
    """100 pairs of logits on real images at T = 1/2, 1, 3/2, 4 and 10: KL(p_T‖q), and the sum of its terms,
    with a reward for the student's Rényi entropy.
    """
    student, teacher, _ = image_logits(run, run.size(quick=100, full=1000), spread=3.0)
    matched, summed = [], []
    for temperature in (0.5, 1.0, 1.5, 4.0, 10.0):
        terms = zheng24_terms(student, teacher, temperature=temperature)
        matched.append(transformed_teacher_matching(student, teacher, temperature=temperature))
        rewarded = reward(terms, student, temperature)
        summed.append(terms["distillation"] + rewarded + terms["teacher_entropy"])
    return Rows(matched=torch.stack(matched), summed=torch.stack(summed))
