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
    """The kernel of one block of pairs at a time, in an array that its thread keeps for the next block."""

    def __init__(self, left: Points, right: Points, layers: Layers, size: int) -> None:
        self._sides = [_Side(side, layers) for side in (left, right)]
        self.dtype = dtype = self._sides[0].norms.dtype
        self._layers, self._symmetric = layers, left is right
        self._spreads = dtype.type(layers.weight_var), dtype.type(layers.bias_var)
        self._constants, self._near = typed_constants(dtype), dtype.type(NEAR[left.norms.dtype])
        self._series = None if layers.bias_var else angle_series(layers, dtype)
        self._own = _Own(size, dtype)

    def __call__(self, rows: slice, columns: slice) -> np.ndarray:
        parts = list(zip(self._sides, (rows, columns), strict=True))
        diagonal = self._symmetric and rows == columns
        x, y = points = tuple(side.rows[part] for side, part in parts)
        shrinks = tuple(side.shrinks[part] for side, part in parts)
        roots = tuple(np.ascontiguousarray(side.roots[:, part]) for side, part in parts)
        block = self._own.block[: len(x) * len(y)].reshape(len(x), len(y))
        np.matmul(x, y.T, out=block)
        if self._series is None:
            norms = tuple(side.norms[part] for side, part in parts)
            settings = self._spreads, self._layers.tangent, self._near, diagonal
            relu_pass(block, points, shrinks, norms, roots, *settings, *self._constants)
        else:
            scales = roots[0][-1], roots[1][-1]
            series_pass(
                block, points, shrinks, scales, self._series, self._near, diagonal, self._constants[1]
            )
        return block


class _Side:
    """One side's points as arrays: x, 1/‖x‖, ã and a after each affine layer."""

    def __init__(self, points: Points, layers: Layers) -> None:
        self.rows = np.ascontiguousarray(points.rows.numpy())
        self.norms = points.norms.numpy()
        self.shrinks = np.where(self.norms > 0, 1 / points.lengths.squeeze(1).numpy(), 0)
        self.roots = torch.stack(diagonals(points.norms, layers)[0]).numpy()


class _Own(threading.local):
    """The memory of one thread for a block."""

    def __init__(self, size: int, dtype: np.dtype) -> None:
        self.block = np.empty(size * size, dtype)
