"""Jacobians that torch maps over points, looked at: its rules are wrong for some operations.

Those of `PReLU` are, without a word, where as many points are mapped as there are outputs; for other numbers
of points they fail.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["mapped_or_plain"]


def mapped_or_plain(
    mapped: Callable[[], Tensor], plain: Callable[[], Tensor], pull_back: Callable[[Tensor], Tensor]
) -> Tensor:
    """Jacobians n × k × p of k outputs at n points in p parameters.

    Args:
        mapped: by torch.func, where it can map them and maps them rightly.
        plain: by plain autograd, one after the other, where it does not.
        pull_back: cotangents n × k to Σ_i c_iᵀJ(x_i), by plain autograd of all points at once.
    """
    try:
        found = mapped()
        right = _agrees(found, pull_back)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        right = False
    return found if right else plain()


def _agrees(jacobians: Tensor, pull_back: Callable[[Tensor], Tensor]) -> bool:
    """Whether they are those of a batch: one combination of them all, at random, is compared."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(jacobians.shape[:2], generator=generator, dtype=torch.float64)
    weights = drawn.to(jacobians)
    off = (weights.flatten() @ jacobians.flatten(0, 1) - pull_back(weights)).norm()
    return bool(off <= torch.finfo(jacobians.dtype).eps ** 0.5 * jacobians.norm())
