"""The central constant of a claim: what is scaled in a library function, to see what error is noticed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from kdtheory.bounds.result import Bound
from kdtheory.doors import gate
from kdtheory.validate import check_one_of

__all__ = ["Scaled"]


@gate
@dataclass(frozen=True)
class Scaled:
    """The value of a library function, or entries of it, scaled by a factor in one run of the premise.

    Args:
        target: the function of the library whose value holds the constant that the claim is about.
        entry: which entry of the value, where it has several: the place in a tuple, the field, the key, or
            the term of a `Bound`, whose value then moves with it; several entries are scaled together.
        towards: "less", "more" or "both": the errors that matter. An upper bound is wrong when it is less.
        version: factor ↦ the function with that error, where the constant is no factor of its value but, say,
            an exponent; in place of `entry`.

    Raises:
        ValueError: `towards` is none of these, or both `entry` and `version` are given.

    >>> Scaled(len).wrong(1.5)("four")
    6.0
    >>> Scaled(pow, version=lambda factor: lambda base, _: base ** (2 * factor)).wrong(1.5)(2, 2)
    8.0
    >>> Scaled(divmod, entry=(0, 1)).name
    'builtins.divmod[0, 1]'
    """

    target: Callable[..., Any]
    entry: str | int | tuple[str | int, ...] | None = None
    towards: str = "both"
    version: Callable[[float], Callable[..., Any]] | None = None

    def __post_init__(self) -> None:
        check_one_of("towards", self.towards, ("less", "more", "both"))
        if self.version and self.entry is not None:
            raise ValueError("an entry is scaled, or a version of the function is given; drop one of the two")

    @property
    def name(self) -> str:
        """The target: the full name of the function, and the entries of its value."""
        whole = f"{self.target.__module__}.{self.target.__qualname__}"
        return whole if self.entry is None else f"{whole}[{', '.join(map(repr, self._entries))}]"

    @property
    def _entries(self) -> tuple[str | int | None, ...]:
        return self.entry if isinstance(self.entry, tuple) else (self.entry,)

    def wrong(self, factor: float, /) -> Callable[..., Any]:
        """The target, wrong by this factor."""
        target = self.target
        if self.version:
            return self.version(factor)

        @like(target)
        def scaled(*args: Any, **settings: Any) -> Any:
            value = target(*args, **settings)
            for entry in self._entries:
                value = _scaled(value, factor, entry)
            return value

        return scaled


def like(right: Callable[..., Any], /) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`functools.wraps` without the attributes, one of which leads behind the right function's door."""
    return functools.wraps(right, updated=())


def _scaled(value: Any, factor: float, entry: str | int | None = None) -> Any:
    """The value, or its entry, times the factor.

    Raises:
        TypeError: it is no number, nor an array or tensor of numbers with a fractional part, nor a `Bound`.
    """
    match value:
        case Bound() if entry in value.terms:
            more = value.terms[str(entry)] * (factor - 1)
            terms = {**value.terms, str(entry): value.terms[str(entry)] + more}
            return dataclasses.replace(value, value=value.value + more, terms=terms)
        case Bound() if entry is None:
            return dataclasses.replace(value, value=value.value * factor)
        case _ if entry is not None:
            return _with_entry(value, entry, factor)
        case bool():
            pass
        case int() | float() | np.floating():
            return value * factor
        case Tensor() if value.is_floating_point():
            return value * factor
        case np.ndarray() if np.issubdtype(value.dtype, np.floating):
            return value * factor
    raise TypeError(f"a {type(value).__name__} has no scale; name an entry of it, or another function")


def _with_entry(value: Any, entry: str | int, factor: float) -> Any:
    if isinstance(value, Mapping):
        return {**value, entry: _scaled(value[entry], factor)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{str(entry): _scaled(getattr(value, str(entry)), factor)})
    if hasattr(value, "_replace") and isinstance(entry, str):
        return value._replace(**{entry: _scaled(getattr(value, entry), factor)})
    if isinstance(value, tuple | list) and isinstance(entry, int):
        items = [_scaled(item, factor) if n == entry else item for n, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    raise TypeError(f"a {type(value).__name__} has no entry {entry!r}; name a field, a key or a place")
