"""Arrays in files of others, as they stand there: .npy, .npz, .csv, .tsv, .txt and .parquet.

Nothing is ever unpickled. A file is read whole, and what does not fit is an error in one line that names the
file and the cure.
"""

from __future__ import annotations

import math
import re
import tokenize
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from io import BufferedIOBase
from os import PathLike
from pathlib import Path
from typing import cast
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdtheory.datasets.text_tables import is_number, read_text_table
from kdtheory.doors import door

__all__ = [
    "IDENTIFIERS",
    "LABELS",
    "MEASURES",
    "OTHERS",
    "PREDICTIONS",
    "File",
    "ReadArray",
    "plain",
    "read_table",
]

File = str | PathLike[str]
_DAMAGE = (
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    ValueError,
    BadZipFile,
    tokenize.TokenError,
    zlib.error,
)
_MAGIC = b"\x93NUMPY"
_MEMBER = re.compile(r"(?P<path>.+?\.npz):(?P<key>.+)", re.IGNORECASE)
_MOST_BYTES = 1 << 34
IDENTIFIERS = frozenset(
    {"", "__index_level_0__", "example_id", "file", "file_name", "filename", "id", "ids", "idx", "image"}
    | {"image_id", "index", "key", "path", "point", "row", "row_id", "sample", "sample_id", "uid", "uuid"}
)
"""Names of columns that say which example a row is."""
LABELS = frozenset({"label", "labels", "y", "target", "targets", "class", "y_true"})
"""Names of columns that say which class it has."""
PREDICTIONS = frozenset(
    {"pred", "preds", "prediction", "predictions", "predicted", "predicted_class", "predicted_label"}
    | {"argmax", "y_hat", "y_pred", "yhat"}
)
"""Names of columns that say which class a network has said."""
OTHERS = frozenset({"fold", "sample_weight", "split", "weight", "weights"})
"""Names of columns that say what a row is for, or how much it counts."""
MEASURES = frozenset(
    {"confidence", "cross_entropy", "entropy", "log_loss", "max_prob", "max_probability", "msp", "nll"}
    | {"perplexity", "timestamp"}
)
"""Names of columns that say of a row a number that was made of it, or when it was."""


