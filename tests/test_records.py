"""Records: whole files or none, one run to a directory, and a run that resumes asks the same."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdtheory import records
from kdtheory.claims import REGISTRY, Plan, Verdict, examine
from kdtheory.claims.examined import Examined
from kdtheory.files import latest_run, read_json, write_file, write_json
from kdtheory.ledger import collate
from kdtheory.plain import plain
from kdtheory.records import RunDirectory, code_of

ASKED = {"seed": 0, "tier": "quick", "claims": ["a"]}
CLAIM = REGISTRY["kd_gradient_is_the_closed_form"]
FOUND = replace(Examined.of(CLAIM, examine(CLAIM, Plan(device="cpu")), seconds=0.1), code=code_of(CLAIM))
WHOLE = plain(FOUND)
WRONG = (None, "x", -1, [], {}, [[]])


def test_a_file_is_written_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    write_file(tmp_path / "deep" / "file.txt", b"one")
    write_file(tmp_path / "deep" / "file.txt", b"two")
    assert (tmp_path / "deep" / "file.txt").read_bytes() == b"two"
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_a_write_that_dies_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path / "file.txt", b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "file.txt", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="no JSON object"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path / "missing.json")


def test_two_runs_in_one_directory_are_refused(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path, ASKED),
        pytest.raises(ValueError, match="in use by another run"),
        RunDirectory(tmp_path, ASKED, resume=True),
    ):
        pass
    with RunDirectory(tmp_path, ASKED, resume=True):
        pass


def test_a_directory_with_a_run_needs_resume_and_the_same_question(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        run.save(FOUND)
    with pytest.raises(ValueError, match="add --resume"), RunDirectory(tmp_path, ASKED):
        pass
    with (
        pytest.raises(ValueError, match="seed = 0, not 1"),
        RunDirectory(tmp_path, {**ASKED, "seed": 1}, resume=True),
    ):
        pass
    with (
        pytest.raises(
            ValueError, match="other claims: 'a', which is not asked for; not 'b', which is; ask the s"
        ),
        RunDirectory(tmp_path, {**ASKED, "claims": ["b", "c"]}, resume=True),
    ):
        pass
    with RunDirectory(tmp_path, ASKED, resume=True) as run:
        assert run.finished(list(REGISTRY.values())) == {CLAIM.name: FOUND}
        assert run.outdated == ()


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"thesis\.tex"), RunDirectory(tmp_path, ASKED):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_half_written_neighbours_are_no_records_and_are_swept(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        run.save(FOUND)
    half = [tmp_path / ".run.json.a1_bcdef", tmp_path / "claims" / f".{CLAIM.name}.json.x1y2z3w4"]
    half += [tmp_path / ".references.bib.x1y2z3w4", tmp_path / ".caption.md.x1y2z3w4"]
    others = [tmp_path / "claims" / ".notes.markdown", tmp_path / ".mine"]
    for path in half + others:
        path.write_text("{")
    with RunDirectory(tmp_path, ASKED, resume=True) as run:
        assert list(run.finished([CLAIM])) == [CLAIM.name]
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)


def test_a_record_of_other_code_is_passed_over_and_named(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        run.save(replace(FOUND, code="of other code"))
        assert run.finished([CLAIM]) == {}
        assert run.outdated == (CLAIM.name,)
        run.save(replace(FOUND, controls=()))  # a control has come since
        assert (run.finished([CLAIM]), run.outdated) == ({}, (CLAIM.name,))


def test_a_record_is_believed_for_what_was_found_and_not_for_what_was_claimed(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        run.save(replace(FOUND, statement="All is well.", expected=Verdict.REFUTED, brings=Verdict.SUPPORTED))
        assert run.finished([CLAIM]) == {CLAIM.name: FOUND}
        assert read_json(tmp_path / "claims" / f"{CLAIM.name}.json")["statement"] == CLAIM.statement


def spoilt(value: Any) -> Iterator[Any]:
    """The value with one entry left out or replaced, at any depth, in each way."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {other: value[other] for other in value if other != key}
            yield from ({**value, key: changed} for changed in (*WRONG, *spoilt(inner)))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield value[:place]
            yield from (
                [*value[:place], changed, *value[place + 1 :]] for changed in (*WRONG, *spoilt(inner))
            )


def test_a_damaged_record_is_refused_in_one_sentence_or_can_be_judged(tmp_path: Path) -> None:
    place, refused = tmp_path / "claims" / f"{CLAIM.name}.json", 0
    with RunDirectory(tmp_path, ASKED) as run:
        for record in ({}, *spoilt(WHOLE)):
            write_json(place, record)
            try:
                collate(list(run.finished([CLAIM]).values()), Plan())
            except ValueError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("key", ["name", "statement", "evidence", "controls", "mutants", "seconds", "code"])
def test_a_record_that_lacks_something_is_refused_with_its_name(tmp_path: Path, key: str) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        write_json(tmp_path / "claims" / f"{CLAIM.name}.json", {k: v for k, v in WHOLE.items() if k != key})
        with pytest.raises(ValueError, match=f"{CLAIM.name}.json: record lacks '{key}'"):
            run.finished([CLAIM])


def test_the_record_of_another_claim_is_refused(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, ASKED) as run:
        write_json(tmp_path / "claims" / f"{CLAIM.name}.json", {**WHOLE, "name": "another"})
        with pytest.raises(ValueError, match="is a record of another"):
            run.finished([CLAIM])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"), RunDirectory(tmp_path / "file", ASKED):
        pass
    with pytest.raises(ValueError, match="cannot be written"):
        write_file(tmp_path / "file" / "x", b"")


def test_the_latest_run_is_the_one_that_ended_last(tmp_path: Path) -> None:
    assert latest_run(tmp_path) is None
    for age, name in ((100, "old"), (200, "new")):
        write_json(tmp_path / name / "ledger.json", {})
        os.utime(tmp_path / name / "ledger.json", (age, age))
    assert latest_run(tmp_path) == tmp_path / "new"


def test_records_are_readable_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"σ": 1})
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o644
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"σ": 1}


def test_files_and_records_alone_write() -> None:
    """No other module of the package opens a file for writing."""
    for path in Path(records.__file__).parent.rglob("*.py"):
        if path.name not in ("records.py", "files.py"):
            text = path.read_text()
            for writing in ("open(", "write_text(", "write_bytes(", "to_csv(place", ".unlink(", ".mkdir("):
                lines = [
                    line for line in text.splitlines() if re.search(rf"(?<!\w){re.escape(writing)}", line)
                ]
                assert all("gzip" in line or '"rb"' in line or '"r")' in line for line in lines), (
                    f"{path}: {lines}"
                )
