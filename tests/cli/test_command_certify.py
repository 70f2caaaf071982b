"""`certify` from files: what it says, what it must be told, and how the files were read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import HOLDOUT, PAIR, UNSAID, run

from kdtheory.certify import certify_logits
from kdtheory.datasets import read_labels, read_logits, read_table


@pytest.mark.usefixtures("logits")
def test_certify_says_first_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *HOLDOUT, *PAIR, "--delta", "0.1")
    wrong = int((np.load("t.npy").argmax(-1) != np.load("y.npy")).sum())
    found = certify_logits(
        *map(np.load, ("t.npy", "y.npy")), student_logits=np.load("s.npy"), fixed_in_advance=True,
        teacher_unlabelled=np.load("tu.npy"), student_unlabelled=np.load("su.npy"), delta=0.1,
    )  # fmt: skip
    assert code == 0
    first, *rest = out.splitlines()
    assert first == f"{found.statement}."
    assert first.startswith(
        f"Of 400 points that it had not seen {wrong} were classified wrongly; its error is"
    )
    assert first.endswith("with 90 % confidence.")
    table = [line.split("\t") for line in rest if "\t" in line]
    assert [row[1] for row in table][:2] == ["holdout", "student_holdout"]
    assert {row[1] for row in table} == set(found.lines)
    assert "A heuristic: it is not so that the statement has a proof" in next(
        row[2] for row in table if row[1] == "as_printed"
    )
    assert f"- {found.ahead[0]}" in rest
    assert "one call counts, not the best of several calls, plans or seeds" in out
    assert "no training labels were given" not in out
    every = run(capsys, *HOLDOUT, *PAIR, "--all")[1].splitlines()
    assert "- vc_dimension: no training labels were given" in every
    assert any(line.startswith("- holdout (clopper34_holdout): empirical risk") for line in every)


@pytest.mark.usefixtures("logits")
def test_certify_json_is_the_librarys_document(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = run(capsys, *HOLDOUT, *PAIR, "--json", "--out", "c.json", "--delta", "0.1", "--gamma", "2")
    document = json.loads(out)
    table = {name: read_logits(f"{name}.npy") for name in ("t", "s", "tu", "su")}
    found = certify_logits(
        table["t"],
        read_labels("y.npy"),
        student_logits=table["s"],
        teacher_unlabelled=table["tu"],
        student_unlabelled=table["su"],
        delta=0.1,
        gamma=2.0,
        fixed_in_advance=True,
    )
    assert code == 0
    assert document == found.to_json() == json.loads((folder / "c.json").read_text())


@pytest.mark.usefixtures("logits")
@pytest.mark.parametrize("name", ["c.svg", "c.png", "c.pdf"])
def test_certify_draws_the_table(name: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(capsys, *HOLDOUT, "--figure", name)[0] == 0
    assert (folder / name).stat().st_size > 1000


@pytest.mark.usefixtures("logits")
def test_certify_ends_with_1_where_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *HOLDOUT, "--labels-role", "train")
    assert code == 1
    assert out.startswith("Nothing is certified: ")
    np.save("y.npy", (read_logits("t.npy").argmax(-1).numpy() + 1) % 5)  # wrong at every point
    code, out, _ = run(capsys, *HOLDOUT)
    assert (code, out.startswith("Nothing is known of its error: ")) == (1, True)


@pytest.mark.usefixtures("logits")
def test_certify_must_be_told_what_was_fixed_in_advance(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *UNSAID)
    assert (code, out, "--fixed-in-advance" in err, len(err.strip().splitlines())) == (2, "", True, 1)
    kinds = {}
    for said in ("--fixed-in-advance", "--not-fixed-in-advance"):
        document = json.loads(run(capsys, *UNSAID, *PAIR, said, "--json")[1])
        kinds[said] = {bound["line"]: bound["kind"] for bound in document["bounds"]}
    assert kinds["--fixed-in-advance"]["distillation"] == "certificate"
    assert kinds["--not-fixed-in-advance"]["distillation"] == "heuristic"
    assert kinds["--not-fixed-in-advance"]["student_holdout"] == "certificate"


@pytest.mark.usefixtures("logits")
def test_certify_believes_that_something_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, *HOLDOUT, *PAIR, "--unmet", "one_law", "--json")[1])
    kinds = {bound["line"]: bound["kind"] for bound in document["bounds"]}
    assert (kinds["holdout"], kinds["student_holdout"]) == ("certificate", "heuristic")
    code, out, _ = run(capsys, *HOLDOUT, "--unmet", "independent", "--unmet", "one_law")
    assert (code, out.startswith("Nothing is certified: ")) == (1, True)


@pytest.mark.usefixtures("logits")
def test_certify_counts_no_copy_twice(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for name in ("t", "y"):
        np.save(folder / f"{name}.npy", np.repeat(np.load(folder / f"{name}.npy"), 2, axis=0))
    code, _, err = run(capsys, *HOLDOUT)
    assert (code, "(400 of 800 in all)" in err, "--repeated-rows" in err) == (2, True, True)
    assert run(capsys, *HOLDOUT, "--repeated-rows")[0] == 0


@pytest.mark.usefixtures("logits")
def test_certify_allows_equal_rows_where_told(capsys: pytest.CaptureFixture[str]) -> None:
    same = ["--student-logits", "s.npy", "--unlabelled-teacher", "t.npy", "--unlabelled-student", "s.npy"]
    code, _, err = run(capsys, *HOLDOUT, *same)
    assert (code, "rows 0, 1, 2, 3, 4 of holdout are rows 0, 1, 2, 3, 4 of unlabelled" in err) == (2, True)
    assert run(capsys, *HOLDOUT, *same, "--shared-rows")[0] == 0


@pytest.mark.usefixtures("logits")
def test_certify_says_how_files_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Names that are numbers, as pandas writes them, are no point of the table and no label."""
    np.savetxt("t.csv", np.load("t.npy"), delimiter=",", header="0,1,2,3,4", comments="")
    np.savetxt("y.csv", np.load("y.npy"), fmt="%d", header="0", comments="")
    command = ("certify", "--fixed-in-advance", "--teacher-logits")
    code, out, _ = run(capsys, *command, "t.csv", "--labels", "y.csv")
    plain, bare, _ = run(capsys, *command, "t.npy", "--labels", "y.npy")
    assert code == plain
    assert out.splitlines()[0] == bare.splitlines()[0]
    n = len(np.load("y.npy"))
    assert f"t.csv: {n:,} rows, 5 columns (0, 1, 2, 3, 4), first line read as names" in " ".join(out.split())
    assert f"y.csv: {n:,} rows, 1 column, first line read as the name" in " ".join(out.split())


