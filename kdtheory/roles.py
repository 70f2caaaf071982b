"""Data by role: what may depend on which points is a matter of type, and no point may have two roles.

A bound is only as honest as its split. `Train` are labelled points that predictors may have been trained on;
`HoldOut` labelled points that none of them has seen; `Unlabelled` inputs that were drawn after all of them
were fixed. `check_disjoint` compares the rows themselves: a point that sits in two roles is an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdtheory.datasets import Images

__all__ = ["ROLES", "HoldOut", "Train", "Unlabelled", "check_disjoint", "shared_rows", "tensor_of"]

ROLES = ("train", "holdout", "unlabelled")
_LOADED_AT_ONCE = 1024
_HASHED_AT_ONCE = 4096
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Labelled points of one role.

    Args:
        inputs: one point a row, of any further shape.
        labels: the class number of each.

    Raises:
        ValueError: no point, inputs that are not finite, labels that are no class numbers, or not one each.
    """

    role: ClassVar[str]
    inputs: Shaped[Tensor, "n *shape"]
    labels: Int[Tensor, "m"]

    def __post_init__(self) -> None:
        _check_inputs(self.role, self.inputs)
        labels = self.labels
        if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.ndim != 1:
            shown = f"dtype {labels.dtype} and shape {tuple(labels.shape)}"
            raise ValueError(f"{self.role} labels have {shown}; give one whole class number for each point")
        if len(labels) != len(self.inputs):
            counts = f"{len(self.inputs)} rows and {len(labels)} labels"
            raise ValueError(f"{self.role} has {counts}; give one label for each row")
        if int(labels.min()) < 0:
            raise ValueError(f"{self.role} labels go down to {int(labels.min())}; classes count from 0")

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, source: Any, labels: Any = None, /) -> Any:
        """From inputs and labels (tensors or arrays), a pair of them, `Images`, a Dataset or a DataLoader.

        Raises:
            ValueError: the source is of another role, or is none of these.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (_Labelled, Unlabelled)):
            raise ValueError(f"{cls.role} was given points whose role is {source.role}; a point has one role")
        if labels is not None:
            return cls(tensor_of(cls.role, source), tensor_of(f"{cls.role} labels", labels))
        columns = _columns(cls.role, source)
        if len(columns) < 2:
            raise ValueError(f"{cls.role} has no labels; give (inputs, labels), a Dataset or a DataLoader")
        return cls(columns[0], columns[1])


@dataclass(frozen=True, eq=False)
class Train(_Labelled):
    """Labelled points that the teacher, the student or a witness may have been trained on.

    >>> import torch
    >>> len(Train.of(torch.zeros(3, 2), [0, 1, 0]))
    3
    """

    role: ClassVar[str] = "train"


@dataclass(frozen=True, eq=False)
class HoldOut(_Labelled):
    """Labelled points that no predictor has seen, and by which none was chosen."""

    role: ClassVar[str] = "holdout"


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Inputs alone, drawn after the predictors were fixed.

    Args:
        inputs: one point a row, of any further shape.

    Raises:
        ValueError: no point, or inputs that are not finite.
    """

    role: ClassVar[str] = "unlabelled"
    inputs: Shaped[Tensor, "n *shape"]

    def __post_init__(self) -> None:
        _check_inputs(self.role, self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, source: Any, /) -> Unlabelled:
        """From a tensor or array, `Images`, a Dataset or a DataLoader; labels that come along are dropped.

        Raises:
            ValueError: the source is of another role, or is none of these.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, _Labelled):
            raise ValueError(f"{cls.role} was given points whose role is {source.role}; a point has one role")
        if isinstance(source, (Tensor, np.ndarray)):
            return cls(tensor_of(cls.role, source))
        return cls(_columns(cls.role, source)[0])


Role = Train | HoldOut | Unlabelled


def check_disjoint(*roles: Role, may_share: Iterable[tuple[str, str]] = ()) -> None:
    """No row of one role is, byte for byte, a row of another.

    Args:
        roles: the points of each.
        may_share: pairs of roles that may have rows in common: ("holdout", "unlabelled"), which may be the
            same points; and with "train", for independent draws from a law with atoms, where repeats are
            chance. Never for a copy of training points.

    Raises:
        ValueError: a row sits in two roles (the message names the first), their rows have different shapes,
            or `may_share` names something else.

    >>> import torch
    >>> train, rest = torch.arange(6.0).reshape(3, 2), torch.tensor([[8.0, 9.0], [2.0, 3.0]])
    >>> check_disjoint(Train.of(train, [0, 1, 0]), Unlabelled.of(rest))
    Traceback (most recent call last):
        ...
    ValueError: rows 1 of train are rows 1 of unlabelled (1 in all); a point has one role: ...
    """
    allowed = list(may_share)
    for pair in allowed:
        if len(set(pair)) != 2 or not set(pair) <= set(ROLES):
            raise ValueError(f"may_share names {pair!r}; give pairs of {', '.join(ROLES)}")
    for first, second in itertools.combinations(roles, 2):
        if first.inputs.shape[1:] != second.inputs.shape[1:]:
            shapes = f"{tuple(first.inputs.shape[1:])} in {first.role}, {tuple(second.inputs.shape[1:])}"
            raise ValueError(f"a row has shape {shapes} in {second.role}; give points of one shape")
    for (one, other), pairs in shared_rows(roles, may_share=allowed).items():
        here, there = (", ".join(str(pair[side]) for pair in pairs[:_SHOWN]) for side in (0, 1))
        raise ValueError(
            f"rows {here} of {one} are rows {there} of {other} ({len(pairs)} in all); a point has one "
            "role: drop them from one, or name the pair in may_share (--shared-rows) if they were drawn "
            "independently"
        )


def shared_rows(
    roles: Sequence[Role], /, *, may_share: Iterable[tuple[str, str]] = ()
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """For each two roles that have rows in common: (row in the first, row in the second) for each of them.

    Rows are compared by a hash of their bytes, 0 and −0 alike; where the roles' types of number differ, in
    float32 (whole numbers in int64). Where a role repeats a row, its first place is named.
    """
    allowed = {frozenset(pair) for pair in may_share}
    pairs = [pair for pair in itertools.combinations(roles, 2) if {p.role for p in pair} not in allowed]
    dtype = _one_dtype([role.inputs.dtype for role in roles])
    places = {role.role: _first_places(role.inputs, dtype) for role in {r for pair in pairs for r in pair}}
    found = {}
    for first, second in pairs:
        here, there = places[first.role], places[second.role]
        if both := sorted((row, there[key]) for key, row in here.items() if key in there):
            found[first.role, second.role] = both
    return found


def _one_dtype(dtypes: list[torch.dtype]) -> torch.dtype:
    """The type that rows are compared in: their own where it is one that NumPy has."""
    kinds = set(dtypes)
    if len(kinds) == 1 and dtypes[0] != torch.bfloat16:
        return dtypes[0]
    return torch.float32 if any(dtype.is_floating_point for dtype in kinds) else torch.int64


def _first_places(inputs: Tensor, dtype: torch.dtype) -> dict[bytes, int]:
    """The hash of each row, and the first row that has it."""
    first: dict[bytes, int] = {}
    for row, key in enumerate(_keys(inputs, dtype)):
        first.setdefault(key, row)
    return first


def _keys(inputs: Tensor, dtype: torch.dtype) -> Iterator[bytes]:
    for part in inputs.detach().split(_HASHED_AT_ONCE):
        # Adding zero turns −0 into 0, which compares equal but has another sign bit.
        rows = (part.cpu().to(dtype).reshape(len(part), -1) + 0).contiguous().numpy()
        for row in rows:
            yield blake2b(row.data, digest_size=16).digest()


def tensor_of(name: str, values: Any, /) -> Tensor:
    """A tensor or array of numbers as a tensor without a graph.

    Raises:
        ValueError: its elements are no numbers.
    """
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} has elements of {array.dtype}; give numbers")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def _columns(name: str, source: Any) -> tuple[Tensor, ...]:
    """Inputs, and what else comes with each point, as whole tensors."""
    if isinstance(source, Images):
        return source.inputs, source.labels
    if isinstance(source, tuple):
        return tuple(tensor_of(name, column) for column in source)
    if isinstance(source, Dataset):
        source = DataLoader(source, batch_size=_LOADED_AT_ONCE)
    if not isinstance(source, DataLoader):
        kind = type(source).__name__
        raise ValueError(f"{name} is a {kind}; give (inputs, labels), a Dataset or a DataLoader")
    # A loader draws a seed from torch's global generator when it starts; that is put back.
    with torch.random.fork_rng(devices=[]):
        batches = [batch if isinstance(batch, (tuple, list)) else (batch,) for batch in source]
    if not batches or not all(isinstance(column, Tensor) for column in batches[0]):
        raise ValueError(f"{name}: the loader must give batches of tensors, inputs first and labels second")
    return tuple(torch.cat(column).detach() for column in zip(*batches, strict=True))


def _check_inputs(name: str, inputs: Tensor) -> None:
    if inputs.ndim == 0 or inputs.numel() == 0:
        raise ValueError(
            f"{name} has inputs of shape {tuple(inputs.shape)}; give at least one point, a row each"
        )
    if inputs.dtype.is_floating_point and not bool(torch.isfinite(inputs).all()):
        raise ValueError(f"{name} has inputs that are NaN or infinite; clean them first")
