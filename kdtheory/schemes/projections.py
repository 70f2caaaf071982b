"""Projections from a student's layer to the shape of a teacher's, trained along with the student."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.streams import Stream

__all__ = ["linear_projection"]


@door
def linear_projection(
    student_features: Float[Tensor, "n *s"], teacher_features: Float[Tensor, "n *t"], stream: Stream, /
) -> nn.Module:
    """The linear map of FitNets (Romero et al. 2015) from the student's features to the teacher's shape.

    Of vectors a linear layer; of maps a convolution without padding whose kernel takes the student's size to
    the teacher's, 1 × 1 where they are the same.

    Args:
        student_features: what the student's layer says on a batch.
        teacher_features: what the teacher's says.
        stream: where the initialisation is drawn.

    Raises:
        ValueError: neither both are vectors nor both are maps, or the teacher's maps are the larger ones.

    >>> import torch
    >>> projection = linear_projection(torch.ones(5, 4, 8, 8), torch.ones(5, 6, 7, 7), Stream(0))
    >>> projection(torch.ones(5, 4, 8, 8)).shape
    torch.Size([5, 6, 7, 7])
    """
    student, teacher = student_features.shape[1:], teacher_features.shape[1:]
    if len(student) == len(teacher) == 1:
        with stream.default():
            return nn.Linear(student[0], teacher[0]).to(student_features)
    if len(student) != 3 or len(teacher) != 3:
        raise ValueError(
            f"features are {tuple(student)} and {tuple(teacher)}; pick two layers of vectors, or two of maps"
        )
    kernel = (student[1] - teacher[1] + 1, student[2] - teacher[2] + 1)
    if min(kernel) < 1:
        raise ValueError(
            f"the student's maps are {tuple(student)} and the teacher's {tuple(teacher)}; "
            "pick a layer of the student whose maps are no smaller"
        )
    with stream.default():
        return nn.Conv2d(student[0], teacher[0], kernel).to(student_features)
