"""Logits and labels from files of others: .npy, .npz, .csv and .parquet.

Nothing is ever unpickled. A file is read whole, and what does not fit is an error in one line that names the
file and the cure.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from kdtheory.validate import check_logits

__all__ = ["read_array", "read_labels", "read_logits"]

_DAMAGE = (OSError, EOFError, MemoryError, RuntimeError, ValueError, BadZipFile, zlib.error)
_MOST_CLASSES = 2**31
_MEMBER = re.compile(r"(?P<path>.+\.npz):(?P<key>[^:/\\]+)", re.IGNORECASE)


def read_logits(path: str | PathLike[str], /) -> Float[Tensor, "n k"]:
    """Logits, float64: one row for each point, one column for each class, two or more; −∞ rules a class out.

    Raises:
        ValueError: as `read_array`, or the array is no table of logits.
    """
    array = read_array(path)
    if array.ndim != 2:
        raise ValueError(f"{path} has shape {array.shape}; logits are a table, n points × k classes")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} has elements of {array.dtype}; logits are numbers")
    logits = torch.from_numpy(array.astype(np.float64))
    check_logits(str(path), logits)
    return logits


def read_labels(path: str | PathLike[str], /) -> Int[Tensor, "n"]:
    """Class numbers from 0, one for each point: a vector, or a table of one column.

    Raises:
        ValueError: as `read_array`, or the array is no vector of class numbers.
    """
    array = read_array(path)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{path} has shape {array.shape}; labels are one class number for each point")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} has elements of {array.dtype}; labels are whole numbers")
    whole = (np.floor(array) == array) & (abs(array) < _MOST_CLASSES)
    if not bool(whole.all()):
        raise ValueError(f"{path} holds {array[~whole][0]}; labels are whole numbers, 0 to k − 1")
    if array.min() < 0:
        raise ValueError(f"{path} has label {array.min():.0f}; labels count from 0")
    return torch.from_numpy(array.astype(np.int64))


def read_array(path: str | PathLike[str], /) -> NDArray[np.generic]:
    """The array of one file, by its suffix: .npy, .npz, .csv (with a header line or without) or .parquet.

    An .npz of several arrays needs the name of one: `file.npz:name`.

    Raises:
        ValueError: no such file, an unknown suffix, a damaged file or one that holds pickled objects, text
            where numbers should be, several arrays and no name, or no reader for .parquet.
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
            return _READERS[suffix](stream, key)
    except _DAMAGE as error:
        raise ValueError(f"{file} cannot be read: {_reason(error)}") from error


def _from_npy(stream: BinaryIO, _key: str | None) -> NDArray[np.generic]:
    array = np.load(stream, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is a zip archive; rename it to .npz")
    return array


def _from_npz(stream: BinaryIO, key: str | None) -> NDArray[np.generic]:
    archive = np.load(stream, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is a single array; rename it to .npy")
    names = archive.files
    chosen = names[0] if key is None and len(names) == 1 else key
    if chosen not in names:
        raise ValueError(f"it holds {', '.join(names) or 'nothing'}; name one array, as FILE.npz:NAME")
    array: NDArray[np.generic] = archive[chosen]
    return array


def _from_csv(stream: BinaryIO, _key: str | None) -> NDArray[np.generic]:
    first = pd.read_csv(stream, header=None, nrows=1, dtype=str)
    if first.iloc[0].isna()[0]:
        raise ValueError("its first cell is empty, as above an index; write it without one (index=False)")
    header = 0 if pd.to_numeric(first.iloc[0], errors="coerce").isna().all() else None
    stream.seek(0)
    return _numbers(pd.read_csv(stream, header=header))


def _from_parquet(stream: BinaryIO, _key: str | None) -> NDArray[np.generic]:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise ValueError("no reader for Parquet is installed; pip install kdtheory[parquet], or give .npy")
    return _numbers(pd.read_parquet(stream))


def _numbers(table: pd.DataFrame) -> NDArray[np.generic]:
    words = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "fiu"]
    if words:
        raise ValueError(f"column {words[0]} holds something other than numbers")
    return table.to_numpy()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "allow_pickle" in text:
        return "it holds pickled objects, which are never loaded; save plain numbers"
    return text


_READERS: dict[str, Callable[[BinaryIO, str | None], NDArray[np.generic]]] = {
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".csv": _from_csv,
    ".parquet": _from_parquet,
}
