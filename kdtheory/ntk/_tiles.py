"""A matrix of all pairs by tiles, of which the transposes are written beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor

__all__ = ["Array", "Target", "by_numpy", "empty_matrix", "store", "tiles"]

# A NumPy array or a tensor: slices, @, .T and arithmetic in place are the same.
Array = Any

_TILE = 16


def tiles(n: int, m: int, size: int, /, *, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    """An n × m matrix in tiles; of a symmetric one those on and above the diagonal."""
    for i in range(0, n, size):
        for j in range(i if symmetric else 0, m, size):
            yield slice(i, min(i + size, n)), slice(j, min(j + size, m))


def by_numpy(values: Tensor) -> bool:
    """Whether NumPy does the work, whose BLAS is the faster one on the CPU; or torch, on another device."""
    return values.device.type == "cpu"


def empty_matrix(like: Tensor, n: int, m: int) -> Tensor:
    """n × m of the precision and on the device of `like`."""
    if not by_numpy(like):
        return like.new_empty(n, m)
    # NumPy asks for huge pages, which torch's allocator does not: a large matrix is touched in half the time.
    return torch.from_numpy(np.empty((n, m), like[:0].numpy().dtype))


@dataclass(frozen=True, eq=False)
class Target:
    """The rows and columns of a matrix that a block of pairs fills.

    With `mirrored` the matrix is symmetric, and what lies on the other side of the diagonal is filled too; a
    block on the diagonal comes out exactly symmetric.
    """

    gram: Tensor
    rows: slice
    columns: slice
    mirrored: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def symmetric(self) -> bool:
        return self.mirrored and self.rows == self.columns

    def put(self, row: int, column: int, values: Array) -> None:
        """A tile whose first entry is at (row, column) of the block, an array or a tensor on the device.

        In a symmetric block it lies above the diagonal, or begins on it: an array then is at least as wide as
        high, a tensor square.
        """
        row, column = self.rows.start + row, self.columns.start + column
        gram: Any = self.gram
        if isinstance(values, np.ndarray):
            gram = gram.numpy()
            if self.mirrored and row == column:
                store(gram, values, row, column, True)
                return
        elif self.mirrored and row == column:
            values = _symmetric(values)
        n, m = values.shape
        gram[row : row + n, column : column + m] = values
        if self.mirrored:
            gram[column : column + m, row : row + n] = values.T


def _symmetric(values: Tensor) -> Tensor:
    """The upper half and its mirror: sums of symmetric products may still differ in their order."""
    return values.triu() + values.triu(1).mT


@njit(nogil=True, cache=True)
@no_type_check
def store(out, block, row, column, mirrored):
    """Write a block where it belongs, and its transpose across the diagonal, a cache line at a time.

    Of a block on the diagonal only what lies on and above it is read.
    """
    n, m = block.shape
    diagonal = mirrored and row == column
    for i in range(n):
        for j in range(i if diagonal else 0, m):
            out[row + i, column + j] = block[i, j]
    if mirrored:
        for first in range(0, n, _TILE):
            for j in range(first if diagonal else 0, m):
                for i in range(first, min(first + _TILE, j if diagonal else n, n)):
                    out[column + j, row + i] = block[i, j]
