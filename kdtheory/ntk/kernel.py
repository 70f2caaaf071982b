"""A kernel: a function of two sets of points that gives their Gram matrix.

The kernel of infinitely wide networks, the empirical kernel of one network and the linear kernel all have
this one call form, so that whatever is built on a kernel takes any of them.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["Kernel"]


@runtime_checkable
class Kernel(Protocol):
    """K(x, x′), positive semi-definite."""

    def __call__(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m"]:
        """The Gram matrix K(x_i, x′_j); without `columns` that of the rows, exactly symmetric."""

    def diagonal(self, rows: Float[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """K(x_i, x_i), in time and memory linear in n."""
