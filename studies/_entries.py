"""One measure of another code beside kdtheory's, as the study `measures_of_codes` compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Given = Any
"""A case: its arrays by their names, and its `settings`."""
Measure = Callable[[Given], Any]


@dataclass(frozen=True)
class Entry:
    """A measure of another code beside kdtheory's.

    Args:
        code, name: whose, and what it is called there, up to the comma.
        ours: the nearest that kdtheory has, at its defaults; None where it has nothing like it.
        cases: points and settings.
        convention: in what the two differ.
        factor: theirs over ours, where that is one number.
        exact: theirs by kdtheory, where that is more than a factor.
        quantities: what is compared.
        dtypes: the precisions in which it is this entry; None for all.
    """

    code: str
    name: str
    ours: Measure | None
    cases: tuple[tuple[str, Mapping[str, Any]], ...]
    convention: str = ""
    factor: Callable[[Given], float] | None = None
    exact: Measure | None = None
    quantities: tuple[str, ...] = ("loss",)
    dtypes: tuple[str, ...] | None = None


def on(*points: str, **settings: Any) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """The same settings at several kinds of points."""
    return tuple((one, settings) for one in points)
