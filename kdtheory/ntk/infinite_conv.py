"""The kernels of convolutional networks with infinitely many channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk._conv_recursion import Filters, pixels, propagated_images
from kdtheory.ntk._points import check_fits, checked_pair
from kdtheory.ntk._recursion import ACTIVATIONS
from kdtheory.validate import check_at_least, check_one_of, check_positive

__all__ = ["InfiniteConvNet"]

_NUMBERS_AT_ONCE = 2**23


@door
@dataclass(frozen=True)
class InfiniteConvNet:
    """Θ(x, x′) of (convolution, φ) × L, then flattening or the mean over positions, then an affine layer.

    Novak et al. (2019) and Arora et al. (2019), in the parameterisation and normalisation of neural-tangents:
    weights (W_std/√(channels·size²))·W, all entries drawn from N(0, 1), stride 1, outputs as large as inputs.
    Flattening sees pairs of equal positions only; pooling sees all pairs of positions, (height·width)² of
    them for each pair of images, in memory one pair of images at a time.

    Args:
        conv_layers: how many convolutions.
        filter_size: odd; a filter is filter_size × filter_size.
        pooling: "flatten", or "average" for the mean over all positions.
        padding: "zeros" outside the image, or "circular".
        activation: "relu", "erf" or "identity".
        weight_std: W_std.
        bias_std: b_std; 0 is no bias.
        kind: "ntk", or "nngp" for E[f(x)f(x′)] at initialisation.

    Raises:
        ValueError: a number or a name is out of range.

    >>> InfiniteConvNet(1, filter_size=1, activation="identity")(torch.ones(1, 3, 2, 2))  # K = 1, Θ = 2
    tensor([[2.]])
    """

    conv_layers: int
    filter_size: int = 3
    pooling: str = "flatten"
    padding: str = "zeros"
    activation: str = "relu"
    weight_std: float = 1.0
    bias_std: float = 0.0
    kind: str = "ntk"

    def __post_init__(self) -> None:
        check_at_least("conv_layers", self.conv_layers, 1)
        check_at_least("filter_size", self.filter_size, 1)
        if self.filter_size % 2 == 0:
            raise ValueError(f"filter_size = {self.filter_size} must be odd, so that a filter has a centre")
        check_one_of("pooling", self.pooling, ("flatten", "average"))
        check_one_of("padding", self.padding, ("zeros", "circular"))
        check_one_of("activation", self.activation, ACTIVATIONS)
        check_positive("weight_std", self.weight_std)
        if not 0 <= self.bias_std < torch.inf:
            raise ValueError(f"bias_std = {self.bias_std} must be finite and at least 0")
        check_one_of("kind", self.kind, ("ntk", "nngp"))

    def __call__(
        self,
        rows: Float[Tensor, "n c height width"],
        columns: Float[Tensor, "m c height width"] | None = None,
        /,
    ) -> Float[Tensor, "n m"]:
        """The Gram matrix K(x_i, x′_j); without `columns` that of the rows, exactly symmetric.

        Raises:
            ValueError: images that are not n × c × height × width, finite, alike and float32 or float64, or
                whose squares overflow; a matrix that does not fit in memory.
        """
        _check_images(rows, columns)
        n, m = len(rows), len(rows if columns is None else columns)
        check_fits(n * m, rows)
        if columns is not None:
            pairs = torch.cartesian_prod(torch.arange(n), torch.arange(m))
            return self._of_pairs(rows, columns, pairs).reshape(n, m)
        pairs = torch.triu_indices(n, n).T
        gram, values = rows.new_empty(n, n), self._of_pairs(rows, rows, pairs)
        gram[pairs[:, 0], pairs[:, 1]] = values
        gram[pairs[:, 1], pairs[:, 0]] = values
        return gram

    def diagonal(self, rows: Float[Tensor, "n c height width"], /) -> Float[Tensor, "n"]:
        """K(x_i, x_i), in time and memory linear in n."""
        _check_images(rows, None)
        return self._of_pairs(rows, rows, torch.arange(len(rows))[:, None].expand(-1, 2))

    def _of_pairs(self, rows: Tensor, columns: Tensor, pairs: Tensor) -> Tensor:
        height, width = rows.shape[2:]
        filters = self._filters
        if filters.pooled and self.activation == "relu" and rows.device.type == "cpu":
            from kdtheory.ntk._conv_gram import (
                pooled_relu_kernel,  # compiled code is loaded where it is needed
            )

            return pooled_relu_kernel(rows, columns, pairs, filters)
        near = filters.neighbours(height, width).to(rows.device)
        left = pixels(rows)
        right = left if rows is columns else pixels(columns)
        entries = (height * width) ** (2 if filters.pooled else 1)
        size = max(1, _NUMBERS_AT_ONCE // (entries * len(near)))
        parts = [
            propagated_images(left[part[:, 0]], right[part[:, 1]], filters, near)
            for part in pairs.to(rows.device).split(size)
        ]
        return torch.cat(parts)

    @property
    def _filters(self) -> Filters:
        return Filters(
            layers=self.conv_layers,
            size=self.filter_size,
            padding=self.padding,
            pooled=self.pooling == "average",
            activation=self.activation,
            weight_var=self.weight_std**2,
            bias_var=self.bias_std**2,
            tangent=self.kind == "ntk",
        )


def _check_images(rows: Tensor, columns: Tensor | None) -> None:
    checked_pair(rows, columns)
    if rows.ndim != 4:
        raise ValueError(f"rows has shape {tuple(rows.shape)}; give images n × channels × height × width")
    for images in (rows, rows if columns is None else columns):
        if not bool(torch.isfinite(images.square().sum(1)).all()):
            raise ValueError(f"squares of the images overflow in {images.dtype}; scale them down")
