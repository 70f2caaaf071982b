"""Data by role: what may depend on which points is a matter of type, and no point may have two roles.

A bound is only as honest as its split. `Train` are labelled points that predictors may have been trained on;
`HoldOut` labelled points that none of them has seen; `Unlabelled` inputs that were drawn after all of them
were fixed. `role_rows.check_rows` compares the rows themselves: a point that sits in two roles, or twice in
one, is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt64
from torch import Tensor

from kdtheory._parts_of_batches import place_of_labels
from kdtheory.batches import as_batches, class_numbers
from kdtheory.datasets import Images
from kdtheory.doors import door
from kdtheory.networks import Inputs
from kdtheory.rows import COMPARED, SideBySide, Table, hashed
from kdtheory.types import tensor_of
from kdtheory.validate import check_one_label_each, check_whole_labels

__all__ = [
    "ROLES",
    "Arguments",
    "HoldOut",
    "SideBySide",
    "Train",
    "Unlabelled",
]

ROLES = ("train", "holdout", "unlabelled")


@door
@dataclass(frozen=True, eq=False)
class Arguments(SideBySide):
    """The arguments of a module for each point, where that is more than one array.

    Args:
        names: of each part, or None for what is handed over in order.

    Raises:
        ValueError: as `SideBySide`, not one name for each part, or a name twice.
    """

    names: tuple[str | None, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in self.names if name is not None]
        if len(self.names) != len(self.parts) or len(set(given)) < len(given):
            raise ValueError(
                f"names = {self.names} for {len(self.parts)} parts; give one for each or None, none twice"
            )

    @property
    def inputs(self) -> Inputs:
        """As a batch of all points."""
        pairs = list(zip(self.names, self.parts, strict=True))
        args = tuple(part for name, part in pairs if name is None)
        return Inputs(args, {name: part for name, part in pairs if name is not None})


@dataclass(frozen=True, eq=False)
class _Points:
    """Points of one role."""

    role: ClassVar[str]
    inputs: Shaped[Tensor, "n *shape"] | SideBySide
    hashes: UInt64[np.ndarray, "n"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashes", _check_inputs(self.role, self.inputs))

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def called_with(self) -> Inputs | None:
        """The inputs of a module; None where the points are known by logits alone."""
        if isinstance(self.inputs, Tensor):
            return Inputs((self.inputs,))
        return self.inputs.inputs if isinstance(self.inputs, Arguments) else None


@dataclass(frozen=True, eq=False)
class _Labelled(_Points):
    """Labelled points of one role.

    Args:
        inputs: one point a row, of any further shape; or tables by which points are known, side by side,
            such as the logits of two networks, where −∞ is allowed; or `Arguments`.
        labels: the class number of each.

    Raises:
        ValueError: no point, inputs that are not finite real numbers, labels that are no class numbers, or
            not one each.
    """

    labels: Int[Tensor, "*each"]

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = class_numbers(f"{self.role} labels", self.labels, len(self.inputs))
        check_one_label_each(f"{self.role} labels", labels)
        if int(labels.min()) < 0:
            low = int(labels.min())
            cure = "; leave those points out, by Batches(data, ignore_index=-100)" if low == -100 else ""
            raise ValueError(f"{self.role} labels go down to {low}; classes count from 0{cure}")

    @classmethod
    def of(cls, source: Any, labels: Any = None, /) -> Any:
        """From inputs and labels (tensors or arrays), `Images`, and what gives batches of them.

        Args:
            source: (inputs, labels), a mapping, a Dataset, a DataLoader, or another iterable of batches; of
                batches of more parts `Batches`, which says which are inputs and which labels.
            labels: where the source is inputs alone.

        Raises:
            ValueError: the source is of another role, is none of these, has no labels or no known end, or has
                batches that can be read in two ways.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, _Points):
            raise ValueError(f"{cls.role} was given points whose role is {source.role}; a point has one role")
        if labels is None and isinstance(source, tuple) and len(source) == 2:
            place = place_of_labels(source)
            source, labels = source[1 - place], source[place]
        if labels is not None:
            given = tensor_of(f"{cls.role} labels", labels)
            check_whole_labels(f"{cls.role} labels", given)
            return cls(_inputs_of(cls.role, source), given)
        if isinstance(source, Images):
            return cls(source.inputs, source.labels)
        inputs, numbers = _read(cls.role, source, labelled=True)
        return cls(inputs, numbers)


