"""What the ledger says of one claim: its verdict, its controls, what breaks each part, what is noticed.

Made of plain JSON types, of the claim's record and the verdicts on its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kdtheory.claims.power import noticed, smallest
from kdtheory.claims.verdict import Judgement, Verdict, with_controls

__all__ = ["READ_LITERALLY", "SCHEMA", "broken_by", "finding", "would_notice"]

Record = dict[str, Any]
SCHEMA = 2
"""Of records, of ledgers and of what `verify --json` prints."""
READ_LITERALLY = "REFUTED as literally read; the charitable reading is the control"


def finding(
    record: Record,
    premise: Judgement,
    controls: Sequence[Judgement],
    in_its_place: Callable[[Record], Judgement],
    /,
) -> Record:
    """The row of the ledger on one claim.

    Args:
        record: the record of its examination.
        premise: what the family made of its premise.
        controls: what it made of its controls.
        in_its_place: judges recorded evidence in the place of the premise: of a mutant, or a scaled constant.
    """
    brings = Verdict[record["brings"]]
    verdict = with_controls(premise.verdict, [control.verdict for control in controls], brings=brings)
    named = {control["because"]: judged for control, judged in zip(record["controls"], controls, strict=True)}
    mutants = record["mutants"] and {n: in_its_place(piece) for n, piece in record["mutants"].items()}
    return {
        **{key: record[key] for key in ("name", "section", "chapter", "statement", "source", "expected")},
        "reading": record["reading"],
        "verdict": verdict.name,
        "as_expected": verdict.name == record["expected"],
        "control": _all_controls(controls, brings),
        "controls": [
            {"because": because, "verdict": judged.verdict.name, "as_expected": judged.verdict is brings}
            for because, judged in named.items()
        ],
        "parts": {part: _broken(part, premise, named, mutants) for part in premise.parts},
        "evidence": record["evidence"],
        "mutants": None if mutants is None else _score(mutants, premise.verdict),
        "power": record["power"] and _power(record["power"], premise.verdict, in_its_place),
        "loose": record["loose"],
        "tuned_on": record["tuned_on"],
        "seconds": record["seconds"],
    }


def _all_controls(controls: Sequence[Judgement], brings: Verdict) -> Record:
    """The controls as one: the verdict of the first that came out otherwise than declared, or of them all."""
    verdicts = [control.verdict for control in controls]
    shown = next((verdict for verdict in verdicts if verdict is not brings), brings)
    return {"verdict": shown.name, "as_expected": shown is brings}


def _broken(
    part: str,
    premise: Judgement,
    controls: Mapping[str, Judgement],
    mutants: Mapping[str, Judgement] | None,
) -> Record:
    """A part's verdict, the controls and mutants under which it was decided otherwise, and those under which
    it was only left unsure."""
    own = premise.parts[part]

    def came_out(judged: Mapping[str, Judgement], *verdicts: Verdict) -> list[str]:
        found = {name: one.parts.get(part, own) for name, one in judged.items()}
        return [name for name, verdict in found.items() if verdict is not own and verdict in verdicts]

    decided = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.VACUOUS)
    unsure = [name for some in (controls, mutants or {}) for name in came_out(some, Verdict.INCONCLUSIVE)]
    return {
        "verdict": own.name,
        "controls": came_out(controls, *decided),
        "mutants": None if mutants is None else came_out(mutants, *decided),
        "unsure": unsure,
    }


def _score(mutants: Mapping[str, Judgement], premise: Verdict) -> Record:
    """The mutants that the check noticed, which of them it did not decide against but was only left unsure
    by, and those that it did not notice."""
    verdicts = {name: judged.verdict for name, judged in mutants.items()}
    killed = [name for name, verdict in verdicts.items() if noticed(verdict, premise)]
    return {
        "killed": len(killed),
        "total": len(verdicts),
        "unsure": [name for name in killed if verdicts[name] is Verdict.INCONCLUSIVE],
        "survivors": [name for name in verdicts if name not in killed],
    }


def _power(record: Record, premise: Verdict, in_its_place: Callable[[Record], Judgement]) -> Record:
    """The smallest error that is noticed in each direction, or why there is none."""
    found = {
        way: smallest({float(e): in_its_place(piece).verdict for e, piece in runs.items()}, premise)
        for way, runs in record["tried"].items()
    }
    errors = [
        piece["error"]
        for runs in record["tried"].values()
        for piece in runs.values()
        if piece["kind"] == "error"
    ]
    because = errors[0] if errors and all(error is None for error in found.values()) else ""
    return {"target": record["target"], "declared": record["declared"], "notices": found, "because": because}


def broken_by(row: Record, /) -> dict[str, str]:
    """What broke each part of a claim, in words."""
    return {name: _in_words(part) for name, part in row["parts"].items()}


def _in_words(part: Record) -> str:
    by = {
        "the control": part["controls"],
        "the mutant": part["mutants"] or [],
        "left unsure by": part["unsure"],
    }
    told = [f"{kind} {', '.join(names)}" for kind, names in by.items() if names]
    if not (part["controls"] or part["mutants"]):
        told.insert(0, "nothing" if part["mutants"] is not None else "no control; mutants were not run")
    return "; ".join(told)


def would_notice(row: Record, /) -> str:
    """The smallest errors in the central constant that are noticed, in words: "4% more, 8% less"."""
    power = row["power"]
    if power is None:
        return ""
    if power["because"]:
        return f"not measured: {power['because']}"
    return ", ".join(
        f"not ×{2 if way == 'more' else '½'}" if error is None else f"{error:.0%} {way}"
        for way, error in power["notices"].items()
    )
