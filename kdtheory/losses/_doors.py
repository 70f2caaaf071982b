"""Checks of the losses on features and relations, at their public doors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from kdtheory._autocast import own_precision
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_floating, check_same_shape

_MOST_EXPONENT = 100  # 2^100 and 2^−100 are numbers of float32
_ROUNDED = 8  # roundings, by which two equal vectors may differ

__all__ = [
    "check_features",
    "check_maps",
    "check_paired_rows",
    "check_same_maps",
    "product",
    "rows_of",
    "same_size",
    "unit_vectors",
]


def check_features(name: str, features: Tensor) -> None:
    """A batch, one example a row or map, in floating point and finite."""
    if features.ndim < 2:
        raise ValueError(f"{name} has shape {tuple(features.shape)}; give a batch, one example a row or map")
    check_floating(name, features)
    check_finite(name, features)


def check_paired_rows(student_features: Tensor, teacher_features: Tensor, *, least: int = 1) -> None:
    """Finite features of the same examples, `least` or more of them, in the same order."""
    for name, features in (("student_features", student_features), ("teacher_features", teacher_features)):
        check_features(name, features)
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"student_features has {len(student_features)} examples and teacher_features "
            f"{len(teacher_features)}; give the same examples to both"
        )
    check_at_least("the number of examples", len(student_features), least)


def check_maps(name: str, features: Tensor) -> None:
    """A batch of feature maps, finite: examples × channels × height × width."""
    if features.ndim != 4:
        raise ValueError(
            f"{name} has shape {tuple(features.shape)}; give maps: examples × channels × height × width"
        )
    check_features(name, features)


def check_same_maps(student_features: Tensor, teacher_features: Tensor) -> None:
    """Maps of one shape on both sides; a projection makes them so."""
    check_maps("student_features", student_features)
    check_maps("teacher_features", teacher_features)
    check_same_shape("student_features", student_features, "teacher_features", teacher_features)


def unit_vectors(vectors: Tensor, /, *, scale: Tensor | None = None) -> Tensor:
    """v/‖v‖₂ along the last axis; 0, with gradient 0, where v is no longer than rounding makes it.

    Args:
        vectors: v.
        scale: the length whose rounding counts as nothing; the longest v where not given.
    """
    lengths = torch.linalg.vector_norm(vectors.detach(), dim=-1, keepdim=True)
    least = _ROUNDED * torch.finfo(vectors.dtype).eps * (lengths.amax() if scale is None else scale.detach())
    known = lengths > least
    there = vectors.where(known, 1.0)  # the length of nothing has no second derivative
    unit: Tensor = there * (known / torch.linalg.vector_norm(there, dim=-1, keepdim=True))
    return unit


def rows_of(features: Tensor, /, *, each: bool = False) -> Tensor:
    """One example a row, in float32 at least, times the power of two that makes the largest entry about one.

    For losses that do not see the scale: products of very small or very large features leave float32.

    Args:
        features: one example on the first axis.
        each: a power for each example, in place of one for all.
    """
    (rows,) = at_least_float32(features.flatten(1))
    sizes = rows.detach().abs()
    largest = sizes.amax(-1, keepdim=True) if each else sizes.amax()
    exponent = torch.frexp(largest).exponent.clamp(-_MOST_EXPONENT, _MOST_EXPONENT)
    scale = torch.ldexp(torch.ones_like(largest), -exponent)  # ldexp itself has no gradient
    return rows * scale if rows.dtype is features.dtype else rows.mul_(scale)  # a copy of ours, once widened


def product(first: Tensor, second: Tensor, /) -> Tensor:
    """first @ second in the type that they have, also where autocast would round both to half precision."""
    with own_precision(first.device.type):
        return first @ second


def same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of maps at the smaller height and width of both, by averaging over cells."""
    size = min(first.shape[-2], second.shape[-2]), min(first.shape[-1], second.shape[-1])
    return adaptive_avg_pool2d(first, size), adaptive_avg_pool2d(second, size)
