"""Work shared out to threads, each with one thread of BLAS.

Torch's threads and those of NumPy's BLAS do not know of each other: after their work both spin for a while,
on the cores that the others then wait for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from kdtheory.ntk._tiles import tiles

__all__ = ["shared_out", "shared_product"]

_BLOCK = 256


def shared_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A·Bᵀ by blocks of rows; of A·Aᵀ only the blocks on and above the diagonal, exactly symmetric."""
    n, m = len(left), len(right)
    out = np.empty((n, m), left.dtype)
    symmetric = (left.ctypes.data, left.shape, left.strides) == (
        right.ctypes.data,
        right.shape,
        right.strides,
    )

    def fill(block: tuple[slice, slice]) -> None:
        rows, columns = block
        out[rows, columns] = left[rows] @ right[columns].T
        if symmetric and rows != columns:
            out[columns, rows] = out[rows, columns].T

    if symmetric:
        shared_out(fill, list(tiles(n, n, _BLOCK, symmetric=True)))
    else:
        size = max(_BLOCK, n // 16)
        shared_out(fill, [(slice(i, min(i + size, n)), slice(0, m)) for i in range(0, n, size)])
    return out


def shared_out(fill: Callable[[Any], None], blocks: Sequence[Any]) -> None:
    """Call `fill` on every block, on as many threads as torch may use, each with one thread of BLAS."""
    threads = torch.get_num_threads()
    if threads == 1:
        for block in blocks:
            fill(block)
        return
    with _blas().limit(limits=1, user_api="blas"):
        for _ in _pool(threads, os.getpid()).map(fill, blocks):
            pass


@lru_cache(maxsize=1)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Kept from call to call, but not across a fork, which threads do not survive."""
    return ThreadPoolExecutor(threads)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
