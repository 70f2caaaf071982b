"""Evidence as tables of named numbers; a joint claim's parts are tables within the table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from kdtheory.claims.evidence import Evidence, Joint
from kdtheory.claims.evidence.record import KINDS
from kdtheory.plain import plain
from kdtheory.report.numerals import numeral, reworded, rows

__all__ = ["Exhibit", "Setting", "exhibit", "kinds", "settings"]

_APART = {"notes", "traceback", "p_bounded"}
_LABELS = {
    "lhs_mean": "mean of the left side",
    "rhs_mean": "mean of the right side",
    "mean_difference": "mean difference, left − right",
    "worst_error": "worst error, relative to the effect",
    "worst_excess": "worst excess, left − right",
    "tightness": "tightness: largest left / right",
    "tolerance": "tolerance, relative to the effect",
    "trivial": "trivial level",
    "share_trivial": "share of trials at the trivial level",
    "must_reach": "share of the limit to be reached",
    "limit": "limit of the ratio",
    "ratio": "largest ratio found",
    "attempts": "attempts to break it",
    "expected": "expected slope",
    "one_sided": "at least that steep is enough",
    "tied": "share of trials that are one value",
    "bounded": "bounds of a difference",
    "delta": "δ, violations allowed",
    "error": "what was raised",
}


Setting = tuple[str, str, list[str | None]]
"""A keyword, its value in the premise, and in each control that overrides it."""


@dataclass(frozen=True)
class Exhibit:
    """One piece of evidence, ready to be shown."""

    kind: str
    key_figure: str
    numbers: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    parts: dict[str, Exhibit]
    traceback: str


def exhibit(evidence: Evidence, /) -> Exhibit:
    """The numbers of the evidence, named and formatted."""
    told = {one.name: plain(getattr(evidence, one.name)) for one in fields(evidence) if one.name != "parts"}
    apart = _APART | {"share_trivial"} if told.get("trivial", 0) is None else _APART
    numbers = {_LABELS.get(name, name): value for name, value in told.items() if name not in apart}
    if "margin" in told and "effect" in told:
        numbers["margin, relative to the effect"] = numbers.pop("margin")
    if evidence.sampled:
        numbers["p-value if the claim were false"] = evidence.p_in_favour
        numbers["p-value if the claim were true"] = evidence.p_against
    return Exhibit(
        kind=evidence.kind,
        key_figure=reworded(evidence.key_figure),
        numbers=rows(numbers),
        notes=rows(evidence.notes),
        parts={name: exhibit(part) for name, part in _parts(evidence).items()},
        traceback=told.get("traceback", ""),
    )


def _parts(evidence: Evidence) -> Mapping[str, Evidence]:
    return evidence.parts if isinstance(evidence, Joint) else {}


def kinds() -> dict[str, str]:
    """Each kind of evidence and what it is, for the reader's key."""
    glosses = {kind: (inspect.getdoc(made) or "").split("\n\n")[0] for kind, made in KINDS.items()}
    return {kind: gloss.replace("`", "") for kind, gloss in glosses.items()}


def settings(premise: Mapping[str, str], controls: Sequence[Mapping[str, str]], /) -> list[Setting]:
    """Each keyword of the check with its value in the premise and, where it differs, in each control."""
    return [
        (name, numeral(value), [numeral(o[name]) if name in o else None for o in controls])
        for name, value in premise.items()
    ]
