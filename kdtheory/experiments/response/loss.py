"""The distillation loss on logits on real images: cross-entropies, its gradient, what it does not see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.response.image_logits import image_logits, log_uniform, of_teacher
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import SOFT_TERMS, cross_entropy, entropy, kd_gradient, kd_loss, kl_divergence

Choice = Callable[[Tensor, Tensor], Tensor]
OF_LAWS = tuple(sorted(set(SOFT_TERMS) - {"mse_logits"}))


@experiment
def cross_entropies_of_images(run: Run, /, *, share: float = 1.0, whose: Choice = of_teacher) -> Rows:
    """300 pairs of logits on real images: the cross-entropy of the student, that of a student with the
    teacher's own logits, the divergence, and as the floor a share of somebody's entropy.
    """
    student, teacher, _ = image_logits(run, run.size(quick=300, full=3000))
    return Rows(
        floor=share * entropy(whose(student, teacher)),
        paid=cross_entropy(student, teacher),
        paid_by_the_teacher=cross_entropy(teacher.clone(), teacher),
        divergence=kl_divergence(student, teacher),
        entropy=entropy(teacher),
        classes=teacher.shape[-1],
    )


@experiment
def gradients_of_the_cross_entropy(run: Run, /, *, learner: Choice = of_teacher) -> Rows:
    """300 pairs of logits on real images, T log-uniform in [0.2, 20]: T times the gradient of the
    cross-entropy CE(p(learner, T), p(teacher, T)) in the student's logits, by automatic differentiation, and
    φ_T(z_s) − φ_T(z_t).
    """
    student, teacher, labels = image_logits(run, run.size(quick=300, full=3000))
    temperature = log_uniform(0.2, 20, len(student), run.stream.child("temperature"))
    student.requires_grad_()
    over = temperature.unsqueeze(-1)
    unseen = 0 * student.sum()  # lets the gradient of a loss without the student be asked for
    paid = cross_entropy(learner(student, teacher) / over, teacher / over)
    (found,) = torch.autograd.grad((temperature * paid).sum() + unseen, student)
    stated = over * kd_gradient(
        student.detach(), teacher, labels, temperature=temperature, weight=1.0, temperature_squared=False
    )
    return Rows(found=found, stated=stated)


def on_the_teacher(weight: Tensor) -> Tensor:
    """λ weighs the teacher."""
    return weight


def on_the_labels(weight: Tensor) -> Tensor:
    """λ weighs the labels, so that the teacher has 1 − λ."""
    return 1 - weight


@experiment
def gradients_of_the_distillation_loss(
    run: Run, /, *, reading: Callable[[Tensor], Tensor] = on_the_teacher
) -> Rows:
    """300 pairs of logits on real images, each with its own T, log-uniform in [0.2, 20], and its own λ,
    uniform in [0, 1]: the gradient by automatic differentiation, and the closed form.
    """
    student, teacher, labels = image_logits(run, run.size(quick=300, full=3000))
    temperature = log_uniform(0.2, 20, len(student), run.stream.child("temperature"))
    weight = torch.rand(len(student), generator=run.stream.child("weight").torch(), dtype=torch.float64)
    student.requires_grad_()
    loss = kd_loss(student, teacher, labels, temperature=temperature, weight=reading(weight), reduction="sum")
    (found,) = torch.autograd.grad(loss, student)
    stated = kd_gradient(student.detach(), teacher, labels, temperature=temperature, weight=weight)
    return Rows(found=found, stated=stated)


@experiment
def losses_of_shifted_logits(run: Run, /, *, terms: tuple[str, ...] = OF_LAWS) -> Rows:
    """300 pairs of logits on real images: the loss of each at T = 3 and λ = 1/2, before and after constants
    are drawn for every example and side and added to all its logits; terms × images, for each soft term.
    """
    student, teacher, labels = image_logits(run, run.size(quick=300, full=3000))
    shape = (2, len(labels), 1)
    a, b = 5 * torch.randn(shape, generator=run.stream.child("constants").torch(), dtype=torch.float64)
    before, after = (
        torch.stack(
            [
                kd_loss(s, t, labels, temperature=3.0, weight=0.5, soft=name, reduction="none")
                for name in terms
            ]
        )
        for s, t in ((student, teacher), (student + a, teacher + b))
    )
    return Rows(term=terms, before=before, after=after)
