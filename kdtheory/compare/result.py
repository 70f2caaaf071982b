"""What `compare` returns: bounds that hold together, what was left out and why, and the sentence to be
shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kdtheory.bounds import Bound
from kdtheory.bounds.agreement import ClassAgreement
from kdtheory.bounds.result import shown_in_html, terms_frame
from kdtheory.doors import door

__all__ = ["COST", "ERROR", "Comparison"]

COST = ("cost", "where_they_differ", "agreement")
"""Lines that bound err(s) − err(t) from above."""
ERROR = ("student_error", "few_labels", "stratified")
"""Lines that bound err(s)."""
_SCHEMA = 1


@door
@dataclass(frozen=True)
class Comparison:
    """Bounds on how a student differs from its teacher: its certificates hold all at once, at 1 − δ.

    Args:
        delta: δ of all of them together.
        lines: the bounds by name.
        classes: agreement on the points of each class of the teacher, at its own share.
        skipped: the names of those that do not apply, and why.
        points: how many points of each role.
        margin: what err(s) − err(t) is to be shown to be at most.
        parts: the version of the fixed parts of δ.
    """

    delta: float
    lines: Mapping[str, Bound]
    classes: Mapping[int, ClassAgreement]
    skipped: Mapping[str, str]
    points: Mapping[str, int]
    margin: float | None
    parts: str

    def __post_init__(self) -> None:
        for name in ("lines", "classes", "skipped", "points"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def _least(self, names: tuple[str, ...]) -> Bound | None:
        certified = [
            self.lines[name] for name in names if name in self.lines and self.lines[name].certificate
        ]
        least = min(certified, key=lambda bound: bound.value, default=None)
        return None if least is None else replace(least, delta=self.delta)

    @property
    def cost(self) -> Bound | None:
        """The least certified limit of err(s) − err(t), at the δ of all; None where there is none."""
        return self._least(COST)

    @property
    def error(self) -> Bound | None:
        """The least certified limit of err(s), at the δ of all; None where there is none."""
        return self._least(ERROR)

    @property
    def shown(self) -> bool:
        """Whether the margin is shown; without a margin, whether any certificate says something."""
        if self.margin is None:
            return any(bound.certificate and not bound.vacuous for bound in self.lines.values())
        return self.cost is not None and self.cost.value <= self.margin

    @property
    def statement(self) -> str:
        """Non-inferiority as a sentence."""
        if self.cost is None:
            return "no certificate: every number is a heuristic"
        value = self.cost.value * 100
        sure, word = f"{100 * (1 - self.delta):g} %", "at most" if value >= 0 else "fewer by at least"
        said = f"at {sure}, the student errs on {word} {_rounded_up(value):g} points of 100"
        said += " more than its teacher" if value >= 0 else " than its teacher"
        if self.margin is not None:
            verb = "shown" if self.shown else "not shown"
            said += f"; a margin of {100 * self.margin:g} is {verb}"
        return f"{said} (by {self.cost.name}; one call counts, not the best of several)"

    def to_frame(self) -> pd.DataFrame:
        """One row for each term of each bound, and one, `total`, for its value."""
        return terms_frame({name: replace(bound, value_at=None) for name, bound in self.lines.items()})

    def _repr_html_(self) -> str:
        return shown_in_html(self.statement, self.to_frame())

    def to_json(self) -> dict[str, Any]:
        """The same, and the assumptions, in plain types."""
        return {
            "schema": _SCHEMA,
            "delta": self.delta,
            "margin": self.margin,
            "shown": self.shown,
            "statement": self.statement,
            "points": dict(self.points),
            "parts": self.parts,
            "lines": [_plain(name, bound) for name, bound in self.lines.items()],
            "classes": {str(j): vars(found) for j, found in self.classes.items()},
            "skipped": dict(self.skipped),
        }


def _plain(line: str, bound: Bound) -> dict[str, Any]:
    return {
        "line": line,
        "bound": bound.name,
        "of": bound.what,
        "value": float(bound.value),
        "terms": {name: float(value) for name, value in bound.terms.items()},
        "delta": float(bound.delta),
        "kind": bound.kind,
        "vacuous": bool(bound.vacuous),
        "assumptions": {sentence: bool(met) for sentence, met in bound.assumptions.items()},
        "quantities": {name: float(value) for name, value in bound.quantities.items()},
        "coverage": bound.coverage,
    }


def _rounded_up(value: float) -> float:
    """To two decimals, never towards a smaller limit: |fewer by at least| is rounded down."""
    return -(-value * 100 // 1) / 100 if value >= 0 else (-value * 100 // 1) / 100
