"""Logits and labels from files of others: .npy, .npz, .csv, .tsv, .txt and .parquet.

Nothing is ever unpickled. A file is read whole, and what does not fit, or could be read in two ways, is an
error in one line that names the file and the cure.
"""

from __future__ import annotations

import math
import re
import tokenize
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BufferedIOBase
from os import PathLike
from pathlib import Path
from typing import cast
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from kdtheory.datasets.text_tables import read_text_table
from kdtheory.doors import door
from kdtheory.validate import check_logits, check_probs

__all__ = [
    "ReadArray",
    "as_labels",
    "as_logits",
    "read_array",
    "read_labels",
    "read_logits",
    "read_table",
    "settled",
]

File = str | PathLike[str]
_DAMAGE = (
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    ValueError,
    BadZipFile,
    tokenize.TokenError,
    zlib.error,
)
_MAGIC = b"\x93NUMPY"
_MEMBER = re.compile(r"(?P<path>.+\.npz):(?P<key>[^:/\\]+)", re.IGNORECASE)
_MOST_CLASSES = 2**31
_SUM_OF_ONE = 1e-3
_IDENTIFIERS = {"", "id", "ids", "idx", "index", "key", "row", "row_id", "image_id", "__index_level_0__"}
_LABELS = {"label", "labels", "y", "target", "targets", "class", "y_true"}
_SAY_WHICH = "say which by header=True or False (--header, --no-header)"


@door
@dataclass(frozen=True)
class ReadArray:
    """The array of a file, and how the file was read.

    Args:
        array: numbers, or strings where the file holds words.
        names: of the columns; None where the file has none.
        said: what was understood of the file, as phrases.
        doubtful: why its first line may be names or a point; None where it is clear.
    """

    array: NDArray[np.generic]
    names: tuple[str, ...] | None = None
    said: tuple[str, ...] = ()
    doubtful: str | None = None


@door
def read_logits(
    path: File, /, *, header: bool | None = None, probabilities: bool = False
) -> Float[Tensor, "n k"]:
    """Logits, float64: one row for each point, one column for each class, two or more; −∞ rules a class out.

    Args:
        path: the file.
        header: whether the first line of a text file holds names; None looks at it.
        probabilities: the file holds probabilities; their logarithms are logits.

    Raises:
        ValueError: as `read_array`; the array is no table of logits; a column numbers the rows, or is named
            as an identifier or a label; or rows are probabilities and `probabilities` does not say so.
    """
    return as_logits(path, read_table(path, header=header), probabilities=probabilities)


@door
def as_logits(path: File, read: ReadArray, /, *, probabilities: bool = False) -> Float[Tensor, "n k"]:
    """The logits in what was read, as `read_logits` gives them."""
    array = _certain(path, read)
    if array.ndim != 2:
        raise ValueError(f"{path} has shape {array.shape}; logits are a table, n points × k classes")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} has elements of {array.dtype}; logits are numbers")
    values = torch.from_numpy(array.astype(np.float64))
    _check_columns(path, values, read.names)
    if probabilities:
        check_probs(str(path), values)
        return values.log()
    if _are_probabilities(values):
        raise ValueError(f"{path} holds probabilities, not logits; say probabilities=True (--probabilities)")
    check_logits(str(path), values)
    return values


@door
def read_labels(
    path: File,
    /,
    *,
    header: bool | None = None,
    points: int | None = None,
    classes: Sequence[str] | None = None,
) -> Int[Tensor, "n"]:
    """Class numbers from 0, one for each point: a vector, or a table's column of labels.

    Args:
        path: the file.
        header: whether the first line of a text file holds names; None looks at it.
        points: how many labels there should be: it tells a name "0" from a label 0.
        classes: what the classes are called, in order; words in the file are looked up there.

    Raises:
        ValueError: as `read_array`; the array is no vector of class numbers; words without `classes`, or one
            that is none of them; or a first line that may be a name or a label.
    """
    return as_labels(path, read_table(path, header=header), points=points, classes=classes)


