"""Neural tangent kernels (Jacot, Gabriel, Hongler, 2018)."""

from __future__ import annotations

from kdtheory.ntk.blocks import fill_gram
from kdtheory.ntk.effective_logits import distillation_slope, effective_logits, overruling_soft_ratio
from kdtheory.ntk.empirical import EmpiricalKernel, SlowKernelWarning
from kdtheory.ntk.infinite_conv import InfiniteConvNet
from kdtheory.ntk.infinite_mlp import InfiniteMLP
from kdtheory.ntk.iterative import IterativeSolution, gram_product, iterative_solution
from kdtheory.ntk.kernel import Kernel
from kdtheory.ntk.linear import LinearKernel
from kdtheory.ntk.linearised import (
    LinearisedTraining,
    linearised_training,
    relative_deviation,
    weight_change,
)
from kdtheory.ntk.products import ntk_vector_product
from kdtheory.ntk.solve import cholesky

__all__ = [
    "EmpiricalKernel",
    "InfiniteConvNet",
    "InfiniteMLP",
    "IterativeSolution",
    "Kernel",
    "LinearKernel",
    "LinearisedTraining",
    "SlowKernelWarning",
    "cholesky",
    "distillation_slope",
    "effective_logits",
    "fill_gram",
    "gram_product",
    "iterative_solution",
    "linearised_training",
    "ntk_vector_product",
    "overruling_soft_ratio",
    "relative_deviation",
    "weight_change",
]
