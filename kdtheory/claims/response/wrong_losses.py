"""Wrong versions of the distillation loss and of its gradient, which several claims must notice.

Each that calls the true function binds it in a default argument, where no patch reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.losses import kd_loss, tempered_softmax
from kdtheory.losses.softmax import per_example

__all__ = [
    "gradient_without_t",
    "loss_reversed",
    "loss_with_t",
    "loss_with_weights_swapped",
    "loss_without_t_squared",
]


def gradient_without_t(*arrays: Tensor, temperature: Any, weight: Any, **_options: Any) -> Tensor:
    """λ(φ_T(z_s) − φ_T(z_t)) + (1−λ)(φ_1(z_s) − e_y): the factor T is forgotten."""
    student_logits, teacher_logits, labels = arrays
    soft, target = (tempered_softmax(z, temperature=temperature) for z in (student_logits, teacher_logits))
    hard = student_logits.softmax(-1) - torch.nn.functional.one_hot(labels, student_logits.shape[-1])
    share = per_example(weight, student_logits)
    return share * (soft - target) + (1 - share) * hard


def loss_with_t(
    *arrays: Tensor | None, temperature: float, _true: Callable[..., Tensor] = kd_loss, **options: Any
) -> Tensor:
    """T in place of T²."""
    return _true(*arrays, temperature=temperature, **options) / temperature


def loss_reversed(*arrays: Tensor | None, _true: Callable[..., Tensor] = kd_loss, **options: Any) -> Tensor:
    """The student comes first in the divergence."""
    return _true(*arrays, **{**options, "soft": "reverse_kl"})


def loss_without_t_squared(
    *arrays: Tensor | None, _true: Callable[..., Tensor] = kd_loss, **options: Any
) -> Tensor:
    """T² is forgotten."""
    return _true(*arrays, **{**options, "temperature_squared": False})


def loss_with_weights_swapped(
    *arrays: Tensor | None,
    weight: Any,
    hard_weight: Any,
    _true: Callable[..., Tensor] = kd_loss,
    **options: Any,
) -> Tensor:
    """The weight of the teacher is given to the labels, where there are some, and the other way round."""
    if arrays[2] is None:
        return _true(*arrays, weight=weight, hard_weight=hard_weight, **options)
    return _true(*arrays, weight=hard_weight, hard_weight=weight, **options)
