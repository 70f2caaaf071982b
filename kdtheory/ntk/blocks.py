"""Gram matrices larger than memory: block by block into an array that lives elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import joblib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk._threads import shared_out
from kdtheory.ntk._tiles import store, tiles
from kdtheory.ntk.kernel import Kernel
from kdtheory.validate import check_at_least
from kdtheory.workers import spread, workers_elsewhere

__all__ = ["Block", "fill_gram", "filled_blocks", "gram_blocks"]

Block = tuple[slice, slice]
_AHEAD = 4
"""Blocks for each worker that are under way at once: one is computed, others are sent or written."""
_STORED_AT_ONCE = 256


@door
def fill_gram(
    kernel: Kernel,
    rows: Float[Tensor, "n *shape"],
    out: Any,
    /,
    *,
    block_size: int = 2048,
    jobs: int = 1,
) -> None:
    """out[i, j] = K(x_i, x_j), the blocks on and above the diagonal computed, the others mirrored.

    At most a few blocks for each worker are in memory beside `out` and the points; this process alone writes
    to `out`. `kdtheory.stored_gram` keeps it in a file and goes on where it was broken off.

    Args:
        kernel: any kernel; it is pickled where `jobs` is not 1.
        rows: the points.
        out: n × n, anything with NumPy's slice assignment: an array, a `numpy.memmap`, a zarr array.
        block_size: points on a side of a block.
        jobs: worker processes, −1 for one a core; within `kdtheory.clusters.on_cluster` all workers there.

    Raises:
        ValueError: `out` is not n × n, holds no floating-point numbers or is read-only, or `block_size` < 1.

    >>> from kdtheory.ntk import InfiniteMLP
    >>> out = np.empty((3, 3))
    >>> fill_gram(InfiniteMLP(1), torch.eye(3, dtype=torch.float64), out, block_size=2)
    >>> bool((torch.from_numpy(out) == InfiniteMLP(1)(torch.eye(3, dtype=torch.float64))).all())
    True
    """
    check_at_least("block_size", block_size, 1)
    dtype = getattr(out, "dtype", None)
    if not str(dtype).startswith("float"):
        raise ValueError(f"out has dtype {dtype}; give an array of floating-point numbers, which keeps them")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out is read-only; give an array that can be written to")
    if tuple(out.shape) != (len(rows), len(rows)):
        raise ValueError(f"out has shape {tuple(out.shape)}; make it {len(rows)} × {len(rows)}")
    if jobs == 0:
        raise ValueError("jobs = 0 leaves nobody to work; give 1 or more, or -1 for all cores")
    for _ in filled_blocks(kernel, rows, out, gram_blocks(len(rows), block_size), jobs=jobs):
        pass


def gram_blocks(n: int, size: int, /) -> list[Block]:
    """The blocks of a symmetric n × n matrix on and above its diagonal, row after row."""
    return list(tiles(n, n, size, symmetric=True))


def filled_blocks(
    kernel: Kernel, rows: Tensor, out: Any, blocks: Collection[Block], /, *, jobs: int
) -> Iterator[tuple[Block, np.ndarray]]:
    """The blocks with their values, each as soon as it and its mirror are in `out`."""
    if jobs == 1 and workers_elsewhere() is None:
        done: Iterable[tuple[Block, np.ndarray]] = (
            _block(kernel, (i, j), rows[i], None if i == j else rows[j]) for i, j in blocks
        )
    else:  # copies, for a pickled slice takes all points with it
        work = (((i, j), rows[i].clone(), None if i == j else rows[j].clone()) for i, j in blocks)
        workers = workers_elsewhere() or joblib.effective_n_jobs(jobs)
        done = spread(_block, work, jobs=jobs, shared=(kernel,), ahead=_AHEAD * workers)
    for block, values in done:
        _put(out, block, values)
        yield block, values


@torch.no_grad()
def _block(kernel: Kernel, block: Block, rows: Tensor, columns: Tensor | None) -> tuple[Block, np.ndarray]:
    values: np.ndarray = kernel(rows, columns).cpu().numpy()
    return block, values


def _put(out: Any, block: Block, values: np.ndarray) -> None:
    """A block and its mirror; into an array of its type by the threads that torch may use."""
    i, j = block
    if not isinstance(out, np.ndarray) or out.dtype != values.dtype:
        out[i, j] = values
        if i != j:
            out[j, i] = values.T
        return
    plain = np.asarray(out)

    def put(start: int) -> None:
        store(plain, values[start : start + _STORED_AT_ONCE], i.start + start, j.start, i != j)

    shared_out(put, range(0, len(values), _STORED_AT_ONCE))