@door
@dataclass(frozen=True)
class ReadArray:
    """The array of a file, and how the file was read.

    Args:
        array: numbers, or strings where the file holds words.
        names: of the columns; None where the file has none.
        said: what was understood of the file, as phrases.
        doubtful: why its first line may be names or a point; None where it is clear.
        rows: the index of a Parquet file, where it has another than 0, 1, 2, …
    """

    array: NDArray[np.generic]
    names: tuple[str, ...] | None = None
    said: tuple[str, ...] = ()
    doubtful: str | None = None
    rows: tuple[str, ...] | None = None


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
    _check_begin(stream)
    array = np.load(stream, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is a zip archive; rename it to .npz")
    return ReadArray(_unnamed(array))


def _check_begin(stream: BufferedIOBase) -> None:
    """What begins neither as an array, an archive nor a pickle would be called a pickle by NumPy."""
    begin = stream.read(len(_MAGIC))
    stream.seek(0)
    if begin and not begin.startswith((_MAGIC, b"PK", b"\x80")):
        raise ValueError("it does not begin as an array of NumPy does; write it again by numpy.save")


def _unnamed(array: NDArray[np.generic]) -> NDArray[np.generic]:
    if array.dtype.names:
        raise ValueError(f"it has fields ({', '.join(array.dtype.names)}); save one plain table")
    return array


def _from_npz(stream: BufferedIOBase, key: str | None, _header: bool | None) -> ReadArray:
    _check_begin(stream)
    archive = np.load(stream, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is a single array; rename it to .npy")
    with ZipFile(stream) as members:
        arrays = {
            item.filename.removesuffix(".npy"): item
            for item in members.infolist()
            if item.filename.endswith(".npy")
        }
        chosen = next(iter(arrays)) if key is None and len(arrays) == 1 else key
        if chosen not in arrays:
            held = ", ".join(arrays) or "no array"
            raise ValueError(f"it holds {held}; name one array, as FILE.npz:NAME")
        member = arrays[chosen]
        with members.open(member, "r") as inside:
            _check_promise(cast(BufferedIOBase, inside), member.file_size)
    return ReadArray(_unnamed(archive[chosen]))


def _check_promise(stream: BufferedIOBase, size: int) -> None:
    """A header must not ask for more memory than its file has bytes, nor an honest one for too much."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        return
    stream.seek(0)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if any(isinstance(size, bool) for size in shape):
        raise ValueError(f"its header has the shape {shape}; write it again by numpy.save")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header has the shape {shape}, with a negative size")
    if not dtype.itemsize:
        raise ValueError(f"its elements of {dtype} have no size, so that they hold no numbers")
    promised = math.prod(shape) * dtype.itemsize
    if promised > size and not dtype.hasobject:
        raise ValueError(f"its header promises {promised:,} bytes, more than the {size:,} that there are")
    if promised > _MOST_BYTES:
        raise ValueError(f"its array has {promised:,} bytes; give fewer points ({_MOST_BYTES:,} at most)")


def _from_text(stream: BufferedIOBase, _key: str | None, header: bool | None) -> ReadArray:
    size = stream.seek(0, 2)
    stream.seek(0)
    if size > _MOST_BYTES:
        raise ValueError(f"it has {size:,} bytes; give fewer points ({_MOST_BYTES:,} at most)")
    table = read_text_table(stream.read(), header=header)
    return ReadArray(_cells(table.frame), table.names, table.said, table.doubtful)


def _from_parquet(stream: BufferedIOBase, _key: str | None, _header: bool | None) -> ReadArray:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise ValueError("no reader for Parquet is installed; pip install kdtheory[parquet], or give .npy")
    frame = pd.read_parquet(stream)
    for name, column in frame.items():
        kind = column.dtype
        if isinstance(kind, pd.CategoricalDtype):
            frame[name] = column.astype(kind.categories.dtype)
        elif len(column) and isinstance(column.iloc[0], Decimal):
            frame[name] = column.astype(np.float64)
        elif len(column) and isinstance(column.iloc[0], (list, np.ndarray)):
            raise ValueError(f"column {name} holds lists; write one column for each class")
    rows = None if isinstance(frame.index, pd.RangeIndex) else tuple(map(str, frame.index))
    return ReadArray(_cells(frame), tuple(str(name) for name in frame.columns), rows=rows)


def _cells(table: pd.DataFrame) -> NDArray[np.generic]:
    """Whole numbers, else float64 with NaN for holes; strings where all but identifiers are words."""
    types = pd.api.types
    words = [name for name, kind in table.dtypes.items() if types.is_string_dtype(kind)]
    known = [plain(name) in IDENTIFIERS for name in table.columns]
    if words and (
        all(name in words or known[place] for place, name in enumerate(table.columns))
        or all(plain(name) in IDENTIFIERS for name in words)
    ):
        if bool(table.isna().any(axis=None)):
            raise ValueError("some words are missing; leave their rows out, or fill them in")
        return np.array(table.astype(str).to_numpy(dtype=object).tolist(), dtype=str).reshape(table.shape)
    for place, (name, kind) in enumerate(table.dtypes.items()):
        if not types.is_numeric_dtype(kind) or types.is_bool_dtype(kind):
            cells = [str(cell) for cell in table.iloc[:, place]]
            shown = next((cell for cell in cells if not is_number(cell)), "".join(cells[:1]))
            raise ValueError(f"column {name} holds something other than numbers, such as {shown!r}")
    if all(types.is_integer_dtype(kind) for kind in table.dtypes) and not table.isna().any(axis=None):
        largest = max((int(table.iloc[:, place].max()) for place in range(table.shape[1])), default=0)
        if len(table) and largest > np.iinfo(np.int64).max:
            raise ValueError(f"it holds {largest}; give whole numbers below 2^63")
        return table.to_numpy(dtype=np.int64)
    return table.to_numpy(dtype=np.float64, na_value=np.nan)


def plain(name: object, /) -> str:
    """A column's name as it is compared: without blanks and capitals."""
    return str(name).strip().lower()


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
