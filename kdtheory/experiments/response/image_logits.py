"""Logits on real images, and the draws that the experiments on logits share."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.run import Run
from kdtheory.streams import Stream

__all__ = ["batch_errors", "image_logits", "log_uniform", "of_student", "of_teacher"]

BATCHES = 24
"""Independent batches, one fitted slope each."""


def image_logits(run: Run, trials: int, /, *, spread: float = 10.0) -> tuple[Tensor, Tensor, Tensor]:
    """Student logits, teacher logits and labels of images drawn with replacement, float64.

    Both score an image by its squared distance to the mean of each class, the student from a random half of
    the pixels. Each example's scores are stretched by a factor that is log-uniform in [1/spread, spread].
    """
    generator = run.stream.child("logits").torch()
    images = run.images
    kept = torch.randperm(images.num_images, generator=generator)[:5000]
    inputs, labels = images.inputs[kept].double(), images.labels[kept]
    counts = torch.bincount(labels, minlength=images.num_classes).clamp(min=1).unsqueeze(-1)
    means = inputs.new_zeros(images.num_classes, images.dim).index_add_(0, labels, inputs) / counts
    rows = torch.randint(len(kept), (trials,), generator=generator)
    seen = torch.randperm(images.dim, generator=generator)[: (images.dim + 1) // 2]
    teacher = _scores(inputs[rows], means)
    student = _scores(inputs[rows][:, seen], means[:, seen])
    stretch = spread ** (2 * torch.rand(2, trials, 1, generator=generator, dtype=torch.float64) - 1)
    return student * stretch[0], teacher * stretch[1], labels[rows]


def of_student(student: Tensor, teacher: Tensor, /) -> Tensor:
    """The student's logits."""
    return student


def of_teacher(student: Tensor, teacher: Tensor, /) -> Tensor:
    """The teacher's logits."""
    return teacher


def log_uniform(low: float, high: float, count: int, stream: Stream) -> Tensor:
    """Numbers in [low, high], uniform in the logarithm."""
    share = torch.rand(count, generator=stream.torch(), dtype=torch.float64)
    return low * (high / low) ** share


def batch_errors(errors: Tensor) -> Tensor:
    """The root mean square over each of 24 equal batches of examples: one replicate each."""
    return errors.reshape(BATCHES, -1).square().mean(-1).sqrt()


def _scores(inputs: Tensor, means: Tensor) -> Tensor:
    scores = -torch.cdist(inputs, means).square()
    return (scores - scores.mean()) / scores.std()
