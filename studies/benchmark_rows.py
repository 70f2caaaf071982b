"""The role check of a file that is mapped, against reading the file once.

n rows of d float32 numbers lie in a .npy file and are mapped, not read. *Check* makes them the hold-out and
looks for equal rows, which takes one reading; *reading* sums the mapped file by blocks as large as those of
the check, and is the least that a look at every number costs. Both come after a reading of the file, on one
thread; seconds are those of the processor. Anonymous memory is what the check holds at most beyond the level
before it, of which the system cannot take back anything; pages of the mapped file are the system's, which
drops them where it needs room.

To look at: the ratio of the times, and that memory grows by some tens of bytes a row, however wide it is.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdtheory.plots import PALETTE, counts_axis, legend_above, panel_letter
from kdtheory.role_rows import check_rows
from kdtheory.roles import HoldOut
from kdtheory.streams import Stream
from kdtheory.types import torch_threads

CLAIMS: tuple[str, ...] = ()
PANELS = 2
CONFIG: dict[str, Any] = {"points": (10_000, 100_000, 1_000_000), "dim": 784, "repeats": 7}
SMALL: dict[str, Any] = {"points": (1000, 4000), "dim": 40, "repeats": 1}

_BLOCK = 2**21
_LOOKS = 0.005


def run(stream: Stream, *, points: Sequence[int], dim: int, repeats: int) -> list[dict[str, Any]]:
    """Rows: n, d, megabytes of the file, seconds of both, their ratio, megabytes beyond the level before.

    Args:
        stream: where the numbers come from.
        points: n.
        dim: d.
        repeats: of each time; the least counts, for other work on the machine only adds to it.
    """
    with torch_threads(1):
        return _rows(stream, points, dim, repeats)


def _rows(stream: Stream, points: Sequence[int], dim: int, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for n in points:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            _write(path, stream.child(n), n, dim)
            labels = np.zeros(n, dtype=np.int64)

            def check(path: Path = path, labels: np.ndarray = labels) -> None:
                check_rows(HoldOut.of(np.load(path, mmap_mode="r"), labels))

            def read(path: Path = path) -> float:
                mapped = np.load(path, mmap_mode="r")
                size = max(1, _BLOCK // mapped[:1].nbytes)
                return sum(float(mapped[start : start + size].sum()) for start in range(0, len(mapped), size))

            read()
            check()
            reading, checking = (min(_seconds(call) for _ in range(repeats)) for call in (read, check))
            megabytes = round(path.stat().st_size / 1e6, 1)
            rows.append(
                {
                    "points": n, "dim": dim, "file_mb": megabytes, "reading_seconds": round(reading, 4),
                    "seconds": round(checking, 4), "ratio": round(checking / reading, 3),
                    "memory_mb": round(_held(check) / 1e6, 1),
                }
            )  # fmt: skip
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Time and memory over the number of rows."""
    for column, color, name in (
        ("seconds", "blue", "role check"),
        ("reading_seconds", "black", "reading once"),
    ):
        axes[0].plot(rows["points"], rows[column], "o-", color=PALETTE[color], label=name)
    for column, color, name in (("memory_mb", "blue", "role check"), ("file_mb", "black", "the file")):
        axes[1].plot(rows["points"], rows[column], "o-", color=PALETTE[color], label=name)
    for ax, letter, title, label in zip(axes, "ab", ("Time", "Memory"), ("seconds", "MB"), strict=True):
        ax.set_yscale("log" if letter == "a" else "symlog")  # of no memory too
        ax.set_ylabel(label)
        counts_axis(ax, rows["points"], label="rows")
        panel_letter(ax, letter, title)
    legend_above(axes[0], columns=2)


def _write(path: Path, stream: Stream, n: int, dim: int) -> None:
    generator = stream.numpy()
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, dim))
    for start in range(0, n, 2000):
        part = out[start : start + 2000]
        part[:] = generator.standard_normal(part.shape, dtype=np.float32)


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _held(call: Callable[[], object]) -> int:
    """Anonymous memory beyond the level before the call, at most, looked at every few milliseconds."""
    over, most, level = threading.Event(), 0, _anonymous()

    def look() -> None:
        nonlocal most
        while not over.wait(_LOOKS):
            most = max(most, _anonymous() - level)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        call()
    finally:
        over.set()
        watch.join()
    return most


def _anonymous() -> int:
    told = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in told if line.startswith("RssAnon")).split()[1]) * 1024


if __name__ == "__main__":
    sys.stdout.write(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False) + "\n")