@door
def as_labels(
    path: File, read: ReadArray, /, *, points: int | None = None, classes: Sequence[str] | None = None
) -> Int[Tensor, "n"]:
    """The labels in what was read, as `read_labels` gives them."""
    read = settled(path, read, points)
    array = _column_of_labels(path, read)
    if array.dtype.kind == "U":
        array = _numbered(path, array, classes)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} has elements of {array.dtype}; labels are whole numbers")
    numbers = array.astype(np.float64)
    whole = (np.floor(numbers) == numbers) & (abs(numbers) < _MOST_CLASSES)
    if not bool(whole.all()):
        raise ValueError(f"{path} holds {array[~whole][0]}; labels are whole numbers, 0 to k − 1")
    if numbers.min() < 0:
        raise ValueError(f"{path} has label {numbers.min():.0f}; labels count from 0")
    return torch.from_numpy(array.astype(np.int64))


@door
def read_array(path: File, /, *, header: bool | None = None) -> NDArray[np.generic]:
    """The array of one file, by its suffix: .npy, .npz, .csv, .tsv or .txt (with names or without), .parquet.

    An .npz of several arrays needs the name of one: `file.npz:name`.

    Raises:
        ValueError: no such file, an unknown suffix, a damaged file or one that holds pickled objects, text
            where numbers should be, a first line that may be names or numbers, several arrays and no name,
            or no reader for .parquet.
    """
    array = _certain(path, read_table(path, header=header))
    if array.dtype.kind == "U":
        raise ValueError(f"{path} holds words ({str(array.reshape(-1)[0])!r}) where numbers should be")
    return array


@door
def read_table(path: File, /, *, header: bool | None = None) -> ReadArray:
    """The array of one file, and how it was read; a first line in doubt stands there as a row.

    Raises:
        ValueError: as `read_array`, but for words and a first line in doubt.
    """
    named = _MEMBER.fullmatch(str(path))
    file, key = (Path(named["path"]), named["key"]) if named else (Path(path), None)
    suffix = file.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(f"{file} ends in {suffix or 'nothing'!r}; give one of {', '.join(_READERS)}")
    if not file.is_file():
        raise ValueError(f"{file} is not there; give the path of a file")
    try:
        with file.open("rb") as stream:
            return _READERS[suffix](stream, key, header)
    except _DAMAGE as error:
        raise ValueError(f"{file} cannot be read: {_reason(error)}") from error


