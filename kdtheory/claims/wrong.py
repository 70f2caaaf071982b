"""Wrong versions of a function, made from the right one: scaled, shifted, with other arguments, constant.

Each of these takes the function from the `Mutant` that it stands in, so that only what is wrong is written:

>>> from kdtheory.claims.core import Mutant
>>> Mutant("half of it", max, scaled(0.5)).wrong(1.0, 4.0)
2.0
>>> Mutant("the larger base", pow, given(exp=lambda power: power + 1)).wrong(2, exp=3)
16
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdtheory.claims.scaled import Scaled, like

__all__ = ["Wrong", "arguments", "constant", "given", "rolled", "scaled", "shifted", "swapped", "value"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Wrong:
    """How a function is made wrong: `of(right)` is its wrong version."""

    of: Callable[[Function], Function]


def scaled(factor: float, /, entry: str | int | tuple[str | int, ...] | None = None) -> Wrong:
    """Its value, or entries of it (a place, a field, a key, a term of a `Bound`), times a factor."""
    return Wrong(lambda right: Scaled(right, entry=entry).wrong(factor))


def shifted(amount: float, /) -> Wrong:
    """Its value plus an amount."""
    return value(lambda found: found + amount)


def value(change: Function, /) -> Wrong:
    """Its value changed: change(value)."""

    def of(right: Function) -> Function:
        return like(right)(lambda *args, **settings: change(right(*args, **settings)))

    return Wrong(of)


def rolled(dim: int = -1, /) -> Wrong:
    """Its value with the entries along an axis moved on by one, in a ring: other classes, other examples."""
    return value(lambda found: found.roll(1, dim))


def constant(found: Any, /) -> Wrong:
    """One value, whatever it is given; where it gives an array, that value in each entry."""

    def filled(right: Any) -> Any:
        return right * 0 + found if hasattr(right, "shape") else found

    return value(filled)


def arguments(change: Function, /) -> Wrong:
    """Other arrays: called with change(*arrays), a tuple of as many or, of one, itself; settings as given."""

    def of(right: Function) -> Function:
        @like(right)
        def called(*args: Any, **settings: Any) -> Any:
            changed = change(*args)
            return right(*(changed if isinstance(changed, tuple) else (changed,)), **settings)

        return called

    return Wrong(of)


def swapped() -> Wrong:
    """The first two arrays in each other's place."""
    return arguments(lambda first, second, *rest: (second, first, *rest))


def given(**settings: Any) -> Wrong:
    """Other settings: values, or functions of the value that it is given (or that it has by default)."""

    def of(right: Function) -> Function:
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(right).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }

        @like(right)
        def called(*args: Any, **given: Any) -> Any:
            there = defaults | given
            wrong = {
                name: setting(there[name]) if callable(setting) else setting
                for name, setting in settings.items()
            }
            return right(*args, **{**given, **wrong})

        return called

    return Wrong(of)
