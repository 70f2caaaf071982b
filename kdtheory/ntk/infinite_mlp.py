"""The kernels of infinitely wide fully connected networks: tangent kernel (NTK) and covariance (NNGP)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk._points import Points, check_fits, checked_pair, gaps, prepared
from kdtheory.ntk._recursion import ACTIVATIONS, Layers, diagonals, propagated
from kdtheory.validate import check_at_least, check_one_of, check_positive

__all__ = ["InfiniteMLP"]

_PAIRS_AT_ONCE = 2**20


@door
@dataclass(frozen=True)
class InfiniteMLP:
    """Θ(x, x′) = Σ_l K_l(x, x′) Π_{m>l} w²K̇_m(x, x′), the limit of ⟨∂f/∂θ(x), ∂f/∂θ(x′)⟩ as the widths grow.

    Jacot, Gabriel, Hongler (2018), in the parameterisation and the normalisation of neural-tangents: every
    affine layer is (W_std/√n)·Wh + b_std·b with all parameters drawn from N(0, 1), inputs included (their
    Gram matrix is divided by d), and ReLU is not rescaled (W_std = √2 keeps lengths). One output; the k
    outputs of a network are independent, with this kernel each.

    Exact up to rounding, also on the diagonal and for points that nearly coincide. A point of norm zero has
    Θ = 0 with every other where there is no bias. Symmetric Gram matrices are computed by half, block by
    block, on the device of the points; larger ones than memory with `fill_gram`.

    Args:
        hidden_layers: how many times the activation is applied; 0 is linear regression.
        activation: "relu", "erf" or "identity".
        weight_std: W_std.
        bias_std: b_std; 0 is no bias.
        kind: "ntk", or "nngp" for E[f(x)f(x′)] at initialisation.

    Raises:
        ValueError: a number or a name is out of range.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> InfiniteMLP(1, weight_std=2**0.5)(x).mul(torch.pi)  # π·(K(0) + K̇·Θ_0): 2π·1 and 1 + 0
    tensor([[6.2832, 1.0000],
            [1.0000, 6.2832]], dtype=torch.float64)
    """

    hidden_layers: int
    activation: str = "relu"
    weight_std: float = 1.0
    bias_std: float = 0.0
    kind: str = "ntk"

    def __post_init__(self) -> None:
        check_at_least("hidden_layers", self.hidden_layers, 0)
        check_one_of("activation", self.activation, ACTIVATIONS)
        check_positive("weight_std", self.weight_std)
        if not 0 <= self.bias_std < torch.inf:
            raise ValueError(f"bias_std = {self.bias_std} must be finite and at least 0")
        check_one_of("kind", self.kind, ("ntk", "nngp"))

    def __call__(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m"]:
        """The Gram matrix K(x_i, x′_j); without `columns` that of the rows, exactly symmetric.

        Raises:
            ValueError: points that are not finite, alike, or of float32 or float64; a matrix that does not
                fit in memory; lengths that overflow.
        """
        checked_pair(rows, columns)
        check_fits(len(rows) * len(rows if columns is None else columns), rows)
        left = prepared(rows)
        right = left if columns is None else prepared(columns)
        if self.activation == "relu" and self.hidden_layers and rows.device.type == "cpu":
            from kdtheory.ntk._relu_gram import relu_gram  # compiled code is loaded where it is needed

            return relu_gram(left, right, self._layers)
        return _by_blocks(left, right, self._layers)

    def diagonal(self, rows: Float[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """K(x_i, x_i), in time and memory linear in n."""
        checked_pair(rows, None)
        return diagonals(prepared(rows).norms, self._layers)[1]

    @property
    def _layers(self) -> Layers:
        return Layers(
            self.hidden_layers, self.activation, self.weight_std**2, self.bias_std**2, self.kind == "ntk"
        )


def _by_blocks(left: Points, right: Points, layers: Layers) -> Tensor:
    """Blocks of rows; of a symmetric matrix, each from the diagonal on."""
    symmetric = left is right
    roots = diagonals(left.norms, layers)
    across = roots if symmetric else diagonals(right.norms, layers)
    x = left.directions
    y = x if symmetric else right.directions
    gram = left.norms.new_empty(len(left), len(right))
    size = max(1, _PAIRS_AT_ONCE // len(right))
    for start in range(0, len(left), size):
        rows, columns = slice(start, start + size), slice(start if symmetric else 0, None)
        both = gaps(x[rows], y[columns], x[rows] @ y[columns].mT)
        sides = [root[rows] for root in roots[0]], [root[columns] for root in across[0]]
        block = propagated(both, (left.norms[rows], right.norms[columns]), sides, layers)
        gram[rows, columns] = block
        if symmetric:
            square = block[:, : len(block)].triu(1)
            gram[columns, rows] = block.mT
            gram[rows, rows] = square + square.mT
    if symmetric:
        gram.diagonal().copy_(roots[1])
    return gram
