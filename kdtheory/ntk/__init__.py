"""Neural tangent kernels (Jacot, Gabriel, Hongler, 2018)."""

from __future__ import annotations

from kdtheory.ntk.infinite_mlp import InfiniteMLP
from kdtheory.ntk.kernel import Kernel
from kdtheory.ntk.solve import cholesky

__all__ = ["InfiniteMLP", "Kernel", "cholesky"]
