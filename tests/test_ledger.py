"""The ledger: the same for any number of jobs, judged as one family, with a telling exit code."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kdtheory.claims import REGISTRY, Plan, Verdict
from kdtheory.claims.evidence import Coverage, Failure, Identity, Joint, OutOfScope, WorstRatio
from kdtheory.claims.examined import Examined
from kdtheory.claims.finding import Ledger, Outcome, Part, Score
from kdtheory.claims.power import Power
from kdtheory.claims.told import Tried
from kdtheory.cli.ledger import _summary
from kdtheory.ledger import collate, exit_code, verify
from kdtheory.records import RunDirectory, as_document, read_ledger

TRUE, FALSE = Identity.of([1.0], [1.0], tolerance=1e-9), Identity.of([2.0], [1.0], tolerance=1e-9)
CHEAP = [claim for claim in REGISTRY.values() if claim.chapter == 1][:3]


def record(
    name: str, premise: Any, control: Any, mutants: Any = None, expected: str = "SUPPORTED"
) -> Examined:
    some = control if isinstance(control, list) else [control]
    return Examined(
        name=name, section="1.1", topic="t", statement="s", formula="x", source="k", place="",
        assumes=(), how="", calls=(),
        reading="", loose="", tuned_on=(), power=None, expected=Verdict[expected], premise={}, seconds=0.1,
        brings=Verdict.SUPPORTED if expected == "REFUTED" else Verdict.REFUTED,
        evidence=premise, mutants=mutants,
        controls=tuple(Tried(because=f"b{n}", overrides={}, evidence=one) for n, one in enumerate(some)),
    )  # fmt: skip


def only(*records: Examined) -> Ledger:
    return collate(records, Plan(), alpha=0.05)


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
    assert ledger[0].verdict.name == verdict
    assert ledger["x"].as_expected is (code == 0)
    assert exit_code(ledger) == code


def test_a_definite_surprise_outranks_what_could_not_be_checked() -> None:
    ledger = only(record("x", FALSE, FALSE), record("y", Failure(error="e"), FALSE))
    assert exit_code(ledger) == 1


def test_a_mutant_that_survives_or_crashes_is_not_killed() -> None:
    mutants = {"noticed": FALSE, "unnoticed": TRUE, "crashed": Failure(error="e")}
    ledger = only(record("x", TRUE, FALSE, mutants))
    assert ledger[0].mutants == Score(mutants, unsure=(), survivors=("unnoticed", "crashed"))
    assert (ledger[0].mutants.killed, ledger[0].mutants.total) == (1, 3)
    assert exit_code(ledger) == 1
    assert _summary(ledger)[-1] == "mutants that were not noticed: unnoticed, crashed (x)"
    assert "all as expected, but for mutants that were not noticed: unnoticed" in str(ledger)
    whole = only(record("x", TRUE, FALSE, {"noticed": FALSE}))
    assert (exit_code(whole), _summary(whole)[-1]) == (0, "all as expected")


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
    assert (alone.decisions, alone[0].verdict.name) == (1, "SUPPORTED")
    assert (only(*crowd).decisions, only(*crowd)[0].verdict.name) == (4, "INCONCLUSIVE")


def test_mutants_share_alpha_as_their_premise_does_and_die_refuted_or_only_unsure() -> None:
    premise = Coverage(draws=200, violations=0, delta=0.05)
    other = Coverage(draws=200, violations=10, delta=0.05)
    off = Coverage(draws=200, violations=19, delta=0.05)  # p = 0.006: enough alone, not among 21
    mutants = {"refuted": Coverage(draws=200, violations=60, delta=0.05), "unsure": off}
    alone, crowd = only(record("x", premise, FALSE, mutants)), [record("y", other, other)] * 10
    assert alone[0].mutants.unsure == ()
    among = only(record("x", premise, FALSE, mutants), *crowd)
    assert among.decisions == 21
    assert among[0].mutants == Score(mutants, unsure=("unsure",), survivors=())
    assert [among[0].mutants.fate(name) for name in mutants] == ["noticed", "only unsure"]
    assert as_document(among)["findings"][0]["mutants"] == {"killed": 2, "total": 2, "unsure": 1}


def test_every_control_must_come_out_as_declared() -> None:
    (row,) = only(record("x", TRUE, [FALSE, FALSE]))
    assert (row.verdict.name, row.control) == ("SUPPORTED", Outcome(Verdict.REFUTED, True))
    (row,) = only(record("x", TRUE, [FALSE, TRUE]))
    assert (row.verdict.name, row.control) == ("BLIND", Outcome(Verdict.SUPPORTED, False))
    assert [(one.because, one.verdict.name, one.as_expected) for one in row.controls] == [
        ("b0", "REFUTED", True),
        ("b1", "SUPPORTED", False),
    ]
    (row,) = only(record("x", FALSE, [TRUE, FALSE], expected="REFUTED"))
    assert row.verdict.name == "BLIND"
    (row,) = only(record("x", TRUE, [FALSE, Failure(error="e")]))
    assert row.verdict.name == "ERROR"


def test_the_ledger_says_what_breaks_each_part() -> None:
    loose = WorstRatio(attempts=1, ratio=0.5, must_reach=0.9)
    premise = Joint(parts={"a": TRUE, "b": TRUE, "c": TRUE, "d": TRUE})
    controls = [
        Joint(parts={"a": FALSE, "b": TRUE, "c": TRUE, "d": loose}),
        Joint(parts={"a": FALSE, "b": FALSE}),
    ]
    mutants = {"m": Joint(parts={"a": TRUE, "b": TRUE, "c": FALSE, "d": loose}), "error": Failure(error="e")}
    (row,) = only(record("x", premise, controls, mutants))
    own = Verdict.SUPPORTED
    assert row.parts == {
        "a": Part(own, ("b0", "b1"), (), ()),
        "b": Part(own, ("b1",), (), ()),
        "c": Part(own, (), ("m",), ()),
        "d": Part(own, (), (), ("b0", "m")),
    }
    assert {name: part.broken_by for name, part in row.parts.items()} == {
        "a": "the control b0, b1",
        "b": "the control b1",
        "c": "the mutant m",
        "d": "nothing; left unsure by b0, m",
    }
    (row,) = only(record("x", FALSE, TRUE, expected="REFUTED"))
    assert row.parts == {"": Part(Verdict.REFUTED, ("b0",), None, ())}
    (row,) = only(record("x", premise, Joint(parts={"a": FALSE})))
    assert row.parts["b"].broken_by == "no control; mutants were not run"


def test_a_ledger_is_a_table_of_named_columns() -> None:
    ledger = only(record("x", TRUE, FALSE, {"m": FALSE}), record("y", TRUE, TRUE))
    frame = ledger.to_frame()
    assert frame.index.tolist() == [one.name for one in ledger] == ["x", "y"]
    assert frame.verdict.tolist() == ["SUPPORTED", "BLIND"]
    assert (frame.mutants_noticed["x"], frame.control_verdict["y"]) == (1, "SUPPORTED")
    assert ("BLIND" in ledger._repr_html_(), len(ledger)) == (True, 2)
    assert [one.name for one in ledger.unexpected] == ["y"]
    assert ledger._repr_html_().startswith("<p>otherwise: y</p>")
    assert str(ledger) == f"otherwise: y\n{frame}"
    assert repr(frame).splitlines()[0].split()[:2] == ["verdict", "as_expected"]
    assert max(map(len, repr(frame).splitlines())) <= 80
    pd.testing.assert_frame_equal(ledger[0].to_frame(), frame.iloc[:1], check_dtype=False)
    assert "x: SUPPORTED, expected" not in ledger[0]._repr_html_()
    counts = {patch.get_width() for patch in ledger.plot().patches}
    assert counts == {0, 1} or counts == {1}
    with pytest.raises(AttributeError):
        ledger[0].verdict = Verdict.REFUTED  # type: ignore[misc]


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    joint = Joint(parts={"a": Coverage(draws=200, violations=0, delta=0.05)}, notes={"n": np.float64(3)})
    power = Power("f", True, {"less": {0.01: TRUE, 0.25: FALSE}})
    written = only(
        replace(
            record("x", joint, FALSE, {"m": FALSE, "n": TRUE}), power=power, assumes=("a.",), tuned_on=(1, 2)
        ),
        record("y", Failure(error="e", traceback="t"), [OutOfScope(assumption="a", because="b"), TRUE]),
    )
    with RunDirectory(tmp_path, {}) as run:
        run.close(written)
    assert read_ledger(tmp_path) == written


def test_readings_are_counted_apart_from_errata() -> None:
    misprint, reading = (record(name, FALSE, TRUE, expected="REFUTED") for name in "xy")
    read = replace(reading, reading="'all' is read as 'any'")
    ledger = only(misprint, read, record("z", TRUE, FALSE))
    lines = _summary(ledger)
    assert "1 of the refuted as expected are errata" in lines
    assert "1 REFUTED as literally read; the charitable reading is the control" in lines
    assert [row["reading"] for row in as_document(ledger)["findings"]] == ["", "'all' is read as 'any'", ""]
    assert not any("literally" in line for line in _summary(only(misprint)))


def without_seconds(ledger: Ledger) -> Ledger:
    return replace(ledger, findings=tuple(replace(one, seconds=0.0) for one in ledger))


def test_findings_are_the_same_for_any_number_of_jobs() -> None:
    one, two = (verify(CHEAP, Plan(seed=3), jobs=jobs) for jobs in (1, 2))
    assert len(one) == len(CHEAP) == 3
    assert without_seconds(one) == without_seconds(two)


def test_a_resumed_run_examines_only_what_is_missing(tmp_path: Path) -> None:
    whole = verify(CHEAP, Plan(), jobs=1)
    seen: list[tuple[int, int]] = []
    with RunDirectory(tmp_path, {}) as directory:
        verify(CHEAP[:2], Plan(), directory=directory)
    with RunDirectory(tmp_path, {}, resume=True) as directory:
        resumed = verify(CHEAP, Plan(), directory=directory, progress=lambda *done: seen.append(done))
    assert seen == [(2, 3), (3, 3)]
    assert without_seconds(resumed) == without_seconds(whole)


@pytest.mark.parametrize(
    ("claims", "more", "message"),
    [
        (5, {}, "claims = 5 must be claims"),
        ([5], {}, "claims holds 5"),
        ("no_such_claim", {}, "is not known"),
        ([], {}, "no claim to verify"),
        (CHEAP[0], {"jobs": "2"}, "jobs = '2' must be a whole number"),
        (CHEAP[0], {"jobs": 0}, "jobs = 0 runs nothing"),
    ],
)
def test_wrong_kinds_of_arguments_are_refused(claims: object, more: dict, message: str) -> None:
    bare = inspect.unwrap(verify)  # without the check of types that tests add
    with pytest.raises(ValueError, match=message):
        bare(claims, **more)
    with pytest.raises(ValueError, match="plan = 0 must be a Plan"):
        bare(CHEAP[0], 0)


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
    assert one.decisions <= 500  # what the tests of single claims allow for
