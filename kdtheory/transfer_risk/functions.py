"""Functions in the space of a kernel: the oracle, the student, their norms and the angle between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk.kernel import Kernel
from kdtheory.ntk.linear import LinearKernel
from kdtheory.ntk.solve import cholesky
from kdtheory.types import promoted
from kdtheory.validate import check_finite

__all__ = ["KernelFunction", "angle_between", "interpolant", "linear_function"]


@door
@dataclass(frozen=True, eq=False)
class KernelFunction:
    """f(x) = φ(x)·Δw with Δw = Σ_j c_j φ(a_j): f(x) = Σ_j c_j K(x, a_j), ‖f‖² = cᵀK(A, A)c.

    Args:
        kernel: K(x, x′) = φ(x)·φ(x′).
        anchors: a_j, points as the kernel takes them.
        coefficients: c_j.

    Raises:
        ValueError: there is not one finite coefficient for each anchor.

    >>> f = linear_function(torch.tensor([3.0, 4.0]))
    >>> f(torch.tensor([[1.0, 1.0]])), float(f.squared_norm)
    (tensor([7.]), 25.0)
    """

    kernel: Kernel
    anchors: Float[Tensor, "a *shape"]
    coefficients: Float[Tensor, "a"]

    def __post_init__(self) -> None:
        check_finite("coefficients", self.coefficients)

    def __call__(self, inputs: Float[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """f(x_i)."""
        return _product(self.kernel(inputs, self.anchors), self.coefficients)

    @cached_property
    def squared_norm(self) -> Float[Tensor, ""]:
        """‖f‖² = cᵀK(A, A)c."""
        return _product(self.coefficients, _product(self.kernel(self.anchors), self.coefficients))

    def inner(self, other: KernelFunction, /) -> Float[Tensor, ""]:
        """⟨f, g⟩ of two functions of one kernel."""
        return _product(self.coefficients, other(self.anchors))


@door
def interpolant(
    kernel: Kernel, inputs: Float[Tensor, "n *shape"], targets: Float[Tensor, "n"], /, *, jitter: float = 0.0
) -> KernelFunction:
    """The function of least norm with f(x_i) = z_i: Δw = φ(X)Θ⁻¹z, where training from zero ends.

    Args:
        kernel: K.
        inputs: X.
        targets: z.
        jitter: added to the diagonal of Θ = K(X, X), relative to its mean; the targets are then met only
            approximately.

    Raises:
        ValueError: an entry is not finite, there is not one target for each point, or Θ is singular to
            rounding (repeated points, or more points than features) and the jitter too small.

    >>> interpolant(LinearKernel(), torch.eye(2), torch.tensor([3.0, 4.0]))(torch.ones(1, 2))
    tensor([7.])
    """
    check_finite("targets", targets)
    factor = cholesky(kernel(inputs), jitter=jitter)
    return KernelFunction(kernel, inputs, torch.cholesky_solve(targets.to(factor)[:, None], factor)[:, 0])


@door
def linear_function(weights: Float[Tensor, "d"], /) -> KernelFunction:
    """f(x) = w·x, as a function of the linear kernel."""
    return KernelFunction(LinearKernel(), weights[None], torch.ones(1).to(weights))


@door
def angle_between(first: KernelFunction, second: KernelFunction, /) -> Float[Tensor, ""]:
    """∠(f, g) = arccos(⟨f, g⟩/‖f‖‖g‖) in [0, π], in radians.

    Angles below about the root of the rounding error are lost in it.

    Raises:
        ValueError: a function is zero, so that it has no direction.

    >>> x, diagonal = (linear_function(torch.tensor(w)) for w in ([1.0, 0.0], [1.0, 1.0]))
    >>> angle_between(x, diagonal) / torch.pi
    tensor(0.2500)
    """
    norms = first.squared_norm.sqrt() * second.squared_norm.sqrt()
    if not float(norms.detach()) > 0:
        raise ValueError("a function of norm zero has no direction; give functions that are not zero")
    return (first.inner(second) / norms).clamp(-1, 1).arccos()


def _product(left: Tensor, right: Tensor) -> Tensor:
    left, right = promoted(left, right)
    return left @ right
