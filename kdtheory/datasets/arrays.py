"""Logits and labels from files of others: what the numbers are, once they are read.

What does not fit, or could be meant in two ways, is an error in one line that names the file and the cure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from kdtheory.datasets.columns import check_meaning, laws
from kdtheory.datasets.stored import (
    IDENTIFIERS,
    LABELS,
    OTHERS,
    PREDICTIONS,
    File,
    ReadArray,
    plain,
    read_table,
)
from kdtheory.datasets.text_tables import is_number
from kdtheory.doors import door
from kdtheory.validate import check_logits

__all__ = ["as_labels", "as_logits", "read_array", "read_labels", "read_logits", "settled"]

_MOST_CLASSES = 2**31
_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?")
_ONE_NUMBER = re.compile(r"(\D*)(\d{1,15})(\D*)")
_MOST_WHOLE = 2**53
_SAY_WHICH = "say which by header=True or False (--header, --no-header)"


@door
def read_logits(
    path: File, /, *, header: bool | None = None, probabilities: bool = False
) -> Float[Tensor, "n k"]:
    """Logits, float64: one row for each point, one column for each class, two or more; −∞ rules a class out.

    Logarithms of probabilities are logits.

    Args:
        path: the file.
        header: whether the first line of a text file holds names; None looks at it.
        probabilities: the file holds probabilities; their logarithms are logits.

    Raises:
        ValueError: as `read_array`; the array is no table of logits; a column numbers the rows, or is named
            as an identifier or a label; rows are probabilities and `probabilities` does not say so, or are
            percentages or negative logarithms.
    """
    return as_logits(path, read_table(path, header=header), probabilities=probabilities)


@door
def as_logits(path: File, read: ReadArray, /, *, probabilities: bool = False) -> Float[Tensor, "n k"]:
    """The logits in what was read, as `read_logits` gives them."""
    array = _certain(path, read)
    if array.ndim != 2:
        raise ValueError(f"{path} has shape {array.shape}; logits are a table, n points × k classes")
    if not array.size and array.shape[1]:
        raise ValueError(f"{path} has shape {array.shape}: there is no row; give at least one")
    if array.dtype.kind == "U":
        shown = next((str(cell) for cell in array.flat if not is_number(str(cell))), str(array.flat[0]))
        raise ValueError(f"{path} holds {shown!r} where logits should be; write numbers like -1250.5 or 1e-3")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} has elements of {array.dtype}; logits are numbers")
    if array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > _MOST_WHOLE:
        raise ValueError(f"{path} holds whole numbers beyond 2^53, which float64 rounds; give smaller ones")
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float64)
    if bool((np.isinf(narrow) & np.isfinite(array)).any()):
        raise ValueError(f"{path} has elements of {array.dtype} beyond what float64 has; give smaller ones")
    values = torch.from_numpy(narrow)
    check_meaning(str(path), values, read.names, probabilities=probabilities)
    if probabilities:
        return laws(str(path), values).log()
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
    predictions: bool = False,
) -> Int[Tensor, "n"]:
    """Class numbers from 0, one for each point: a vector, or a table's column of labels.

    Args:
        path: the file.
        header: whether the first line of a text file holds names; None looks at it.
        points: how many labels there should be: it tells a name "0" from a label 0.
        classes: what the classes are called, in order; words in the file are looked up there.
        predictions: the file has what a network said; else a column that is named so is refused.

    Raises:
        ValueError: as `read_array`; the array is no vector of class numbers; words without `classes`, or one
            that is none of them; rows that are numbered and stand in another order; or a first line that may
            be a name or a label.
    """
    read = read_table(path, header=header)
    return as_labels(path, read, points=points, classes=classes, predictions=predictions)


@door
def as_labels(
    path: File,
    read: ReadArray,
    /,
    *,
    points: int | None = None,
    classes: Sequence[str] | None = None,
    predictions: bool = False,
) -> Int[Tensor, "n"]:
    """The labels in what was read, as `read_labels` gives them."""
    if read.doubtful and classes is not None and str(read.array.flat[0]) in classes:
        read = replace(read, doubtful=None)  # nobody calls a column of classes by the name of one
    read = settled(path, read, points)
    array = _column_of_labels(path, read, predictions)
    if array.dtype.kind == "U":
        array = _numbered(path, array, classes)
    elif classes is not None:
        array = _placed(path, array, classes)
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
            where numbers should be, NaN, a first line that may be names or numbers, several arrays and no
            name, or no reader for .parquet.
    """
    array = _certain(path, read_table(path, header=header))
    if missing := int(np.isnan(array).sum()) if array.dtype.kind in "fc" else 0:
        raise ValueError(f"{path} holds NaN ({missing} entries); clean them first")
    if array.dtype.kind == "U":
        if not array.size:
            raise ValueError(f"{path} has names and no row; give at least one")
        raise ValueError(f"{path} holds words ({str(array.reshape(-1)[0])!r}) where numbers should be")
    return array


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


