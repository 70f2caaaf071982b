"""The result of `compare`: bounds that hold together, what was left out and why, and the sentence to be
shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kdtheory.answers import AHEAD, RESTS, Answer, confidence, hundredfold, percent
from kdtheory.bounds import Bound
from kdtheory.bounds.agreement import ClassAgreement
from kdtheory.bounds.result import terms_frame
from kdtheory.compare.meaning import in_words, shorter, what_was_seen
from kdtheory.doors import door
from kdtheory.shown import bars

__all__ = ["COST", "ERROR", "Comparison"]

COST = ("cost", "where_they_differ", "agreement")
"""Lines that bound err(s) − err(t) from above."""
ERROR = ("student_error", "few_labels", "stratified")
"""Lines that bound err(s)."""
_SCHEMA = 3
"""2: `statement` is a sentence of counts and percentages, `ahead` what would make its limits smaller.
3: `kind` of the classes, which rest on what the agreement rests on."""
_ONE_CALL = "one call counts, not the best of several"


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

    def _least_line(self, names: tuple[str, ...]) -> str | None:
        certified = [name for name in names if name in self.lines and self.lines[name].certificate]
        return min(certified, key=lambda name: self.lines[name].value, default=None)

    def _least(self, names: tuple[str, ...]) -> Bound | None:
        line = self._least_line(names)
        return None if line is None else replace(self.lines[line], delta=self.delta)

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
        """The observation, and non-inferiority, as a sentence at the δ of all."""
        if self.cost is None:
            return "Nothing is certified: every number rests on something that is not so"
        value, sure = self.cost.value * 100, confidence(self.delta)
        word = "at most" if value >= 0 else "fewer by at least"
        said = f"{what_was_seen(self.lines)}with {sure} confidence the student errs on {word} "
        said += (
            f"{_rounded_up(value):g} points of 100" + (" more" if value >= 0 else "") + " than its teacher"
        )
        if self.margin is not None:
            verb = "shown" if self.shown else "not shown"
            said += f": a margin of {hundredfold(self.margin)} is {verb}"
        return f"{said[0].upper()}{said[1:]}"

    @property
    def ahead(self) -> tuple[str, ...]:
        """The means to make the limit of the cost smaller, each with its number; all of them computed."""
        line = self._least_line(COST)
        return () if line is None else shorter(line, self.lines[line], margin=self.margin)

    @property
    def answer(self) -> Answer:
        """The sentence, the lines in words, what would make its limit smaller, and the rest."""
        by_worth = sorted(self.lines.items(), key=lambda one: (not one[1].certificate, one[1].value))
        met = () if self.cost is None else tuple(s for s, holds in self.cost.assumptions.items() if holds)
        heading = f"Class by class of the teacher{self._doubt_of_classes}"
        by_class = {heading: tuple(_in_words(*one) for one in self.classes.items())}
        shares = {name: bound.delta for name, bound in self.lines.items()}
        shares["class by class"] = self.delta - sum(shares.values())
        asked = any(one.shown is not None for one in self.classes.values())
        return Answer(
            self.statement,
            ("at most", "line", "what is bounded"),
            tuple((percent(bound.value), name, in_words(name, bound)) for name, bound in by_worth),
            {AHEAD: self.ahead, RESTS: (*met, _ONE_CALL), **(by_class if asked else {})},
            {
                **({} if asked else by_class),
                "Terms": tuple(
                    f"{name} ({bound.name}): "
                    + " + ".join(f"{t} {v:.4g}" for t, v in bound.terms.items() if v)
                    for name, bound in self.lines.items()
                ),
                f"Shares of δ = {self.delta:g}, fixed before anything was computed": tuple(
                    f"{name}: {share:.4g}" for name, share in shares.items()
                ),
                "Left out": tuple(f"{name}: {reason}" for name, reason in self.skipped.items()),
            },
        )

    @property
    def _doubt_of_classes(self) -> str:
        """A clause on what the limits of classes rest on and is not so, which is as of the agreement."""
        met = self.lines["agreement"].assumptions if "agreement" in self.lines else {}
        unmet = [sentence for sentence, holds in met.items() if not holds]
        return f", heuristics, for it is not so that {'; '.join(unmet)}" if unmet else ""

    def __str__(self) -> str:
        return self.answer.text()

    def to_frame(self) -> pd.DataFrame:
        """One row for each term of each bound, and one, `total`, for its value."""
        return terms_frame({name: replace(bound, value_at=None) for name, bound in self.lines.items()})

    def plot(self) -> Any:
        """One bar for each line, of its terms; the axes."""
        return bars({name: bound.terms for name, bound in self.lines.items()}, label="at most")

    def _repr_html_(self) -> str:
        return self.answer.html()

    def to_json(self) -> dict[str, Any]:
        """The result and its assumptions in plain types."""
        return {
            "schema": _SCHEMA,
            "delta": self.delta,
            "margin": self.margin,
            "shown": self.shown,
            "statement": self.statement,
            "ahead": list(self.ahead),
            "points": dict(self.points),
            "parts": self.parts,
            "lines": [_plain(name, bound) for name, bound in self.lines.items()],
            "classes": {
                str(j): {**vars(found), "kind": "heuristic" if self._doubt_of_classes else "certificate"}
                for j, found in self.classes.items()
            },
            "skipped": dict(self.skipped),
        }


def _in_words(number: int, one: ClassAgreement) -> str:
    said = (
        f"{number}: the two differ at {one.disagreements:,} of {one.points:,}, at most {percent(one.limit)}"
    )
    return said if one.shown is None else f"{said}; {'shown' if one.shown else 'not shown'}"


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