@door
@dataclass(frozen=True, eq=False)
class Train(_Labelled):
    """Labelled points that the teacher, the student or a witness may have been trained on.

    >>> import torch
    >>> len(Train.of(torch.zeros(3, 2), [0, 1, 0]))
    3
    """

    role: ClassVar[str] = "train"


@door
@dataclass(frozen=True, eq=False)
class HoldOut(_Labelled):
    """Labelled points that no predictor has seen, and by which none was chosen."""

    role: ClassVar[str] = "holdout"


@door
@dataclass(frozen=True, eq=False)
class Unlabelled(_Points):
    """Inputs alone, drawn after the predictors were fixed.

    Args:
        inputs: as in `Train`.

    Raises:
        ValueError: no point, or inputs that are not finite real numbers.
    """

    role: ClassVar[str] = "unlabelled"

    @classmethod
    def of(cls, source: Any, /) -> Unlabelled:
        """From a tensor or array, `Images`, or what gives batches, as `Train.of`; labels are dropped unread.

        Raises:
            ValueError: as `Train.of`, but for labels.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, _Points):
            raise ValueError(f"{cls.role} was given points whose role is {source.role}; a point has one role")
        if isinstance(source, (Tensor, np.ndarray, SideBySide)):
            return cls(_inputs_of(cls.role, source))
        if isinstance(source, Images):
            return cls(source.inputs)
        return cls(_read(cls.role, source, labelled=False)[0])


Role = Train | HoldOut | Unlabelled


def _inputs_of(name: str, values: Any) -> Table:
    if isinstance(values, Mapping):
        raise ValueError(
            f"{name} has a mapping beside its labels; put them into it, as {{**inputs, 'labels': labels}}"
        )
    return values if isinstance(values, SideBySide) else tensor_of(name, values)


def _read(name: str, source: Any, *, labelled: bool) -> tuple[Table, Any]:
    """Inputs and labels of all points in what gives batches of them."""
    batches = as_batches(source, name=name)
    try:
        batch = batches.whole(labelled=labelled)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    parts, names = tuple(part.detach() for part in batch.inputs.tensors), tuple(batch.inputs.named)
    if len(parts) == 1 and not names:
        return parts[0], batch.labels
    return Arguments(parts, (*(None for _ in batch.inputs.args), *names)), batch.labels


def _check_inputs(name: str, inputs: Table) -> UInt64[np.ndarray, "n"]:
    """The hashes of the rows, of which all are read once and for all."""
    known_by = isinstance(inputs, SideBySide) and not isinstance(inputs, Arguments)
    parts = inputs.parts if isinstance(inputs, SideBySide) else (inputs,)
    for part in parts:
        if part.ndim == 0 or part.numel() == 0:
            shape = tuple(part.shape)
            raise ValueError(f"{name} has inputs of shape {shape}; give at least one point, a row each")
        if part.dtype not in COMPARED:
            types = ", ".join(str(dtype).removeprefix("torch.") for dtype in COMPARED)
            raise ValueError(f"{name} has inputs of {part.dtype}; give real numbers of a type among {types}")
    hashes, finite = hashed(inputs)
    for part in () if finite else parts:
        low, high = (float(value) for value in torch.aminmax(part.detach()))  # NaN comes through both
        if not high < math.inf or (low == -math.inf and not known_by):
            raise ValueError(f"{name} has inputs that are NaN or infinite; clean them first")
    return hashes
