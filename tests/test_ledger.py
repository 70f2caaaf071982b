"""The ledger: the same for any number of jobs, judged as one family, with a telling exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdtheory.claims import REGISTRY, Plan
from kdtheory.claims.evidence import Coverage, Failure, Identity, Joint, OutOfScope, WorstRatio, to_record
from kdtheory.claims.finding import broken_by
from kdtheory.cli.ledger import _summary
from kdtheory.ledger import as_document, collate, exit_code, verify
from kdtheory.records import RunDirectory

TRUE, FALSE = Identity.of([1.0], [1.0], tolerance=1e-9), Identity.of([2.0], [1.0], tolerance=1e-9)
CHEAP = [claim for claim in REGISTRY.values() if claim.chapter == 1][:3]


def record(name: str, premise: Any, control: Any, mutants: Any = None, expected: str = "SUPPORTED") -> dict:
    return {
        "name": name, "section": "1.1", "chapter": 1, "statement": "s", "formula": "x", "source": "k",
        "place": "", "assumes": [], "how": "", "reading": "", "loose": "", "tuned_on": [], "power": None,
        "expected": expected, "premise": {}, "seconds": 0.1, "evidence": to_record(premise),
        "brings": "SUPPORTED" if expected == "REFUTED" else "REFUTED",
        "controls": [{"because": f"b{n}", "overrides": {}, "evidence": to_record(evidence)}
                     for n, evidence in enumerate(control if isinstance(control, list) else [control])],
        "mutants": mutants and {name: to_record(evidence) for name, evidence in mutants.items()},
    }  # fmt: skip


def only(*records: dict) -> dict:
    return collate(list(records), Plan(), alpha=0.05)


@pytest.mark.parametrize(
    ("premise", "control", "expected", "verdict", "code"),
    [
        (TRUE, FALSE, "SUPPORTED", "SUPPORTED", 0),
        (FALSE, TRUE, "REFUTED", "REFUTED", 0),
        (FALSE, FALSE, "SUPPORTED", "REFUTED", 1),
        (TRUE, TRUE, "SUPPORTED", "BLIND", 1),
        (FALSE, FALSE, "REFUTED", "BLIND", 1),
        (Coverage(draws=50, violations=3, delta=0.05), FALSE, "SUPPORTED", "INCONCLUSIVE", 1),
        (Failure(error="e"), FALSE, "SUPPORTED", "ERROR", 2),
        (TRUE, Failure(error="e"), "SUPPORTED", "ERROR", 2),
        (OutOfScope(assumption="a", because="b"), FALSE, "SUPPORTED", "OUT_OF_SCOPE", 2),
    ],
)
def test_verdicts_and_exit_codes(premise, control, expected: str, verdict: str, code: int) -> None:
    ledger = only(record("x", premise, control, expected=expected))
    assert ledger["findings"][0]["verdict"] == verdict
    assert ledger["findings"][0]["as_expected"] is (code == 0)
    assert exit_code(ledger) == code


def test_a_definite_surprise_outranks_what_could_not_be_checked() -> None:
    ledger = only(record("x", FALSE, FALSE), record("y", Failure(error="e"), FALSE))
    assert exit_code(ledger) == 1


def test_a_mutant_that_survives_or_crashes_is_not_killed() -> None:
    mutants = {"noticed": FALSE, "unnoticed": TRUE, "crashed": Failure(error="e")}
    ledger = only(record("x", TRUE, FALSE, mutants))
    assert ledger["findings"][0]["mutants"] == {
        "killed": 1,
        "total": 3,
        "unsure": [],
        "survivors": ["unnoticed", "crashed"],
    }
    assert exit_code(ledger) == 1
    assert exit_code(only(record("x", TRUE, FALSE, {"noticed": FALSE}))) == 0


def test_the_document_has_the_keys_of_its_schema() -> None:
    document = as_document(only(record("x", TRUE, FALSE, {"m": FALSE}), record("y", TRUE, FALSE)))
    assert list(document) == ["schema", "version", "seed", "tier", "alpha", "findings"]
    assert list(document["findings"][0]) == [
        "name", "chapter", "statement", "source", "expected", "reading", "verdict", "as_expected", "control",
        "controls", "parts", "evidence", "mutants", "power", "loose", "tuned_on", "seconds",
    ]  # fmt: skip
    assert document["findings"][0]["control"] == {"verdict": "REFUTED", "as_expected": True}
    assert document["findings"][0]["mutants"] == {"killed": 1, "total": 1, "unsure": 0}
    assert document["findings"][1]["mutants"] is None
    assert document["findings"][0]["evidence"]["kind"] == "identity"
    json.dumps(document, allow_nan=False)


def test_holm_counts_claims_and_controls() -> None:
    sampled = Coverage(draws=100, violations=1, delta=0.05)  # p = 0.037: enough alone, not among four
    control = Coverage(draws=100, violations=90, delta=0.05)
    alone, crowd = only(record("x", sampled, FALSE)), [record(n, sampled, control) for n in "xy"]
    assert (alone["decisions"], alone["findings"][0]["verdict"]) == (1, "SUPPORTED")
    assert (only(*crowd)["decisions"], only(*crowd)["findings"][0]["verdict"]) == (4, "INCONCLUSIVE")


def test_mutants_share_alpha_as_their_premise_does_and_die_refuted_or_only_unsure() -> None:
    premise = Coverage(draws=200, violations=0, delta=0.05)
    other = Coverage(draws=200, violations=10, delta=0.05)
    off = Coverage(draws=200, violations=19, delta=0.05)  # p = 0.006: enough alone, not among 21
    mutants = {"refuted": Coverage(draws=200, violations=60, delta=0.05), "unsure": off}
    alone, crowd = only(record("x", premise, FALSE, mutants)), [record("y", other, other)] * 10
    assert alone["findings"][0]["mutants"]["unsure"] == []
    among = only(record("x", premise, FALSE, mutants), *crowd)
    assert among["decisions"] == 21
    assert among["findings"][0]["mutants"] == {"killed": 2, "total": 2, "unsure": ["unsure"], "survivors": []}
    assert as_document(among)["findings"][0]["mutants"] == {"killed": 2, "total": 2, "unsure": 1}


def test_every_control_must_come_out_as_declared() -> None:
    (row,) = only(record("x", TRUE, [FALSE, FALSE]))["findings"]
    assert (row["verdict"], row["control"]) == ("SUPPORTED", {"verdict": "REFUTED", "as_expected": True})
    (row,) = only(record("x", TRUE, [FALSE, TRUE]))["findings"]
    assert (row["verdict"], row["control"]) == ("BLIND", {"verdict": "SUPPORTED", "as_expected": False})
    assert row["controls"] == [
        {"because": "b0", "verdict": "REFUTED", "as_expected": True},
        {"because": "b1", "verdict": "SUPPORTED", "as_expected": False},
    ]
    (row,) = only(record("x", FALSE, [TRUE, FALSE], expected="REFUTED"))["findings"]
    assert row["verdict"] == "BLIND"
    (row,) = only(record("x", TRUE, [FALSE, Failure(error="e")]))["findings"]
    assert row["verdict"] == "ERROR"


def test_the_record_says_what_breaks_each_part() -> None:
    loose = WorstRatio(attempts=1, ratio=0.5, must_reach=0.9)
    premise = Joint(parts={"a": TRUE, "b": TRUE, "c": TRUE, "d": TRUE})
    controls = [
        Joint(parts={"a": FALSE, "b": TRUE, "c": TRUE, "d": loose}),
        Joint(parts={"a": FALSE, "b": FALSE}),
    ]
    mutants = {"m": Joint(parts={"a": TRUE, "b": TRUE, "c": FALSE, "d": loose}), "error": Failure(error="e")}
    (row,) = only(record("x", premise, controls, mutants))["findings"]
    own = {"verdict": "SUPPORTED"}
    assert row["parts"] == {
        "a": own | {"controls": ["b0", "b1"], "mutants": [], "unsure": []},
        "b": own | {"controls": ["b1"], "mutants": [], "unsure": []},
        "c": own | {"controls": [], "mutants": ["m"], "unsure": []},
        "d": own | {"controls": [], "mutants": [], "unsure": ["b0", "m"]},
    }
    assert broken_by(row) == {
        "a": "the control b0, b1",
        "b": "the control b1",
        "c": "the mutant m",
        "d": "nothing; left unsure by b0, m",
    }
    (row,) = only(record("x", FALSE, TRUE, expected="REFUTED"))["findings"]
    assert row["parts"] == {"": {"verdict": "REFUTED", "controls": ["b0"], "mutants": None, "unsure": []}}
    (row,) = only(record("x", premise, Joint(parts={"a": FALSE})))["findings"]
    assert broken_by(row)["b"] == "no control; mutants were not run"


def test_readings_are_counted_apart_from_misprints() -> None:
    misprint, reading = (record(name, FALSE, TRUE, expected="REFUTED") for name in "xy")
    ledger = only(misprint, reading | {"reading": "'all' is read as 'any'"}, record("z", TRUE, FALSE))
    lines = _summary(ledger)
    assert "1 of the refuted as expected are misprints" in lines
    assert "1 REFUTED as literally read; the charitable reading is the control" in lines
    assert [row["reading"] for row in as_document(ledger)["findings"]] == ["", "'all' is read as 'any'", ""]
    assert not any("literally" in line for line in _summary(only(misprint)))


def without_seconds(ledger: dict) -> dict:
    return {
        **ledger,
        "findings": [{k: v for k, v in row.items() if k != "seconds"} for row in ledger["findings"]],
    }


def test_findings_are_the_same_for_any_number_of_jobs() -> None:
    one, two = (verify(CHEAP, Plan(seed=3), jobs=jobs) for jobs in (1, 2))
    assert len(one["findings"]) == len(CHEAP) == 3
    assert without_seconds(one) == without_seconds(two)


def test_a_resumed_run_examines_only_what_is_missing(tmp_path: Path) -> None:
    whole = verify(CHEAP, Plan(), jobs=1)
    seen: list[tuple[int, int]] = []
    with RunDirectory(tmp_path, {}) as directory:
        verify(CHEAP[:2], Plan(), directory=directory)
    with RunDirectory(tmp_path, {}, resume=True) as directory:
        resumed = verify(CHEAP, Plan(), directory=directory, progress=lambda *done: seen.append(done))
    assert seen == [(3, 3)]
    assert without_seconds(resumed) == without_seconds(whole)


def test_an_empty_ledger_and_a_bad_alpha_are_refused() -> None:
    with pytest.raises(ValueError, match="no claim"):
        verify([], Plan())
    with pytest.raises(ValueError, match="alpha = 0"):
        verify(CHEAP, Plan(), alpha=0.0)


@pytest.mark.slow
def test_the_whole_ledger_is_the_same_for_any_number_of_jobs_and_all_as_expected() -> None:
    one, two = (verify(list(REGISTRY.values()), Plan(), jobs=jobs) for jobs in (1, 2))
    assert without_seconds(one) == without_seconds(two)
    assert exit_code(one) == 0
    assert one["decisions"] <= 500  # what the tests of single claims allow for
