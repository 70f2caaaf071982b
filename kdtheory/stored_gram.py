"""A Gram matrix in a file: larger than memory, made block by block, and gone on with where it was broken off.

Beside the matrix lies a record of the blocks that are finished, each with the sum of its words. Whoever goes
on looks through them: a block that is not in the file as it was computed, as after a loss of power, is
computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door, passing
from kdtheory.files import Record, check_place, in_place, read_json, write_json
from kdtheory.ntk import Kernel
from kdtheory.ntk.blocks import Block, filled_blocks, gram_blocks
from kdtheory.plain import restored
from kdtheory.progress import Progress, told
from kdtheory.validate import check_at_least

__all__ = ["stored_gram"]

_PAUSE = 2.0
"""Seconds between two records: what is computed after the last one is lost with the process."""
_ROUNDINGS = 100


@door
@passing  # kernels look for NaN; nobody reads the whole file again for it
def stored_gram(
    kernel: Kernel,
    rows: Float[Tensor, "n *shape"],
    path: Path,
    /,
    *,
    block_size: int = 2048,
    jobs: int = 1,
    progress: Progress = None,
) -> np.memmap:
    """K(x_i, x_j) of all points as a .npy file that any program can map; at most a few blocks in memory.

    The same call goes on with what an earlier one has left, whatever ended it. On one machine and on a
    cluster, within `kdtheory.clusters.on_cluster`, this process alone writes.

    Args:
        kernel: any kernel.
        rows: the points.
        path: the file, n² numbers of the type that the kernel gives; its record is beside it, at `path`.json.
        block_size: points on a side of a block.
        jobs: worker processes, −1 for one a core; 1 leaves the work to the threads that torch may use.
        progress: called with the number of blocks finished and of all. None shows a bar on a terminal and in
            a notebook, True a line now and then elsewhere, False nothing.

    Returns:
        The matrix, mapped and read-only.

    Raises:
        ValueError: `path` is something else, is in use by another call, or was begun with other points,
            another kernel, or blocks of another size; there is no room for it; or `block_size` < 1, or jobs
            is 0.

    >>> import tempfile
    >>> from kdtheory.ntk import LinearKernel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stored_gram(LinearKernel(), 2 * torch.eye(2), Path(folder) / "gram.npy").tolist()
    [[4.0, 0.0], [0.0, 4.0]]
    """
    check_at_least("block_size", block_size, 1)
    if jobs == 0:
        raise ValueError("jobs = 0 leaves nobody to work; give 1 or more, or -1 for all cores")
    blocks = gram_blocks(len(rows), block_size)
    record = path.with_name(f"{path.name}.json")
    asked = {
        "points": _digest(rows),
        "shape": list(rows.shape),
        "dtype": str(_dtype(kernel, rows)),
        "block": block_size,
    }
    with _alone(path):
        out, sums = _opened(path, record, asked)
        with told(progress, "blocks") as tell, _Pieces(path, out) as file:
            finished = _finished(out, blocks, sums, kernel, rows, path)
            tell(len(finished), len(blocks))
            last = time.monotonic()
            try:
                left = [block for block in blocks if _name(block) not in finished]
                for block, values in filled_blocks(kernel, rows, file, left, jobs=jobs):
                    finished[_name(block)] = _sum(values)
                    tell(len(finished), len(blocks))
                    if time.monotonic() - last > _PAUSE:
                        write_json(record, {**asked, "finished": finished})
                        last = time.monotonic()
            except BaseException:
                with contextlib.suppress(ValueError):  # an older record stands
                    write_json(record, {**asked, "finished": finished})
                raise
            write_json(record, {**asked, "finished": finished})
    del out
    found: np.memmap = np.load(path, mmap_mode="r")
    return found


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes to the file at the same time, perhaps of another kernel."""
    check_place(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise ValueError(f"{path} is in use by another call; wait for it, or choose another place") from None


class _Pieces:
    """The file of a matrix that takes blocks as an array does, each row of one as a piece of its own.

    Written, not mapped: a mapped page costs a fault when it is touched, and is this process's memory.
    """

    def __init__(self, path: Path, matrix: np.memmap) -> None:
        self._path, self._start, self._columns = path, matrix.offset, matrix.shape[1]

    def __enter__(self) -> _Pieces:
        self._file = in_place(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __setitem__(self, block: Block, values: np.ndarray) -> None:
        i, j = block
        for number, row in enumerate(np.ascontiguousarray(values), i.start):
            self._file.seek(self._start + row.itemsize * (number * self._columns + j.start))
            piece = memoryview(row).cast("B")
            try:
                while piece:  # a device may take less at once than it is given
                    piece = piece[self._file.write(piece) :]
            except OSError as error:
                raise ValueError(
                    f"{self._path} cannot be written ({error.strerror}); make room, and call again: what is "
                    "finished is kept"
                ) from error


def _opened(path: Path, record: Path, asked: Record) -> tuple[np.memmap, dict[str, int]]:
    """The matrix to write to, and the sums of the blocks that a call before this has finished."""
    n, dtype = asked["shape"][0], np.dtype(asked["dtype"].removeprefix("torch."))
    if not record.exists():
        if path.exists():
            raise ValueError(f"{path} is there, and no record of how it was made; choose another place")
        _check_room(path, n * n * dtype.itemsize)
        write_json(record, {**asked, "finished": {}})
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, n)), {}
    there = read_json(record)
    for name, value in asked.items():
        if there.get(name) != value:
            raise ValueError(
                f"{path} was begun with {name} = {there.get(name)}, not {value}; ask the same to go on with "
                f"it, choose another place, or remove it and {record.name}"
            )
    sums: dict[str, int] = restored(dict[str, int], there.get("finished"), f"{record}: finished")
    if not path.exists():  # killed between the two
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, n)), {}
    try:
        out = np.lib.format.open_memmap(path, mode="r+")
        found = f"{out.shape} of {out.dtype}"
    except (OSError, ValueError) as error:
        out, found = None, f"no .npy file that can be written ({error})"
    if out is None or out.shape != (n, n) or out.dtype != dtype:
        raise ValueError(f"{path} is {found}; it was changed, choose another place")
    return out, sums


