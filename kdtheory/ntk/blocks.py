"""Gram matrices larger than memory: block by block into an array that lives elsewhere."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk._tiles import tiles
from kdtheory.ntk.kernel import Kernel
from kdtheory.validate import check_at_least

__all__ = ["fill_gram"]


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

    At most a few blocks are in memory beside `out` and the points. Blocks are computed by joblib, so that
    whatever backend the caller puts around the call takes over, as `joblib.parallel_config("dask")` on a
    cluster; this process alone writes to `out`.

    Args:
        kernel: any kernel; it is pickled where `jobs` is not 1.
        rows: the points.
        out: n × n, anything with NumPy's slice assignment: an array, a `numpy.memmap`, a zarr array.
        block_size: points on a side of a block.
        jobs: workers, as joblib counts them.

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
    blocks = list(tiles(len(rows), len(rows), block_size, symmetric=True))
    work = (joblib.delayed(_block)(kernel, rows[i], None if i == j else rows[j]) for i, j in blocks)
    done = joblib.Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs")(work)
    for (i, j), values in zip(blocks, done, strict=True):
        out[i, j] = values
        if i != j:
            out[j, i] = values.T


@torch.no_grad()
def _block(kernel: Kernel, rows: Tensor, columns: Tensor | None) -> np.ndarray:
    values: np.ndarray = kernel(rows, columns).cpu().numpy()
    return values
