"""Hints: the student's layer predicts the teacher's (FitNets)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import check_paired_rows
from kdtheory.types import at_least_float32

__all__ = ["hint_loss"]


@door
def hint_loss(
    student_features: Float[Tensor, "b *student"],
    teacher_features: Float[Tensor, "b *teacher"],
    /,
    *,
    projection: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """(1/b) Σ_b ½‖t_b − r(s_b)‖₂², the hint loss with a projection r that is trained along.

    Romero, Ballas, Kahou, Chassang, Gatta, Bengio, *FitNets* (2015), whose r is a convolutional regressor and
    whose batch is one example. Codes that use `nn.MSELoss` have 2/D times this, D the numbers in t_b. With
    the best linear r the loss does not change under an invertible linear map of the student's features; it
    is 0 iff the teacher's are such a map of the student's.

    Args:
        student_features: s.
        teacher_features: t.
        projection: r, from the student's features to the teacher's shape; None takes them as they are.

    Raises:
        ValueError: the batches differ, an entry is not finite, or the projected shape is not the teacher's.

    >>> import torch
    >>> hint_loss(torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))  # (25/2 + 1/2) / 2
    tensor(6.5000)
    """
    check_paired_rows(student_features, teacher_features)
    projected = student_features if projection is None else projection(student_features)
    if projected.shape != teacher_features.shape:
        raise ValueError(
            f"student_features has shape {tuple(projected.shape)} after its projection and teacher_features "
            f"{tuple(teacher_features.shape)}; give a projection to the teacher's shape"
        )
    projected, teacher_features = at_least_float32(projected, teacher_features)
    return (teacher_features - projected).square().flatten(1).sum(1).mean() / 2
