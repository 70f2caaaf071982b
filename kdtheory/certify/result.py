"""The result of `certify`: bounds that hold together, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kdtheory.answers import AHEAD, RESTS, Answer, confidence, percent
from kdtheory.bounds import Bound
from kdtheory.bounds.result import terms_frame
from kdtheory.certify.division import LEAST_TESTED
from kdtheory.certify.meaning import in_words, known, least_by_a_witness, shorter
from kdtheory.certify.plan import WitnessPlan
from kdtheory.certify.ship import Shipped
from kdtheory.doors import door
from kdtheory.shown import bars

__all__ = ["OWN_PARTS", "Certificates"]

OWN_PARTS = "own"
"""The word for a version where the caller gave the parts of δ."""

_SCHEMA = 4
"""2: `parts`, `share` of each bound (0 where it has none), lines that are shown without a share.
3: `shipped`, networks to ship where they were asked for, and `of` what a bound is.
4: `statement` is a sentence of counts and percentages, `ahead` what would make its limit smaller."""

_WITNESS = "`certify(…, witness='holdout')`"
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
    def _all(self) -> dict[str, Bound]:
        """The bounds on the teacher and those on the networks to ship."""
        return {**self.lines, **{name: one.bound for name, one in self.shipped.items()}}

    @property
    def shares(self) -> dict[str, float]:
        """How δ is split over the lines that take a share of it."""
        return {name: bound.delta for name, bound in self._all.items() if name not in self.unshared}

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
        """No certificate of the teacher says anything."""
        return self.best is None or self.best.vacuous

    @property
    def statement(self) -> str:
        """The best limit in a sentence, with percentages, at the δ of all, for it was chosen afterwards."""
        shipped = self._to_ship
        if self.best is None or self.best_line is None:
            why = "every number rests on something that is not so" if self.lines else "no line was asked for"
            of = " of the teacher" if shipped or not self.lines else ""
            return f"Nothing is certified{of}: {why}{self._alone}"
        if self.vacuous:
            least = f"the least certificate ({self.best_line}) is {percent(self.best.value)}"
            return f"Nothing is known of its error: {least}{self._alone}"
        said = known(self.best_line, self.best, self.delta)
        also = f", and that of {shipped[0]}, another network to ship, at most {shipped[1]}" if shipped else ""
        return f"{said[0].upper()}{said[1:]}{also}"

    @property
    def _to_ship(self) -> tuple[str, str] | None:
        """The network to ship whose certificate is the least, and its limit; None where none says a thing."""
        if self.best_shipped is None or (least := self.shipped[self.best_shipped].bound).vacuous:
            return None
        return self.best_shipped, percent(least.value)

    @property
    def _alone(self) -> str:
        """The same as a clause of its own, where nothing is said of the teacher."""
        if self._to_ship is None:
            return ""
        name, limit = self._to_ship
        sure = confidence(self.delta)
        return f"; with {sure} confidence {name}, another network to ship, errs on at most {limit}"

    @property
    def ahead(self) -> tuple[str, ...]:
        """The means to make the limit smaller, each with the number that it would give, computed."""
        if self.best_line is not None and not self.vacuous:
            told = shorter(self.best_line, self.lines[self.best_line])
        else:
            sizes = {name: bound.needed for name, bound in self.lines.items() if bound.certificate}
            told = tuple(
                f"{name} would say something from {size:,} points on" for name, size in sizes.items() if size
            )
        return (*told, *self._by_a_witness)

    @property
    def _by_a_witness(self) -> tuple[str, ...]:
        """The limit that a witness could give, where there are the points for one and none was asked for."""
        if "train" not in self.points or any(name.startswith("witness") for name in self.lines):
            return ()
        points, share = {"unlabelled": self.points["train"], **self.points}, WitnessPlan().held_out
        if round(share * points["train"]) < LEAST_TESTED:  # `certify` would refuse one
            return ()
        least = percent(least_by_a_witness(points, delta=self.delta, held_out=share))
        told = (
            f"a witness ({_WITNESS}) gives {least} at best, where it errs on none of the labels kept from it"
        )
        if "unlabelled" in self.points:
            return (f"{told} and differs nowhere",)
        return (f"{told} and differs at none of {points['unlabelled']:,} unlabelled points, which it needs",)

    @property
    def answer(self) -> Answer:
        """The sentence, the lines by worth and in words, what would make the limit smaller, and the rest."""
        rows = self._all
        by_worth = sorted(rows, key=lambda name: _worth(rows[name]))
        shares = tuple(f"{name}: {share:.4g}" for name, share in self.shares.items())
        told = [] if self.best is None else [self.best]
        if self.best_shipped is not None and self._to_ship is not None:
            told.append(self.shipped[self.best_shipped].bound)
        met = dict.fromkeys(s for bound in told for s, holds in bound.assumptions.items() if holds)
        return Answer(
            self.statement,
            ("at most", "line", "what is counted"),
            tuple((percent(rows[name].value), name, in_words(name, rows[name])) for name in by_worth),
            {AHEAD: self.ahead, RESTS: (*met, _ONE_CALL)},
            {
                "Terms": tuple(
                    f"{name} ({bound.name}): {_terms(bound)}" for name, bound in self._all.items()
                ),
                f"Shares of δ = {self.delta:g}, fixed before anything was computed": shares,
                "Left out": tuple(f"{name}: {reason}" for name, reason in self.skipped.items()),
            },
        )

    def __str__(self) -> str:
        return self.answer.text()

    def to_frame(self) -> pd.DataFrame:
        """One row for each term of each bound, and one, `total`, for its value."""
        return terms_frame(self.lines)

    def plot(self) -> Any:
        """One bar for each line, of its terms; the axes."""
        terms = {name: bound.terms for name, bound in self.lines.items()}
        return bars(terms, label="the teacher's error is at most")

    def _repr_html_(self) -> str:
        return self.answer.html()

    def to_json(self) -> dict[str, Any]:
        """The result and its assumptions in plain types: what `json.dumps` takes, without NaN or infinity."""
        return {
            "schema": _SCHEMA,
            "delta": self.delta,
            "best": self.best_line,
            "vacuous": self.vacuous,
            "statement": self.statement,
            "ahead": list(self.ahead),
            "points": dict(self.points),
            "parts": self.parts,
            "bounds": [_plain(name, bound, self.shares.get(name, 0.0)) for name, bound in self.lines.items()],
            "shipped": [
                _plain(name, one.bound, self.shares.get(name, 0.0)) for name, one in self.shipped.items()
            ],
            "skipped": dict(self.skipped),
        }


def _worth(bound: Bound) -> tuple[int, float]:
    """Certificates that say something first, then heuristics, then what says nothing; each by its value."""
    return (2 if bound.vacuous else 0 if bound.certificate else 1), bound.value


def _terms(bound: Bound) -> str:
    return " + ".join(f"{term} {value:.4g}" for term, value in bound.terms.items() if value)


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
