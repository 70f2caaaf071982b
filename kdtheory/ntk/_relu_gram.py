"""Gram matrices of ReLU kernels on the CPU: NumPy's product and the fused pass, a block at a time.

Blocks are shared out to as many threads as torch may use, each with one thread of BLAS: a block never leaves
the cache of its core, and of a symmetric matrix only the blocks on and above the diagonal are computed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kdtheory.ntk._points import NEAR, Points
from kdtheory.ntk._recursion import Layers, diagonals
from kdtheory.ntk._relu_pass import relu_pass, store, typed_constants
from kdtheory.ntk._relu_series import angle_series, series_pass
from kdtheory.ntk._threads import shared_out, tiles

__all__ = ["relu_gram"]

_LEAST_BLOCK, _MOST_BLOCK = 64, 512
_BLOCKS_A_SIDE = 8  # so that threads end at about the same time


def relu_gram(left: Points, right: Points, layers: Layers) -> Tensor:
    """The kernel of all pairs; exactly symmetric where `left` is `right`."""
    symmetric = left is right
    # NumPy asks for huge pages, which torch's allocator does not: a large matrix is touched in half the time.
    out = np.empty((len(left), len(right)), left.directions.numpy().dtype)
    work = _block_work(left, right, layers)

    def fill(block: tuple[slice, slice]) -> None:
        rows, columns = block
        store(out, work(rows, columns), rows.start, columns.start, symmetric)

    n, m = out.shape
    size = min(_MOST_BLOCK, max(_LEAST_BLOCK, -(-max(n, m) // _BLOCKS_A_SIDE)))
    shared_out(fill, list(tiles(n, m, size, symmetric=symmetric)))
    gram = torch.from_numpy(out)
    if symmetric:
        gram.diagonal().copy_(diagonals(left.norms, layers)[1])
    return gram


def _block_work(left: Points, right: Points, layers: Layers) -> Callable[[slice, slice], np.ndarray]:
    dtype = left.directions.numpy().dtype
    sides = [(side.directions.numpy(), side.norms.numpy(), _roots(side, layers)) for side in (left, right)]
    spreads = dtype.type(layers.weight_var), dtype.type(layers.bias_var)
    constants, near = typed_constants(dtype), dtype.type(NEAR[left.norms.dtype])
    series = None if layers.bias_var else angle_series(layers, dtype)

    def work(rows: slice, columns: slice) -> np.ndarray:
        (x, x_norms, x_roots), (y, y_norms, y_roots) = sides
        directions, norms = (x[rows], y[columns]), (x_norms[rows], y_norms[columns])
        roots = (np.ascontiguousarray(x_roots[:, rows]), np.ascontiguousarray(y_roots[:, columns]))
        block: np.ndarray = directions[0] @ directions[1].T
        upper = left is right and rows == columns
        if series is None:
            relu_pass(block, directions, norms, roots, spreads, layers.tangent, near, upper, *constants)
        else:
            series_pass(block, directions, (roots[0][-1], roots[1][-1]), series, near, upper, constants[1])
        return block

    return work


def _roots(side: Points, layers: Layers) -> np.ndarray:
    return torch.stack(diagonals(side.norms, layers)[0]).numpy()