def _check_room(path: Path, size: int) -> None:
    """Raise unless the disk has room for the file, of which nothing is written at first."""
    disk = shutil.disk_usage(path.parent)
    if disk.total and disk.free < size:
        raise ValueError(
            f"{path} needs {size / 1e9:.3g} GB, and {disk.free / 1e9:.3g} GB are free there; make room, or "
            "choose another place"
        )


def _finished(
    out: np.memmap, blocks: list[Block], sums: dict[str, int], kernel: Kernel, rows: Tensor, path: Path
) -> dict[str, int]:
    """Those of the blocks that are in the file as they were computed; the first is computed again.

    Raises:
        ValueError: it comes out otherwise, for the kernel is another one.
    """
    found, seen = {}, False
    for i, j in blocks:
        if (there := sums.get(_name((i, j)))) is None:
            continue
        if there == _sum(out[i, j]) == _sum(out[j, i]):
            if not seen:
                _check_kernel(kernel, rows[i], rows[j], out[i, j], path)
                seen = True
            found[_name((i, j))] = there
        _released(out)
    return found


@torch.no_grad()
def _check_kernel(kernel: Kernel, rows: Tensor, columns: Tensor, there: np.ndarray, path: Path) -> None:
    now = kernel(rows, columns).cpu().numpy()
    scale = float(np.abs(now).max())
    if float(np.abs(now - there).max()) > _ROUNDINGS * np.finfo(now.dtype).eps * scale:
        raise ValueError(
            f"{path} was begun with another kernel; give the same to go on with it, or choose another place"
        )


@torch.no_grad()
def _dtype(kernel: Kernel, rows: Tensor) -> torch.dtype:
    """The type of the values, which need not be that of the points: a module has its own precision."""
    return kernel.diagonal(rows[:1]).dtype


def _name(block: Block) -> str:
    i, j = block
    return f"{i.start},{j.start}"


def _sum(values: np.ndarray) -> int:
    """Checksum of the words of the numbers, mod 2⁶⁴: one for a block and its mirror, whatever the order."""
    words = np.ascontiguousarray(values)
    return int(words.view(f"u{words.itemsize}").sum(dtype=np.uint64))


def _digest(rows: Tensor) -> str:
    digest = hashlib.sha256()
    for part in rows.split(max(1, 2**22 // max(1, rows[:1].numel()))):
        words = part.detach().cpu().contiguous().flatten().view(torch.uint8)  # NumPy has no bfloat16
        digest.update(words.numpy().tobytes())
    return digest.hexdigest()


def _released(out: Any) -> None:
    """Pages that were written are the file's and no memory of this process, where it can say so."""
    advise: Callable[[int], None] | None = getattr(out.base, "madvise", None)
    if advise is not None and hasattr(mmap, "MADV_DONTNEED"):
        advise(mmap.MADV_DONTNEED)
