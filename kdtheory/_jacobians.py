"""A look at Jacobians that torch has mapped over points: its rules are wrong for some operations.

Those of `PReLU` with a slope for each channel are, without a word, where as many points are mapped as there
are outputs; elsewhere they fail.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["agrees"]


def agrees(jacobians: Tensor, pull_back: Callable[[Tensor], Tensor]) -> bool:
    """Whether Jacobians n × k × p are those of a batch: one combination of them all, at random, is compared.

    Args:
        jacobians: of k outputs at n points in p parameters.
        pull_back: cotangents n × k to Σ_i c_iᵀJ(x_i), by plain autograd of all points at once.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(jacobians.shape[:2], generator=generator, dtype=torch.float64)
    weights = drawn.to(jacobians)
    off = (weights.flatten() @ jacobians.flatten(0, 1) - pull_back(weights)).norm()
    return bool(off <= torch.finfo(jacobians.dtype).eps ** 0.5 * jacobians.norm())
