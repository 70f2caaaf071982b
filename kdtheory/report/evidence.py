"""Evidence as tables of named numbers; a joint claim's parts are tables within the table."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from kdtheory.claims.evidence import from_record
from kdtheory.claims.evidence.record import KINDS
from kdtheory.records import Record
from kdtheory.report.numerals import numeral, rows

__all__ = ["Exhibit", "Setting", "exhibit", "kinds", "sampled", "settings"]

_APART = {"kind", "notes", "key_figure", "parts", "p_holds", "p_fails", "traceback", "p_bounded"}
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


def exhibit(record: Record, /) -> Exhibit:
    """The evidence of a record, its numbers named and formatted.

    Raises:
        ValueError: the record is damaged.
    """
    apart = _APART | {"share_trivial"} if record.get("trivial", 0) is None else _APART
    apart = apart | {"bounded"} if record.get("bounded", 0) is None else apart
    numbers = {_LABELS.get(name, name): value for name, value in record.items() if name not in apart}
    if "margin" in record and "effect" in record:
        numbers["margin, relative to the effect"] = numbers.pop("margin")
    if "parts" not in record and sampled(record):
        numbers["p-value if the claim were false"] = record["p_holds"]
        numbers["p-value if the claim were true"] = record["p_fails"]
    return Exhibit(
        kind=record["kind"],
        key_figure=record["key_figure"],
        numbers=rows(numbers),
        notes=rows(record["notes"]),
        parts={name: exhibit(part) for name, part in record.get("parts", {}).items()},
        traceback=record.get("traceback", ""),
    )


def sampled(record: Record, /) -> bool:
    """Whether chance decides the evidence, so that it shares the error rate of the ledger."""
    return from_record(record).statistical


def kinds() -> dict[str, str]:
    """Each kind of evidence and what it is, for the reader's key."""
    glosses = {kind: (inspect.getdoc(made) or "").split("\n\n")[0] for kind, made in KINDS.items()}
    return {kind: gloss.replace("`", "") for kind, gloss in glosses.items()}


def settings(premise: dict[str, Any], controls: list[dict[str, Any]], /) -> list[Setting]:
    """Each keyword of the check with its value in the premise and, where it differs, in each control."""
    return [
        (name, numeral(value), [numeral(o[name]) if name in o else None for o in controls])
        for name, value in premise.items()
    ]
