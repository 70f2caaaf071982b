"""Gram matrices of ReLU kernels on the CPU: NumPy's product and the fused pass, a block at a time.

Blocks are shared out to as many threads as torch may use, each with one thread of BLAS: a block never leaves
the cache of its core, and of a symmetric matrix only the blocks on and above the diagonal are computed.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from kdtheory.ntk._points import NEAR, Points
from kdtheory.ntk._recursion import Layers, diagonals
from kdtheory.ntk._relu_pass import relu_pass, typed_constants
from kdtheory.ntk._relu_series import angle_series, series_pass
from kdtheory.ntk._threads import shared_out
from kdtheory.ntk._tiles import empty_matrix, store, tiles

__all__ = ["relu_gram"]

_LEAST_BLOCK, _MOST_BLOCK = 64, 512
_BLOCKS_A_SIDE = 8  # so that threads end at about the same time


def relu_gram(left: Points, right: Points, layers: Layers) -> Tensor:
    """The kernel of all pairs; exactly symmetric where `left` is `right`."""
    symmetric = left is right
    n, m = len(left), len(right)
    size = min(_MOST_BLOCK, max(_LEAST_BLOCK, -(-max(n, m) // _BLOCKS_A_SIDE)))
    work = _BlockWork(left, right, layers, size)
    gram = empty_matrix(left.norms, n, m)
    out = gram.numpy()

    def fill(block: tuple[slice, slice]) -> None:
        rows, columns = block
        store(out, work(rows, columns), rows.start, columns.start, symmetric)

    shared_out(fill, list(tiles(n, m, size, symmetric=symmetric)))
    if symmetric:
        gram.diagonal().copy_(diagonals(left.norms, layers)[1])
    return gram


class _BlockWork:
    """The kernel of one block of pairs at a time, in arrays that its thread keeps for the next block."""

    def __init__(self, left: Points, right: Points, layers: Layers, size: int) -> None:
        self._sides = [(side, side.norms.numpy(), _roots(side, layers)) for side in (left, right)]
        self.dtype = dtype = self._sides[0][1].dtype
        self._layers, self._symmetric = layers, left is right
        self._spreads = dtype.type(layers.weight_var), dtype.type(layers.bias_var)
        self._constants, self._near = typed_constants(dtype), dtype.type(NEAR[left.norms.dtype])
        self._series = None if layers.bias_var else angle_series(layers, dtype)
        self._own = _Arrays(size, left.rows.shape[1], dtype)

    def __call__(self, rows: slice, columns: slice) -> np.ndarray:
        parts = list(zip(self._sides, (rows, columns), strict=True))
        diagonal = self._symmetric and rows == columns
        x = self._own.directions(0, parts[0][0][0], rows)
        y = x if diagonal else self._own.directions(1, parts[1][0][0], columns)
        roots = tuple(np.ascontiguousarray(own[:, part]) for (_, _, own), part in parts)
        block = self._own.block[: len(x) * len(y)].reshape(len(x), len(y))
        np.matmul(x, y.T, out=block)
        if self._series is None:
            norms = tuple(own[part] for (_, own, _), part in parts)
            settings = self._spreads, self._layers.tangent, self._near, diagonal
            relu_pass(block, (x, y), norms, roots, *settings, *self._constants)
        else:
            scales = roots[0][-1], roots[1][-1]
            series_pass(block, (x, y), scales, self._series, self._near, diagonal, self._constants[1])
        return block


class _Arrays(threading.local):
    """What one thread needs for a block: the directions of both sides, and the pairs."""

    def __init__(self, size: int, dim: int, dtype: np.dtype) -> None:
        self._directions = [np.empty((size, dim), dtype) for _ in range(2)]
        self._shown: list[slice | None] = [None, None]
        self.block = np.empty(size * size, dtype)

    def directions(self, side: int, points: Points, part: slice) -> np.ndarray:
        """x̂ of a part of the points, which the blocks of one row share."""
        out = self._directions[side][: part.stop - part.start]
        if self._shown[side] != part:
            points[part].directions_into(torch.from_numpy(out))
            self._shown[side] = part
        return out


def _roots(side: Points, layers: Layers) -> np.ndarray:
    return torch.stack(diagonals(side.norms, layers)[0]).numpy()
