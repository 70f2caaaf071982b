"""What was read of files, in words: rows, columns by their names, how, and which class a label is.

And how far the reading is, which of large files takes longer than what is computed from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdtheory.cli.app import MISTYPED
from kdtheory.progress import progress_bar

if TYPE_CHECKING:
    from torch import Tensor

    from kdtheory.datasets import ReadArray

__all__ = ["check_same_rows", "read_one_by_one", "told", "with_mapping"]

_SHOWN = 5


@contextmanager
def read_one_by_one(
    files: Iterable[Path | None], /, *, header: bool | None, lines: bool
) -> Iterator[Callable[[Path], ReadArray]]:
    """What reads one of the files; progress over all of them and what is done with them in the block."""
    from kdtheory.datasets import read_table

    steps = len(set(filter(None, files))) + 1
    done = itertools.count(1)
    with progress_bar("files, then bounds", total=steps, lines=lines, patience=MISTYPED) as tell:

        def read(path: Path) -> ReadArray:
            found = read_table(path, header=header)
            tell(next(done), steps)
            return found

        yield read


def check_same_rows(read: Mapping[Path, ReadArray], *roles: Iterable[Path | None]) -> None:
    """Raise where two files on the same points have the same rows, by their indices, in another order."""
    for files in roles:
        known = [(path, rows) for path in files if path is not None and (rows := read[path].rows)]
        for (earlier, some), (path, others) in itertools.combinations(known, 2):
            if some != others and sorted(some) == sorted(others):
                at = next(n for n, pair in enumerate(zip(some, others, strict=True)) if len(set(pair)) > 1)
                raise ValueError(
                    f"{path} has {others[at]!r} in row {at} of its index and {earlier} has {some[at]!r}; "
                    "write both with their rows in one order"
                )


def told(path: Path, read: ReadArray) -> str:
    """A description of what was read: rows, columns by their names, and how."""
    rows, columns = len(read.array), read.array.shape[1] if read.array.ndim == 2 else 1
    names = f" ({_few(read.names)})" if read.names else ""
    counts = f"{rows:,} row{'s' * (rows > 1)}, {columns} column{'s' * (columns > 1)}{names}"
    return f"{path}: {', '.join([counts, *read.said])}"


def with_mapping(read: ReadArray, found: Tensor, classes: tuple[str, ...] | None) -> ReadArray:
    """Where the classes found are not the numbers that were read, the sentence on which class each is."""
    numbers = found.numpy()
    for column in read.array.reshape(len(numbers), -1).T:
        if (column == numbers.astype(column.dtype)).all():
            return read
    return replace(read, said=(*read.said, _few([f"{name} = {n}" for n, name in enumerate(classes or ())])))


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")