@pytest.mark.usefixtures("logits")
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["words", "a document"])
def test_reading_of_large_files_says_how_far_it_is(
    more: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def slowly(*arguments: Any, **settings: Any) -> Any:
        time.sleep(0.3)
        return read_table(*arguments, **settings)

    monkeypatch.setattr("kdtheory.datasets.read_table", slowly)
    monkeypatch.setattr("kdtheory.progress._PAUSE", 0.05)
    code, out, err = run(capsys, *HOLDOUT, *more)
    assert code == 0
    assert out
    assert (err == "") if more else ("files, then bounds: 1 of 3, 0:00 so far" in err)


@pytest.mark.parametrize("command", ["certify", "compare"])
def test_rows_in_another_order_by_their_index_are_noticed(
    command: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    pytest.importorskip("pyarrow")
    logits = np.random.default_rng(0).normal(size=(40, 3))
    index, back = [f"point {n}" for n in range(40)], np.arange(40)[::-1]
    tables = {
        "t": pd.DataFrame(logits, index=index),
        "y": pd.DataFrame({"label": logits.argmax(1)}, index=index),
    }
    for name, table in {**tables, "s": tables["t"]}.items():
        table.rename(columns=str).to_parquet(f"{name}.parquet")
    files = ["--teacher-logits", "t.parquet", "--labels", "y.parquet", "--fixed-in-advance"]
    files += ["--student-logits", "s.parquet"] if command == "compare" else []
    assert run(capsys, command, *files)[0] == 0
    tables["y"].iloc[back].to_parquet("y.parquet")
    code, _, err = run(capsys, command, *files)
    assert (code, "y.parquet has 'point 39' in row 0 of its index and" in err) == (2, True)
    tables["y"].iloc[back].reset_index(drop=True).to_parquet("y.parquet")
    assert run(capsys, command, *files)[0] in (0, 1)