def _column_of_labels(path: File, read: ReadArray, predictions: bool) -> NDArray[np.generic]:
    array = read.array
    if array.ndim == 2 and array.shape[1] > 1 and read.names:
        names = [plain(name) for name in read.names]
        chosen = [place for place, name in enumerate(names) if name in LABELS]
        if len(chosen) != 1 or not set(names) <= IDENTIFIERS | LABELS:
            raise ValueError(f"{path} has columns {', '.join(read.names)}; keep the one of the labels alone")
        for place in set(range(len(names))) - {chosen[0]}:
            _check_in_order(path, read.names[place], array[:, place])
        array = array[:, chosen[0]]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        if read.names and plain(read.names[0]) in PREDICTIONS and not predictions:
            raise ValueError(
                f"{path} has a column {read.names[0]!r}, of what was said; give the true classes"
            )
        if read.names and plain(read.names[0]) in (IDENTIFIERS | OTHERS) - {""}:
            raise ValueError(
                f"{path} has the column {read.names[0]!r} alone, which is no class; give the labels"
            )
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{path} has shape {array.shape}; labels are one class number for each point")
    return array


def _check_in_order(path: File, name: str, column: NDArray[np.generic]) -> None:
    """Rows that are numbered 0, 1, … or 1, 2, … stand in that order: by no number are they put into it."""
    numbers = [int(float(str(cell))) for cell in column if _WHOLE.fullmatch(str(cell))]
    ordered = sorted(numbers)
    counted = len(numbers) == len(column) and ordered in (
        list(range(len(column))),
        list(range(1, len(column) + 1)),
    )
    if counted and numbers != ordered:
        raise ValueError(
            f"{path} numbers its rows by {name!r} and has them in another order ({numbers[0]}, {numbers[1]}, "
            "…), and labels are read as they stand: sort them, or leave that column out"
        )


def _numbered(path: File, words: NDArray[np.generic], classes: Sequence[str] | None) -> NDArray[np.generic]:
    """Class numbers of words: of numbers written as words, or by the names of the classes."""
    if all(str(word).isdecimal() for word in words):
        return _placed(path, words.astype(np.int64), classes or ())
    if classes is None:
        raise ValueError(
            f"{path} holds words ({str(words[0])!r}); labels are whole numbers, 0 to k − 1, or the names of "
            "the columns of the logits"
        )
    place = {name.strip(): number for number, name in enumerate(classes)}
    if len(place) < len(classes):
        twice = next(name for name in place if [each.strip() for each in classes].count(name) > 1)
        raise ValueError(
            f"{path} has words for labels, and two classes are called {twice!r}; give each its name"
        )
    if strange := sorted({str(word) for word in words} - set(place)):
        known = ", ".join(list(classes)[:5]) + (", …" if len(classes) > 5 else "")
        raise ValueError(f"{path} has label {strange[0]!r}, which is no name of a class ({known})")
    return np.array([place[str(word)] for word in words], dtype=np.int64)


def _placed(path: File, numbers: NDArray[np.generic], classes: Sequence[str]) -> NDArray[np.generic]:
    """Class numbers of labels that are numbers, where the classes have numbers in their names too."""
    places = list(range(len(classes)))
    names = _numbers_in(classes)
    if names is None or names == places or not all(float(number).is_integer() for number in numbers.tolist()):
        return numbers
    given = {int(number) for number in numbers.tolist()}
    if len(set(names)) < len(names):
        raise ValueError(
            f"{path} has numbers for labels, and two classes are called alike; give each its name"
        )
    if given <= set(places) and given <= set(names):
        raise ValueError(
            f"{path} has labels {', '.join(map(str, sorted(given)[:3]))}, … and the columns are named "
            f"{', '.join(classes[:3])}, …: are they names or places? Put the columns in order, or "
            "name them by words"
        )
    if given <= set(names):
        return np.array([names.index(int(number)) for number in numbers.tolist()], dtype=np.int64)
    return numbers


def _numbers_in(classes: Sequence[str]) -> list[int] | None:
    """The numbers of classes that are called 0, 1, … or logit_0, logit_1, …; None of those that are not."""
    names = [name.strip() for name in classes]
    if names and all(_WHOLE.fullmatch(name) for name in names):
        return [int(float(name)) for name in names]
    parts = [_ONE_NUMBER.fullmatch(name) for name in names]
    around = {part and (part[1], part[3]) for part in parts}
    return [int(part[2]) for part in parts if part] if len(around) == 1 and None not in around else None
