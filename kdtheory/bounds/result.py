"""What every bound returns: its value, its terms by name, its δ, and whether its assumptions were met."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from kdtheory.validate import check_fraction

__all__ = ["Bound"]


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

    Raises:
        ValueError: δ is outside (0, 1), the value is NaN, or no assumption is stated.

    >>> bound = Bound("it", 0.3, {"risk": 0.1, "radius": 0.2}, 0.05, {"independent draws": True})
    >>> bound.certificate, bound.kind, bound.vacuous
    (True, 'certificate', False)
    """

    name: str
    value: float
    terms: Mapping[str, float]
    delta: float
    assumptions: Mapping[str, bool]
    trivial: float = 1.0

    def __post_init__(self) -> None:
        check_fraction("delta", self.delta, open_interval=True)
        if math.isnan(self.value):
            raise ValueError("value = nan is no bound; look for NaN among the terms")
        if not self.assumptions:
            raise ValueError("assumptions is empty; state at least one, and whether it was met")
        object.__setattr__(self, "terms", MappingProxyType(dict(self.terms)))
        object.__setattr__(self, "assumptions", MappingProxyType(dict(self.assumptions)))

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

    def to_frame(self) -> pd.DataFrame:
        """One row for each term and one, `total`, for the value."""
        named = [*self.terms.items(), ("total", self.value)]
        return pd.DataFrame(
            {
                "bound": self.name,
                "term": [name for name, _ in named],
                "value": [float(value) for _, value in named],
                "delta": self.delta,
                "kind": self.kind,
                "vacuous": self.vacuous,
            }
        )
