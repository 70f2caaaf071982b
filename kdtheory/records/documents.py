"""A ledger as a document, and back: no claim is imported."""

from __future__ import annotations

from pathlib import Path

from kdtheory.claims.finding import Finding, Ledger
from kdtheory.doors import gate
from kdtheory.files import SCHEMA, Record, read_json
from kdtheory.plain import plain, plain_fields, restored

__all__ = ["as_document", "ledger_record", "read_ledger"]


@gate
def as_document(ledger: Ledger, /) -> Record:
    """The ledger as `kdtheory verify --json` prints it."""
    document = ledger_record(ledger)
    del document["decisions"]
    document["findings"] = [_short(row) for row in document["findings"]]
    return document


def _short(row: Record) -> Record:
    kept = (
        "name", "chapter", "statement", "source", "expected", "reading", "verdict", "as_expected", "control",
        "controls", "parts", "evidence", "mutants", "power", "loose", "tuned_on", "seconds",
    )  # fmt: skip
    score, trial = row["mutants"], ("because", "verdict", "as_expected")
    return {
        **{key: row[key] for key in kept},
        "controls": [{key: one[key] for key in trial} for one in row["controls"]],
        "mutants": score
        and {"killed": score["killed"], "total": score["total"], "unsure": len(score["unsure"])},
    }


@gate
def ledger_record(ledger: Ledger, /) -> Record:
    """The ledger as its file holds it: all fields, and what follows from them."""
    return {"schema": SCHEMA, **plain_fields(ledger), "findings": [_finding_record(one) for one in ledger]}


def _finding_record(one: Finding) -> Record:
    """All fields, and what follows from them."""
    follows = {
        name: plain(getattr(one, name)) for name in ("chapter", "as_expected", "control", "would_notice")
    }
    follows["key_figure"] = one.evidence.key_figure
    follows["parts"] = {
        name: {**plain_fields(part), "broken_by": part.broken_by} for name, part in one.parts.items()
    }
    if (score := one.mutants) is not None:
        follows["mutants"] = {"killed": score.killed, "total": score.total, **plain_fields(score)}
    return {**plain_fields(one), **follows}


@gate
def read_ledger(run: Path, /) -> Ledger:
    """The ledger of an ended run.

    Raises:
        ValueError: the run has not ended, is of another schema, or its ledger is damaged.
    """
    place = run / "ledger.json"
    if not place.is_file():
        raise ValueError(f"{run} holds no ledger.json; give the directory of a run that has ended")
    document = read_json(place)
    if document.get("schema") != SCHEMA or not document.get("findings"):
        raise ValueError(
            f"{place} is no ledger of schema {SCHEMA} with findings; verify again with this version"
        )
    ledger: Ledger = restored(Ledger, document, f"{place}: ledger")
    for one in ledger.findings:
        if one.section.strip("0123456789."):
            raise ValueError(
                f"{place}: section of {one.name} is {one.section!r}, and must be numbers between dots; it is "
                "damaged, or was edited"
            )
    return ledger
