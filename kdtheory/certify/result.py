"""What `certify` returns: bounds that hold together, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kdtheory.bounds import Bound
from kdtheory.bounds.result import shown_in_html, terms_frame
from kdtheory.certify.ship import Shipped
from kdtheory.doors import door

__all__ = ["OWN_PARTS", "Certificates"]

OWN_PARTS = "own"
"""What stands for a version where the caller gave the parts of δ."""

_SCHEMA = 3
"""2: `parts`, `share` of each bound (0 where it has none), lines that are shown without a share.
3: `shipped`, networks to ship where they were asked for, and `of` what a bound is."""

_ONE_CALL = "one call counts, not the best of several calls, plans or seeds"


@door
@dataclass(frozen=True)
class Certificates:
    """Bounds on one teacher's risk Pr[argmax f ≠ y]: its certificates hold all at once, at 1 − δ.

    At once means those of one call. Of several calls, with other plans, seeds or networks, each holds at its
    own 1 − δ; the best of j calls, chosen afterwards, needs δ/j in each.

    Args:
        delta: δ of all of them together: each has a share of it that was fixed beforehand.
        lines: the bounds by name, the hold-out line first.
        skipped: the names of those that do not apply, and why.
        points: how many points of each role.
        unshared: names of lines that take no share of δ: heuristics, and what says nothing by its form.
        parts: the version of the fixed parts of δ, or "own".
        shipped: networks that can be shipped in the teacher's stead, each with a bound on its own error, at
            shares of the same δ.

    Raises:
        ValueError: the shares sum to more than δ.
    """

    delta: float
    lines: Mapping[str, Bound]
    skipped: Mapping[str, str]
    points: Mapping[str, int]
    unshared: frozenset[str] = frozenset()
    parts: str = OWN_PARTS
    shipped: Mapping[str, Shipped] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = sum(self.shares.values())
        if total > self.delta * (1 + 1e-9):
            raise ValueError(f"the shares sum to {total}, more than delta = {self.delta}")
        for name in ("lines", "skipped", "points", "shipped"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds, the hold-out line first."""
        return tuple(self.lines.values())

    @property
    def shares(self) -> dict[str, float]:
        """How δ is split over the lines that take a share of it."""
        bounds = {**self.lines, **{name: one.bound for name, one in self.shipped.items()}}
        return {name: bound.delta for name, bound in bounds.items() if name not in self.unshared}

    @property
    def best_line(self) -> str | None:
        """The name of the least certificate; None where every bound is a heuristic."""
        certified = [name for name, bound in self.lines.items() if bound.certificate]
        return min(certified, key=lambda name: self.lines[name].value, default=None)

    @property
    def best(self) -> Bound | None:
        """The least certificate, at the δ of all: it was chosen afterwards, and all hold at once at that δ.

        `lines` has the same bound at its own share, which holds for a line that was named beforehand.
        """
        return None if self.best_line is None else replace(self.lines[self.best_line], delta=self.delta)

    @property
    def best_shipped(self) -> str | None:
        """The name of the network to ship whose certificate is the least; None where none is certified."""
        certified = {name: one.bound.value for name, one in self.shipped.items() if one.bound.certificate}
        return min(certified, key=lambda name: certified[name], default=None)

    @property
    def vacuous(self) -> bool:
        """No certificate says anything."""
        return self.best is None or self.best.vacuous

    @property
    def statement(self) -> str:
        """What is certified, as a sentence: at the δ of all, for the best one was chosen afterwards."""
        if self.best is None:
            return "no certificate: every number is a heuristic"
        claim = f"with probability at least {1 - self.delta:g} all certificates hold, and by the best of them"
        nothing = ": that says nothing" if self.vacuous else ""
        said = (
            f"{claim} ({self.best_line}) the error is at most {self.best.value:.6g}{nothing}{self._to_ship}"
        )
        return f"{said}; {_ONE_CALL}"

    @property
    def _to_ship(self) -> str:
        """What is certified of the network to ship, as a clause."""
        if self.best_shipped is None:
            return ""
        return f", that of {self.best_shipped} at most {self.shipped[self.best_shipped].bound.value:.6g}"

    def to_frame(self) -> pd.DataFrame:
        """One row for each term of each bound, and one, `total`, for its value."""
        return terms_frame(self.lines)

    def _repr_html_(self) -> str:
        return shown_in_html(self.statement, self.to_frame())

    def to_json(self) -> dict[str, Any]:
        """The same, and the assumptions, in plain types: what `json.dumps` takes, without NaN or infinity."""
        return {
            "schema": _SCHEMA,
            "delta": self.delta,
            "best": self.best_line,
            "vacuous": self.vacuous,
            "statement": self.statement,
            "points": dict(self.points),
            "parts": self.parts,
            "bounds": [_plain(name, bound, self.shares.get(name, 0.0)) for name, bound in self.lines.items()],
            "shipped": [
                _plain(name, one.bound, self.shares.get(name, 0.0)) for name, one in self.shipped.items()
            ],
            "skipped": dict(self.skipped),
        }


def _plain(line: str, bound: Bound, share: float) -> dict[str, Any]:
    return {
        "line": line,
        "bound": bound.name,
        "of": bound.what,
        "value": float(bound.value),
        "terms": {name: float(value) for name, value in bound.terms.items()},
        "delta": float(bound.delta),
        "share": float(share),
        "kind": bound.kind,
        "vacuous": bool(bound.vacuous),
        "trivial": float(bound.trivial),
        "needed": None if bound.needed is None else int(bound.needed),
        "assumptions": {sentence: bool(met) for sentence, met in bound.assumptions.items()},
        "quantities": {name: float(value) for name, value in bound.quantities.items()},
        "coverage": bound.coverage,
    }