def _from_npy(stream: BufferedIOBase, _key: str | None, _header: bool | None) -> ReadArray:
    size = stream.seek(0, 2)
    stream.seek(0)
    _check_promise(stream, size)
    stream.seek(0)
    array = np.load(stream, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is a zip archive; rename it to .npz")
    return ReadArray(array)


def _from_npz(stream: BufferedIOBase, key: str | None, _header: bool | None) -> ReadArray:
    archive = np.load(stream, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is a single array; rename it to .npy")
    names = archive.files
    chosen = names[0] if key is None and len(names) == 1 else key
    if chosen not in names:
        raise ValueError(f"it holds {', '.join(names) or 'nothing'}; name one array, as FILE.npz:NAME")
    with ZipFile(stream) as members:
        member = next(item for item in members.infolist() if item.filename.removesuffix(".npy") == chosen)
        with members.open(member, "r") as inside:
            _check_promise(cast(BufferedIOBase, inside), member.file_size)
    return ReadArray(archive[chosen])


def _check_promise(stream: BufferedIOBase, size: int) -> None:
    """A header must not ask for more memory than its file has bytes."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        return
    stream.seek(0)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    promised = math.prod(shape) * dtype.itemsize
    if promised > size and not dtype.hasobject:
        raise ValueError(f"its header promises {promised:,} bytes, more than the {size:,} that there are")


def _from_text(stream: BufferedIOBase, _key: str | None, header: bool | None) -> ReadArray:
    table = read_text_table(stream.read(), header=header)
    names = tuple(str(name) for name in table.frame.columns) if table.named else None
    return ReadArray(_cells(table.frame), names, table.said, table.doubtful)


def _from_parquet(stream: BufferedIOBase, _key: str | None, _header: bool | None) -> ReadArray:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise ValueError("no reader for Parquet is installed; pip install kdtheory[parquet], or give .npy")
    frame = pd.read_parquet(stream)
    return ReadArray(_cells(frame), tuple(str(name) for name in frame.columns))


def _cells(table: pd.DataFrame) -> NDArray[np.generic]:
    """Whole numbers, else float64 with NaN for holes; strings where all but identifiers are words."""
    types = pd.api.types
    words = [name for name, kind in table.dtypes.items() if types.is_string_dtype(kind)]
    if words and all(name in words or _plain(name) in _IDENTIFIERS for name in table.columns):
        return table.astype(str).to_numpy(dtype=str)
    for name, kind in table.dtypes.items():
        if not types.is_numeric_dtype(kind) or types.is_bool_dtype(kind):
            raise ValueError(f"column {name} holds something other than numbers")
    if all(types.is_integer_dtype(kind) for kind in table.dtypes) and not table.isna().any(axis=None):
        return table.to_numpy(dtype=np.int64)
    return table.to_numpy(dtype=np.float64, na_value=np.nan)


def _plain(name: object) -> str:
    return str(name).strip().lower()


def _certain(path: File, read: ReadArray) -> NDArray[np.generic]:
    if read.doubtful:
        raise ValueError(f"{path}: {read.doubtful}; {_SAY_WHICH}")
    return read.array


@door
def settled(path: File, read: ReadArray, points: int | None, /) -> ReadArray:
    """A first line that may be a name or a label, settled by the number of points.

    Raises:
        ValueError: the number of points is not known, or is neither that with the line nor that without.
    """
    if read.doubtful and points == len(read.array) - 1:
        said = (*read.said, "first line read as the name of the column")
        return ReadArray(read.array[1:], read.names, said)
    if read.doubtful and points != len(read.array):
        raise ValueError(f"{path}: {read.doubtful}; {_SAY_WHICH}, or by the number of points")
    return replace(read, doubtful=None)


def _column_of_labels(path: File, read: ReadArray) -> NDArray[np.generic]:
    array = read.array
    if array.ndim == 2 and array.shape[1] > 1 and read.names:
        names = [_plain(name) for name in read.names]
        chosen = [place for place, name in enumerate(names) if name in _LABELS]
        if len(chosen) != 1 or not set(names) <= _IDENTIFIERS | _LABELS:
            raise ValueError(f"{path} has columns {', '.join(read.names)}; keep the one of the labels alone")
        array = array[:, chosen[0]]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{path} has shape {array.shape}; labels are one class number for each point")
    return array


def _numbered(path: File, words: NDArray[np.generic], classes: Sequence[str] | None) -> NDArray[np.generic]:
    """Class numbers of words: of numbers written as words, or by the names of the classes."""
    if classes is None:
        raise ValueError(
            f"{path} holds words ({str(words[0])!r}); labels are whole numbers, 0 to k − 1, or the names of "
            "the columns of the logits"
        )
    place = {name: number for number, name in enumerate(classes)}
    if strange := sorted({str(word) for word in words} - set(place)):
        known = ", ".join(list(classes)[:5])
        raise ValueError(f"{path} has label {strange[0]!r}, which is no name of a class ({known}, …)")
    return np.array([place[str(word)] for word in words], dtype=np.int64)


def _check_columns(path: File, logits: Tensor, names: tuple[str, ...] | None) -> None:
    """No column is an identifier, a label or a count of the rows: that would be a class too many."""
    for name in names or ():
        if _plain(name) in _IDENTIFIERS | _LABELS or name.startswith("Unnamed:"):
            raise ValueError(f"{path} has a column {name!r}, which is no class; leave it out (index=False)")
    whole = (logits == logits.floor()).all(0)
    if len(logits) < 3 or bool(whole.all()):
        return
    steps = torch.arange(len(logits), dtype=logits.dtype)
    for place in whole.nonzero()[:, 0].tolist():
        column = logits[:, place]
        if column[0] in (0, 1) and torch.equal(column, steps + column[0]):
            raise ValueError(f"{path}: column {place} numbers the rows, as an index does; leave it out")


def _are_probabilities(values: Tensor) -> bool:
    """Two rows or more, each ≥ 0 with sum one, and not all of them one-hot."""
    sums = (values.sum(-1) - 1).abs()
    one_hot = ((values == 0) | (values == 1)).all()
    return len(values) > 1 and bool((values >= 0).all() & (sums < _SUM_OF_ONE).all() & ~one_hot)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "allow_pickle" in text:
        return "it holds pickled objects, which are never loaded; save plain numbers"
    return text


_READERS: dict[str, Callable[[BufferedIOBase, str | None, bool | None], ReadArray]] = {
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".csv": _from_text,
    ".tsv": _from_text,
    ".txt": _from_text,
    ".parquet": _from_parquet,
}
