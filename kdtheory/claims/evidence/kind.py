"""Evidence: one frozen record per kind of evidence, made of plain numbers.

Every kind answers the same three questions, and nothing else is asked of it:

- `p_against`: how surprising the evidence would be if the claim *held* (small: it is refuted);
- `p_in_favour`: how surprising it would be if the claim *failed* (small: it is supported);
- `says_nothing`: it holds, at a level that is trivial.

Deterministic kinds answer 0 or 1; statistical kinds give a one-sided p-value, and share the error rate of
the ledger. What the numbers amount to is decided in one place, `kdtheory.claims.verdict`.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.doors import gate
from kdtheory.plain import made, plain, plain_fields

__all__ = ["Evidence", "Notes", "Values", "as_numbers", "check_declared", "pair_at", "paired"]

Notes = Mapping[str, Any]
if TYPE_CHECKING:
    Values = ArrayLike | tuple[Any, ...]
    """Numbers as NumPy takes them; tuples are named, for they lack a method that its protocol asks for."""
else:
    Values = Any  # `as_numbers` looks at them


@gate
@dataclass(frozen=True, kw_only=True)
class Evidence(abc.ABC):
    """Evidence for or against a claim. `notes` holds further numbers worth reporting, by name."""

    kind: ClassVar[str]
    sampled: ClassVar[bool] = False
    notes: Notes = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", plain(self.notes))

    def to_plain(self) -> dict[str, Any]:
        """The evidence as plain JSON types, with the p-values that its verdict rests on."""
        read = {name: getattr(self, name) for name in ("p_in_favour", "p_against", "key_figure")}
        return {"kind": self.kind, **plain_fields(self), **read}

    @classmethod
    def from_plain(cls, value: Any, where: str, /) -> Evidence:
        """The evidence that `to_plain` wrote.

        Raises:
            ValueError: it is of no known kind, lacks a field, or has one of another type.
        """
        name = value.get("kind") if isinstance(value, Mapping) else value
        kind = next((kind for kind in _below(cls) if getattr(kind, "kind", None) == name), None)
        if kind is None:
            raise ValueError(f"{where}, evidence of kind {name!r}, is not known; the record is damaged")
        return cast(Evidence, made(kind, value, where))

    @property
    def leaves(self) -> Mapping[str, Evidence]:
        """The pieces that are judged, by name: itself, without a name, or the parts of joint evidence."""
        return {"": self}

    @property
    def statistical(self) -> bool:
        """Whether chance decides any piece, which then shares the error rate of the ledger."""
        return any(leaf.sampled for leaf in self.leaves.values())

    @property
    @abc.abstractmethod
    def p_against(self) -> float:
        """The p-value against the claim: small where the evidence would be surprising if it held."""

    @property
    @abc.abstractmethod
    def p_in_favour(self) -> float:
        """The p-value in favour of the claim: small where the evidence would be surprising if it failed."""

    @property
    def says_nothing(self) -> bool:
        """Whether the claim, if it holds, holds at a trivial level."""
        return False

    @property
    @abc.abstractmethod
    def key_figure(self) -> str:
        """The one figure that a row of the ledger has room for."""


def _below(kind: type[Evidence]) -> Iterator[type[Evidence]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def check_declared(**settings: float) -> None:
    """What is declared before a run is finite: with an infinite slack or margin everything would hold."""
    for name, value in settings.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} = {value} is not finite; declare a number that the evidence can fail")


def as_numbers(name: str, values: Values) -> np.ndarray:
    """Numbers, or truth values as 0 and 1, as an array of floats, or a `ValueError`."""
    try:
        array = np.asarray(values)
        return array.astype(float) if array.dtype.kind in "biuf" else np.asarray(values, dtype=float)
    except (ValueError, TypeError, RuntimeError):  # words, ragged rows, tensors that ask for a gradient
        raise ValueError(f"{name} holds something other than numbers; give an array of them") from None


def paired(lhs: Values, rhs: Values) -> tuple[np.ndarray, np.ndarray]:
    """The two sides as float arrays of one shape, finite and not empty, or a `ValueError`."""
    left, right = as_numbers("lhs", lhs), as_numbers("rhs", rhs)
    if left.shape != right.shape:
        raise ValueError(f"lhs has shape {left.shape} and rhs {right.shape}; pair them first")
    if left.size == 0:
        raise ValueError("there is no trial; give at least one")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a side holds NaN or infinite values; a check must not hide them")
    return left, right


def pair_at(left: np.ndarray, right: np.ndarray, index: int) -> dict[str, float]:
    """The two sides at one entry, as a record keeps them."""
    return {"entry": index, "lhs": float(left.reshape(-1)[index]), "rhs": float(right.reshape(-1)[index])}
