"""Pooled ReLU convolutional kernels on the CPU: pairs of images shared out to threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdtheory.ntk._conv_pass import conv_pass
from kdtheory.ntk._conv_recursion import Filters, Pixels, pixels, roots_of
from kdtheory.ntk._points import NEAR
from kdtheory.ntk._relu_pass import typed_constants
from kdtheory.ntk._threads import shared_out

__all__ = ["pooled_relu_kernel"]

_PAIRS_AT_ONCE = 16
_LANES = 8  # numbers in a register of the processor


def pooled_relu_kernel(rows: Tensor, columns: Tensor, pairs: Tensor, filters: Filters) -> Tensor:
    """The kernel of each pair (i, j) of `pairs`: image i of the rows with image j of the columns."""
    grid = _Grid(rows.shape[2], rows.shape[3], filters)
    left = grid.side(pixels(rows))
    right = left if rows is columns else grid.side(pixels(columns))
    dtype = left[0].dtype
    spreads = dtype.type(filters.weight_var), dtype.type(filters.bias_var)
    sides = tuple(zip(left, right, strict=True))
    settings = grid.shape, grid.source, spreads, filters.tangent, dtype.type(NEAR[rows.dtype])
    constants = typed_constants(dtype)
    values, index = np.empty(len(pairs), dtype), pairs.numpy()

    def fill(part: slice) -> None:
        conv_pass(values[part], index[part], *sides, *settings, *constants)

    shared_out(fill, [slice(at, at + _PAIRS_AT_ONCE) for at in range(0, len(pairs), _PAIRS_AT_ONCE)])
    return torch.from_numpy(values)


class _Grid:
    """The positions of an image in one row, line by line, with a rim as wide as the filter reaches.

    Two lines share a rim of zeros; one that repeats the other side of the image is on both sides of a line.
    `source` says which position each repeats, itself inside, or −1 where it is zero.
    """

    def __init__(self, height: int, width: int, filters: Filters) -> None:
        reach = filters.size // 2
        circular = filters.padding == "circular"
        self._filters, self._height, self._width = filters, height, width
        pitch = width + (2 * reach if circular else reach)
        first = reach * pitch + reach
        used = (height - 1) * pitch + width
        count = -(-used // _LANES) * _LANES
        self.shape = height, width, pitch, reach, count
        places = np.arange(first + count + first)
        y, x = places // pitch - reach, places % pitch - reach
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        around = (y >= -reach) & (y < height + reach) & circular
        repeated = (y % height + reach) * pitch + x % width + reach
        self.source = np.where(inside | around, repeated, -1)

    def side(self, points: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Directions, ã, a and 1/a of all positions with the rim."""
        neighbours = self._filters.neighbours(self._height, self._width)
        inside, outside = roots_of(points, self._filters, neighbours)
        directions = self._rimmed(points.directions)
        roots = np.stack([self._rimmed(root) for root in outside], 1)
        large = roots >= np.finfo(roots.dtype).tiny
        return (
            np.ascontiguousarray(directions.transpose(0, 2, 1)),
            np.stack([self._rimmed(root) for root in inside], 1),
            roots,
            np.divide(1, roots, out=np.zeros_like(roots), where=large),
        )

    def _rimmed(self, values: Tensor) -> np.ndarray:
        """n × positions × … with the rim, zero or repeated."""
        _, _, pitch, reach, _ = self.shape
        y, x = self.source // pitch - reach, self.source % pitch - reach
        own = np.where(self.source >= 0, y * self._width + x, self._height * self._width)
        padded = torch.cat([values, values.new_zeros(len(values), 1, *values.shape[2:])], 1)
        return padded[:, torch.from_numpy(own)].contiguous().numpy()
