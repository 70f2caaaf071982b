"""The kernel of linear students, K(x, x′) = x·x′: the tangent kernel of f(x) = w·x, which never moves."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk._points import check_fits
from kdtheory.types import promoted
from kdtheory.validate import check_finite

__all__ = ["LinearKernel"]


@door
@dataclass(frozen=True)
class LinearKernel:
    """K(x, x′) = x·x′, each point flattened: φ(x) = x.

    >>> import torch
    >>> LinearKernel()(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    tensor([[3., 8.]])
    """

    def __call__(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m"]:
        """x_i·x′_j.

        Raises:
            ValueError: an entry is NaN or infinite, or the matrix does not fit in memory.
        """
        check_finite("rows", rows)
        check_fits(len(rows) * len(rows if columns is None else columns), rows)
        flat = rows.reshape(len(rows), -1)
        if columns is None:
            gram = flat @ flat.mT
            return (gram + gram.mT) / 2
        check_finite("columns", columns)
        flat, others = promoted(flat, columns.reshape(len(columns), -1))
        return flat @ others.mT

    def diagonal(self, rows: Float[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """‖x_i‖².

        Raises:
            ValueError: an entry is NaN or infinite.
        """
        check_finite("rows", rows)
        return rows.reshape(len(rows), -1).square().sum(-1)
