"""The result of every bound: its value, its terms by name, its δ, and whether its assumptions were met."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kdtheory.answers import probability, upwards
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_fraction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bound", "size_needed", "terms_frame"]

_LARGEST_SIZE = 2**52  # the limits of counts go up to 2^53


@door
@dataclass(frozen=True)
class Bound:
    """An upper bound on a risk that holds with probability at least 1 − δ, if its assumptions do.

    Args:
        name: the function that made it.
        value: the bound.
        terms: what it is made of, in the order of the formula.
        delta: δ.
        assumptions: each assumption as a sentence, and whether it was met.
        trivial: the level that holds without any data (1 for a loss in [0, 1]).
        value_at: the bound at another size n, with what was measured on the sample as it is; falls with n.
            None where the function does not know.
        least: the least size at which the bound exists.
        over: what the probability 1 − δ is over, as a phrase.
        quantities: what went in, by name: sizes, counts, bits, divergences.
        what: what is bounded, as the subject of a sentence.

    Raises:
        ValueError: δ is outside (0, 1), the value is NaN, no assumption is stated, or `least` is below 1.

    >>> terms, met = {"risk": 0.1, "radius": 0.2}, {"independent draws": True}
    >>> bound = Bound("it", 0.3, terms, 0.05, met, value_at=lambda n: 0.1 + 8.5 / n)
    >>> bound.certificate, bound.kind, bound.vacuous, bound.needed
    (True, 'certificate', False, 10)
    >>> bound.coverage
    'with probability at least 0.95 over the sample, the risk is at most 0.3'
    """

    name: str
    value: float
    terms: Mapping[str, float]
    delta: float
    assumptions: Mapping[str, bool]
    trivial: float = 1.0
    value_at: Callable[[int], float] | None = field(default=None, repr=False, compare=False)
    least: int = 1
    over: str = "the sample"
    quantities: Mapping[str, float] = field(default_factory=dict)
    what: str = "the risk"

    def __post_init__(self) -> None:
        check_fraction("delta", self.delta, open_interval=True)
        if math.isnan(self.value):
            raise ValueError("value = nan is no bound; look for NaN among the terms")
        if not self.assumptions:
            raise ValueError("assumptions is empty; state at least one, and whether it was met")
        check_at_least("least", self.least, 1)
        for name in ("terms", "assumptions", "quantities"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def certificate(self) -> bool:
        """Every assumption was met; otherwise the number is a heuristic."""
        return all(self.assumptions.values())

    @property
    def kind(self) -> str:
        """`certificate` or `heuristic`."""
        return "certificate" if self.certificate else "heuristic"

    @property
    def vacuous(self) -> bool:
        """The value is at least the trivial level: it says nothing."""
        return self.value >= self.trivial

    @cached_property
    def needed(self) -> int | None:
        """The least sample size at which it says something; None where none would do, or nothing is known.

        Searched for when first asked: a sharp bound is inverted anew at every size that is tried.
        """
        return (
            None
            if self.value_at is None
            else size_needed(self.value_at, trivial=self.trivial, least=self.least)
        )

    @property
    def coverage(self) -> str:
        """The statement of the bound, as a sentence; its limit rounded upwards, its probability downwards."""
        claim = f"with probability at least {probability(self.delta)} over {self.over}, "
        unmet = [sentence for sentence, met in self.assumptions.items() if not met]
        condition = f", if {' and '.join(unmet)}, which was not met" if unmet else ""
        return f"{claim}{self.what} is at most {upwards(self.value)}{condition}"

    def to_frame(self) -> pd.DataFrame:
        """One row for each term and one, `total`, for the value."""
        import pandas as pd

        from kdtheory.shown import Frame

        named = [*self.terms.items(), ("total", self.value)]
        return Frame(
            {
                "term": [name for name, _ in named],
                "value": [float(value) for _, value in named],
                "kind": self.kind,
                "delta": self.delta,
                "vacuous": self.vacuous,
                "needed": pd.array([self.needed] * len(named), dtype="Int64"),
                "bound": self.name,
            }
        )

    def plot(self) -> Any:
        """One bar, of its terms; the axes."""
        from kdtheory.shown import bars

        return bars({self.name: self.terms}, label=f"{self.what} is at most", most=self.trivial)

    def _repr_html_(self) -> str:
        from kdtheory.shown import in_html

        return in_html(self.coverage, self.to_frame())


def terms_frame(lines: Mapping[str, Bound], /) -> pd.DataFrame:
    """Named bounds as one frame: a row for each term of each, and one, `total`, for its value."""
    import pandas as pd

    from kdtheory.shown import Frame

    if not lines:
        names = ("line", "term", "value", "kind", "delta", "vacuous", "needed", "bound")
        return Frame(columns=list(names))
    frames = [bound.to_frame() for bound in lines.values()]
    for name, frame in zip(lines, frames, strict=True):
        frame.insert(0, "line", name)
    return Frame(pd.concat(frames, ignore_index=True))


@door
def size_needed(value_at: Callable[[int], float], /, *, trivial: float = 1.0, least: int = 1) -> int | None:
    """The least n ≥ `least` at which `value_at(n)`, which falls with n, is below the trivial level.

    Args:
        value_at: the bound at another size n, with what was measured on the sample as it is.
        trivial: the level to get below.
        least: the least size at which the bound exists.

    Returns:
        The size; None where 2^52 would not do.

    Raises:
        ValueError: `least` is no whole number of at least 1, or the trivial level or a bound is NaN.

    >>> size_needed(lambda n: 0.5 + 10 / n)
    21
    """
    check_at_least("least", least, 1)

    def says_something(size: int) -> bool:
        value = value_at(size)
        if math.isnan(value) or math.isnan(trivial):
            raise ValueError(f"value_at({size}) = {value} and trivial = {trivial} must be numbers, not NaN")
        return value < trivial

    low, high = least - 1, least
    while not says_something(high):
        if high >= _LARGEST_SIZE:
            return None
        low, high = high, min(2 * high, _LARGEST_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if says_something(middle) else (middle, high)
    return high


def in_proportion(others: int, size: int, points: int, /) -> int:
    """How many the others are, 1 to 2^53, where the points are `size` and both grow alike."""
    return min(max(1, round(others * size / points)), 2 * _LARGEST_SIZE)
