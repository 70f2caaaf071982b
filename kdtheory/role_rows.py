"""No point has two roles, and none is there twice: the rows themselves are compared.

A near copy, such as the same image shifted by a pixel or scaled to another range, is not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from kdtheory.doors import door
from kdtheory.roles import ROLES, Role
from kdtheory.rows import EqualRows, SideBySide, Table

__all__ = ["check_rows", "repeated_rows", "shared_rows"]

_SHOWN = 5


@door
def check_rows(
    *roles: Role, may_share: Iterable[tuple[str, str]] = (), may_repeat: Iterable[str] = ()
) -> dict[tuple[str, str], int]:
    """No row of one role is a row of another, and no row of a role repeats an earlier one.

    A copy of a point is no new draw: it counts twice in n, and may be learned from in one place and tested in
    another. Rows are compared as `EqualRows` says: exactly, and across types of number as rounded copies.

    Args:
        roles: the points of each.
        may_share: pairs of roles that may have rows in common: ("holdout", "unlabelled"), which may be the
            same points; and with "train", for independent draws from a law with atoms, where repeats are
            chance. Never for a copy of training points.
        may_repeat: roles that may hold a row more than once, by the same chance. Never for copies.

    Returns:
        For (a, b), how many rows of a are rows of b too; for (a, a), how many repeat an earlier row of a.
        Only where there are any.

    Raises:
        ValueError: a row sits in two roles, or twice in one (the message names the first), rows have
            different shapes, a role is given twice, or `may_share` or `may_repeat` names something else.

    >>> import torch
    >>> from kdtheory.roles import Train, Unlabelled
    >>> train, rest = torch.arange(6.0).reshape(3, 2), torch.tensor([[8.0, 9.0], [2.0, 3.0]])
    >>> check_rows(Train.of(train, [0, 1, 0]), Unlabelled.of(rest))
    Traceback (most recent call last):
        ...
    ValueError: rows 1 of train are rows 1 of unlabelled (1 of 3 and 1 of 2 in all); a point has one role: ...
    >>> check_rows(Unlabelled.of(torch.tensor([5.0, 7.0, 5.0, 5.0])), may_repeat=["unlabelled"])
    {('unlabelled', 'unlabelled'): 2}
    """
    shared, repeated = {frozenset(pair) for pair in _pairs_of_roles(may_share)}, _names_of_roles(may_repeat)
    rows = _rows_of(roles)
    counts: dict[tuple[str, str], int] = {}
    for first, second in itertools.combinations(roles, 2):
        here, there = rows.pairs(first.role, second.role), rows.pairs(second.role, first.role)
        if len(here) and {first.role, second.role} not in shared:
            raise ValueError(
                f"{_named(here, first.role, 'are', second.role)} ({len(here)} of {len(first)} and "
                f"{len(there)} of {len(second)} in all); a point has one role: drop them from one, or name "
                "the pair in may_share (--shared-rows) if they were drawn independently"
            )
        counts |= {(first.role, second.role): len(here), (second.role, first.role): len(there)}
    for role in roles:
        again = rows.pairs(role.role, role.role)
        if len(again) and role.role not in repeated:
            raise ValueError(
                f"{_named(again, role.role, 'repeat', role.role)} ({len(again)} of {len(role)} in all); a "
                "copy is no new draw: drop the copies (and give examples as they were before augmentation "
                "or resampling), or name the role in may_repeat (--repeated-rows) if equal rows were drawn "
                "independently"
            )
        counts[role.role, role.role] = len(again)
    return {pair: count for pair, count in counts.items() if count}


@door
def shared_rows(first: Role, second: Role, /) -> Int[np.ndarray, "pairs 2"]:
    """(row of the first, first row of the second that is equal) for each row of the first that has one.

    Raises:
        ValueError: their rows have different shapes, or they are of one role.

    >>> import torch
    >>> from kdtheory.roles import HoldOut, Train
    >>> train, holdout = Train.of(torch.tensor([1.0, 2.0, 1.0]), [0, 0, 0]), HoldOut.of([0, 1, 1], [0, 0, 0])
    >>> shared_rows(train, holdout).tolist(), shared_rows(holdout, train).tolist()
    ([[0, 1], [2, 1]], [[1, 0], [2, 0]])
    """
    return _rows_of((first, second)).pairs(first.role, second.role)


@door
def repeated_rows(role: Role, /) -> Int[np.ndarray, "pairs 2"]:
    """(row, the first row that it repeats) for each row that is equal to an earlier one.

    >>> import torch
    >>> from kdtheory.roles import Unlabelled
    >>> repeated_rows(Unlabelled.of(torch.tensor([5.0, 0.0, 5.0, -0.0]))).tolist()
    [[2, 0], [3, 1]]
    """
    return _rows_of((role,)).pairs(role.role, role.role)


def _rows_of(roles: Sequence[Role]) -> EqualRows:
    for first, second in itertools.combinations(roles, 2):
        if first.role == second.role:
            raise ValueError(f"two sets of points have the role {first.role}; give all of a role as one")
        if (here := _row_shape(first.inputs)) != (there := _row_shape(second.inputs)):
            shapes = f"{here} in {first.role}, {there}"
            raise ValueError(f"a row has shape {shapes} in {second.role}; give points of one shape")
    hashes: dict[str, np.ndarray] = {role.role: role.hashes for role in roles}
    return EqualRows({role.role: role.inputs for role in roles}, hashes)


def _row_shape(inputs: Table) -> tuple[Any, ...]:
    if isinstance(inputs, SideBySide):
        return tuple(tuple(part.shape[1:]) for part in inputs.parts)
    return tuple(inputs.shape[1:])


def _pairs_of_roles(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    given = list(pairs)
    for pair in given:
        if len(set(pair)) != 2 or not set(pair) <= set(ROLES):
            raise ValueError(f"may_share names {pair!r}; give pairs of {', '.join(ROLES)}")
    return given


def _names_of_roles(names: Iterable[str]) -> list[str]:
    given = list(names)
    for name in given:
        if name not in ROLES:
            raise ValueError(f"may_repeat names {name!r}; give a list of some of {', '.join(ROLES)}")
    return given


def _named(pairs: Int[np.ndarray, "pairs 2"], one: str, verb: str, other: str) -> str:
    """The first few of them in words."""
    here, there = (", ".join(map(str, pairs[:_SHOWN, side])) for side in (0, 1))
    return f"rows {here} of {one} {verb} rows {there} of {other}"
