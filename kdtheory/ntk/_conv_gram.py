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
_RIM = 1e15  # a there, so that u is never small


def pooled_relu_kernel(rows: Tensor, columns: Tensor, pairs: Tensor, filters: Filters) -> Tensor:
    """The kernel of each pair (i, j) of `pairs`: image i of the rows with image j of the columns."""
    height, width = rows.shape[2:]
    source = _source(height, width, filters)
    left = _with_rim(pixels(rows), height, width, source, filters)
    right = left if rows is columns else _with_rim(pixels(columns), height, width, source, filters)
    dtype = left[0].dtype
    sides = tuple(zip(left, right, strict=True))
    shape, spreads = (
        (height, width, filters.size // 2),
        (
            dtype.type(filters.weight_var),
            dtype.type(filters.bias_var),
        ),
    )
    near, constants = dtype.type(NEAR[rows.dtype]), typed_constants(dtype)
    values, index = np.empty(len(pairs), dtype), pairs.numpy()

    def fill(part: slice) -> None:
        conv_pass(
            values[part], index[part], *sides, shape, source, spreads, filters.tangent, near, *constants
        )

    shared_out(fill, [slice(at, at + _PAIRS_AT_ONCE) for at in range(0, len(pairs), _PAIRS_AT_ONCE)])
    return torch.from_numpy(values)


def _source(height: int, width: int, filters: Filters) -> np.ndarray:
    """Which position, counted with the rim, each position repeats; −1 where it is outside."""
    reach = filters.size // 2
    y, x = (np.arange(-reach, length + reach) for length in (height, width))
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    repeats = (y % height + reach)[:, None] * (width + 2 * reach) + (x % width + reach)
    return np.where(inside | (filters.padding == "circular"), repeats, -1).reshape(-1)


def _with_rim(
    points: Pixels, height: int, width: int, source: np.ndarray, filters: Filters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions, ã and a of all positions with the rim."""
    inside, outside = roots_of(points, filters, filters.neighbours(height, width))
    own = torch.full((len(source),), height * width)
    wide, reach = width + 2 * (filters.size // 2), filters.size // 2
    place = torch.from_numpy(source)
    shown = place >= 0
    own[shown] = (place[shown] // wide - reach) * width + place[shown] % wide - reach

    def rimmed(values: Tensor, fill: float) -> np.ndarray:
        padded = torch.cat([values, values.new_full((len(values), 1, *values.shape[2:]), fill)], 1)
        return padded[:, own].contiguous().numpy()

    directions = np.ascontiguousarray(rimmed(points.directions, 0).transpose(0, 2, 1))
    return (
        directions,
        np.stack([rimmed(root, 0) for root in inside], 1),
        np.stack([rimmed(root, _RIM) for root in outside], 1),
    )
