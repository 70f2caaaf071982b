"""Neural tangent kernels (Jacot, Gabriel, Hongler, 2018)."""

from __future__ import annotations

from kdtheory.ntk.blocks import fill_gram
from kdtheory.ntk.empirical import EmpiricalKernel, SlowKernelWarning
from kdtheory.ntk.infinite_conv import InfiniteConvNet
from kdtheory.ntk.infinite_mlp import InfiniteMLP
from kdtheory.ntk.kernel import Kernel
from kdtheory.ntk.solve import cholesky

__all__ = [
    "EmpiricalKernel",
    "InfiniteConvNet",
    "InfiniteMLP",
    "Kernel",
    "SlowKernelWarning",
    "cholesky",
    "fill_gram",
]
