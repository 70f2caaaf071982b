"""The meaning of columns: classes, or an identifier, a label; logits, or something made of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kdtheory.datasets.stored import IDENTIFIERS, LABELS, MEASURES, OTHERS, PREDICTIONS, plain
from kdtheory.doors import door
from kdtheory.validate import check_probs

__all__ = ["check_meaning", "check_same_columns", "laws"]

_ROUNDED = 0.02  # by which rows may miss a sum of one that were written with two digits or more
_FEW, _MANY = 3, 10  # rows, from which a column of whole numbers is no accident
_BASES = (math.e, 2.0, 10.0)
_SUMS = {False: 1e-3, True: 0.1}  # by which the sums of few and of many rows may miss that of a law


def check_meaning(
    path: str, values: Tensor, names: Sequence[str] | None, /, *, probabilities: bool = False
) -> None:
    """The columns are the classes, and the rows logits, or probabilities where it is said.

    Raises:
        ValueError: a column is an identifier or a label by its name or numbers; rows are probabilities (where
            it is not said), percentages, −ln p, or ln p where probabilities are said.
    """
    _check_columns(path, values, names)
    if values.ndim != 2 or len(values) < 2 or values.shape[1] < 2 or not bool((values < torch.inf).all()):
        return
    if _are_laws(values / 100):
        raise ValueError(
            f"{path} holds percentages; divide by 100 and say probabilities=True (--probabilities)"
        )
    if probabilities and bool((values <= 0).all()) and _sum_to_one(values.exp()):
        raise ValueError(
            f"{path} holds logarithms of probabilities, which are logits: leave out probabilities"
        )
    if probabilities:
        return
    if _are_laws(values):
        raise ValueError(f"{path} holds probabilities, not logits; say probabilities=True (--probabilities)")
    if bool((values >= 0).all()) and any(_sum_to_one(base**-values) for base in _BASES):
        raise ValueError(f"{path} holds −ln p, what each class costs; give ln p, its negative, for logits")
    if values.shape[1] > 2 and _are_laws(1 - values):
        raise ValueError(f"{path} holds 1 − p, the chance of every other class; give p, or ln p for logits")


def laws(path: str, values: Tensor, /) -> Tensor:
    """Probabilities whose rows sum to one, where those of the file miss it by their rounding.

    Raises:
        ValueError: an entry is negative or NaN, or a row misses a sum of one by more.
    """
    sums = values.sum(-1, keepdim=True)
    if values.numel() and bool(((sums - 1).abs() <= _ROUNDED).all()):
        values = values / sums
    check_probs(path, values)
    return values


@door
def check_same_columns(names: Mapping[str, Sequence[str] | None], /) -> None:
    """Tables of the same classes have them in one order.

    Capitals do not count, but where the classes of a file differ in them alone. Names of which no two files
    share one may be those of the networks' outputs, and are compared with nothing.

    Args:
        names: file ↦ names of its columns; None where it has none.

    Raises:
        ValueError: a name stands in two files at different places, or two files share some names and not all.
    """
    named = [(path, _as_compared(columns)) for path, columns in names.items() if columns]
    for (earlier, others), (path, columns) in itertools.combinations(named, 2):
        pairs = list(enumerate(zip(columns, others, strict=False)))
        for place, (name, other) in pairs:
            if name != other and name in others:
                raise ValueError(
                    f"{path} has class {name!r} in column {place} and {earlier} in column "
                    f"{others.index(name)}; write both with their columns in one order"
                )
        apart = [(place, name, other) for place, (name, other) in pairs if name != other]
        if apart and len(apart) < len(pairs):
            place, name, other = apart[0]
            raise ValueError(
                f"{path} has class {name!r} in column {place} and {earlier} has {other!r} there, though they "
                "share other names; give both the same classes, by the same names"
            )


def _as_compared(columns: Sequence[str]) -> list[str]:
    """Names without blanks and capitals; with capitals where two would be one."""
    plainly = [plain(name) for name in columns]
    return plainly if len(set(plainly)) == len(plainly) else [name.strip() for name in columns]


def _check_columns(path: str, values: Tensor, names: Sequence[str] | None) -> None:
    """No column is an identifier, a label or a count of the rows: that would be a class too many."""
    whole = (values == values.floor()).all(0)
    for place, name in enumerate(names or ()):
        known = plain(name) in IDENTIFIERS | LABELS | PREDICTIONS | OTHERS and bool(whole[place])
        if known or name.startswith("Unnamed:"):
            raise ValueError(f"{path} has a column {name!r}, which is no class; leave it out (index=False)")
        if plain(name) in MEASURES or (plain(name) == "loss" and _is_alone_in_sign(values, place)):
            raise ValueError(
                f"{path} has a column {name!r}, a number of the row and no class; leave it out, or rename it"
            )
    if len(values) < (_MANY if bool(whole.all()) else _FEW):  # few counts of votes may happen to be in order
        return
    for place in whole.nonzero()[:, 0].tolist():
        column = values[:, place]
        low, high = float(column.min()), float(column.max())
        different = len(column.unique()) == len(column)
        counted = high - low == len(column) - 1 or (len(column) >= _MANY and not bool(whole.all()))
        if different and low >= 0 and counted:
            raise ValueError(f"{path}: column {place} numbers the rows, as an index does; leave it out")
        if len(column) >= _MANY and 0 <= low < high < values.shape[1] and bool(whole.sum() == 1):
            raise ValueError(
                f"{path}: column {place} holds whole numbers from {low:.0f} to {high:.0f} beside fractions, "
                "as labels do; leave it out"
            )
    steady = [place for place in range(values.shape[1]) if _is_steady(values[:, place])]
    if 0 < len(steady) < values.shape[1]:
        raise ValueError(
            f"{path}: column {steady[0]} goes from row to row by one step, as a time does; leave it out"
        )


def _is_alone_in_sign(values: Tensor, place: int) -> bool:
    """A column without a number below 0 beside others that have some."""
    least = values.amin(0)
    return bool(least[place] >= 0) and bool((least < 0).any())


def _is_steady(column: Tensor) -> bool:
    """Many numbers, one step apart from each to the next."""
    steps = column.diff()
    if len(column) < _MANY or not bool(steps.isfinite().all()) or float(steps[0]) == 0:
        return False
    rounding = 4 * torch.finfo(column.dtype).eps * float(column.abs().max())
    return bool(((steps - steps[0]).abs() <= rounding + 1e-6 * steps[0].abs()).all())


def _are_laws(values: Tensor) -> bool:
    """Rows ≥ 0 with sum one, and not all of them one-hot."""
    one_hot = bool(((values == 0) | (values == 1)).all())
    return bool((values >= 0).all()) and not one_hot and _sum_to_one(values)


def _sum_to_one(values: Tensor) -> bool:
    return bool(((values.sum(-1) - 1).abs() < _SUMS[len(values) >= _MANY]).all())
