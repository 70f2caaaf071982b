"""The command line, as its user meets it: exit codes, one-line errors, JSON, a run that was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kdtheory
from kdtheory import cli, progress
from kdtheory.certify import certify_logits
from kdtheory.claims import REGISTRY
from kdtheory.cli.app import err_console, out_console
from kdtheory.cli.names import complete_cited, complete_claims, complete_studies
from kdtheory.datasets import read_labels, read_logits, read_table
from kdtheory.files import SCHEMA
from kdtheory.scripts import study_paths

FAST = sorted(claim.name for claim in REGISTRY.values() if claim.chapter == 1)[:2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdtheory.progress._PAUSE", 1e6)  # no lines in between, however slow the machine
    for console in (out_console, err_console):
        monkeypatch.setattr(console, "width", 200)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `kdtheory ARGUMENTS`, in this process."""
    before = sys.argv
    sys.argv = ["kdtheory", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), captured.out, captured.err


def test_list_names_every_claim_of_a_chapter(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--chapter", "1")
    assert code == 0
    assert all(claim.name in out for claim in REGISTRY.values() if claim.chapter == 1)
    assert not any(claim.name in out for claim in REGISTRY.values() if claim.chapter != 1)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_show_tells_what_a_reader_asks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", name)
    claim, flat = REGISTRY[name], " ".join(out.split())
    assert code == 0
    assert all(part in flat for part in (name, claim.source, claim.expect.name, "never run here"))
    assert " ".join(claim.statement.split()[:4]) in flat
    scaled = claim.power.name if claim.power else ""
    assert all("".join(text.split()) in re.sub(r"\s", "", out) for text in (scaled, claim.loose))


def test_verify_prints_a_ledger_and_records_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = run(capsys, "verify", *FAST, "--jobs", "1", "--out", "runs/one")
    assert code == 0, out
    assert all(name in out for name in FAST)
    assert "all as expected" in out
    assert sorted(path.stem for path in (folder / "runs/one/claims").iterdir()) == FAST
    shown = run(capsys, "show", FAST[0])[1]
    assert f"{REGISTRY[FAST[0]].expect.name} (quick tier, seed 0" in " ".join(shown.split())


def test_show_tells_what_broke_each_part_and_what_would_be_noticed(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, _ = run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one", "--mutants", "--power")
    assert code == 0, out
    assert "decided against" in " ".join(out.split())
    (finding,) = json.loads((folder / "runs/one/ledger.json").read_text())["findings"]
    assert finding["would_notice"] in out
    shown = " ".join(run(capsys, "show", FAST[0])[1].split())
    told = [part["controls"] + part["mutants"] for part in finding["parts"].values()]
    assert all(" ".join(names[0].split()[:2]) in shown for names in told)
    assert "broken by" in shown
    assert "would notice" in shown
    assert "against it" not in shown


def test_show_has_the_counterexample_of_what_is_refuted(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    name = "printed_softmax_is_a_probability_vector"
    run(capsys, "verify", name, "--jobs", "1", "--out", "runs/one")
    (finding,) = json.loads((folder / "runs/one/ledger.json").read_text())["findings"]
    against = finding["evidence"]["counterexample"]
    shown = " ".join(run(capsys, "show", name)[1].split())
    assert f"against it left side {against['lhs']:.6g}, right side 1" in shown


def test_a_run_of_an_older_schema_is_passed_over(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    ledger = folder / "runs/one/ledger.json"
    ledger.write_text(json.dumps(json.loads(ledger.read_text()) | {"schema": 1}))
    assert "never run here" in run(capsys, "show", FAST[0])[1]
    code, _, said = run(capsys, "report", "--out", "page.html")
    assert (code, f"no ledger of schema {SCHEMA}" in said) == (2, True)


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", FAST[0], "--jobs", "1", "--json", "--seed", "5", "--mutants")
    document = json.loads(out)
    assert code == 0
    assert (document["schema"], document["seed"], document["tier"]) == (SCHEMA, 5, "quick")
    (finding,) = document["findings"]
    assert finding["as_expected"]
    assert finding["control"]["as_expected"]
    assert finding["mutants"]["killed"] == finding["mutants"]["total"] >= 1


def test_cite_prints_bibtex_of_a_claim_and_of_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    source = REGISTRY[FAST[0]].source
    by_claim, by_key = run(capsys, "cite", FAST[0]), run(capsys, "cite", source)
    assert by_claim[0] == by_key[0] == 0
    assert by_claim[1] == by_key[1]
    assert by_claim[1].startswith("@")
    assert source in by_claim[1]


def test_report_makes_a_page_from_the_newest_run(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    code, _, _ = run(capsys, "report", "--out", "page.html")
    assert code == 0
    assert FAST[0] in (folder / "page.html").read_text()


def test_study_runs_a_script_of_the_users_own(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / "studies" / "line.py").write_text(
        '"""A line."""\nCLAIMS = ()\nCONFIG = {"n": 4}\nSMALL = {"n": 2}\n\n\n'
        'def run(stream, *, n):\n    return [{"x": i} for i in range(n)]\n\n\n'
        "def draw(ax, rows):\n    ax.plot(rows.x)\n"
    )
    assert run(capsys, "study", "line")[0] == 0
    assert (folder / "figures/line/figure.png").exists()
    assert run(capsys, "study", "line", "--small")[0] == 0
    assert (folder / "runs/figures/line/table.csv").read_text() == "x\n0\n1\n"


UNSAID = ["certify", "--teacher-logits", "t.npy", "--labels", "y.npy"]
HOLDOUT = [*UNSAID, "--fixed-in-advance"]
PAIR = ["--student-logits", "s.npy", "--unlabelled-teacher", "tu.npy", "--unlabelled-student", "su.npy"]


@pytest.fixture
def logits(folder: Path) -> None:
    """A good teacher, a student like it, on 400 labelled and 500 unlabelled points."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 400)
    teacher, others = generator.normal(size=(400, 5)), generator.normal(size=(500, 5))
    teacher[np.arange(400), labels] += 5
    for name, array in {"y": labels, "t": teacher, "s": teacher / 2, "tu": others, "su": others / 2}.items():
        np.save(folder / f"{name}.npy", array)


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


@pytest.mark.usefixtures("logits", "unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "nowhere.npy"], "nowhere.npy is not there"),
        (["--labels", "t.npy"], "labels are one class number"),
        (["--teacher-logits", "y.npy"], "logits are a table"),
        (["--teacher-logits", "tu.npy"], "labels has shape (400,)"),
        (["--student-logits", "su.npy"], "student_logits has shape (500, 5)"),
        (["--teacher-logits", "t.pt"], "ends in '.pt'"),
        (["--unlabelled-student", "su.npy"], "--student-logits, --unlabelled-teacher lacking"),
        (["--student-logits", "s.npy", "--unlabelled-teacher", "tu.npy"], "--unlabelled-student lacking"),
        (["--delta", "abc"], "Invalid value for '--delta'"),
        (["--labels-role", "test"], "labels_role = 'test'"),
        (["--unmet", "luck"], "unmet = 'luck'"),
        (["--delta", "0"], "delta = 0"),
        (["--gamma", "-1"], "gamma = -1"),
        (["--figure", "c.doc"], "must end in one of"),
        (["--figure", "file/c.png"], "cannot be written"),
        (["--out", "file/c.json"], "cannot be written"),
    ],
)
def test_certify_refuses_bad_files_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "file").write_text("precious")
    code, out, err = run(capsys, *HOLDOUT, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "no_such_claim"], "claim 'no_such_claim' is not known"),
        (["show", ""], "claim '' is not known"),
        (["verify", FAST[0][:-1]], f"did you mean '{FAST[0]}'"),
        (["verify", "--chapter", "99"], "chapter = 99 has none of the claims; they are of 1 Resp"),
        (
            ["verify", FAST[0], "--chapter", "2"],
            "has none of the claims that are meant; they are of 1 Resp",
        ),
        (["verify", "zz*"], "no claim's name is like 'zz*'"),
        (["verify", "nowhere.py"], "there is no file 'nowhere.py'"),
        (["verify", "no.such.module"], "there is no module 'no.such.module'"),
        (["list", "--expected", "BLIND"], "choose one of REFUTED, SUPPORTED, VACUOUS"),
        (["show", "soft_ratio"], "it is the name of a study; `kdtheory study soft_ratio`"),
        (["show", "hinton2015distilling"], "it is the name of a source; `kdtheory cite"),
        (["show", "hsu21_distillation"], "it is the name of a function; `kdtheory cite"),
        (["study", "soft_rati"], "did you mean 'soft_ratio'?"),
        (["study", FAST[0]], f"it is the name of a claim; `kdtheory show {FAST[0]}`"),
        (["study"], "kdtheory study --list"),
        (["cite", "soft_ratio"], "it is the name of a study"),
        (["cite", "kd_gradient_is_closed_form"], "did you mean 'kd_gradient_is_the_closed_form'"),
        (["cite", "hinton"], "did you mean 'hinton2015distilling'?"),
        (["cite", "hsu21_distilation"], "did you mean 'hsu21_distillation'"),
        (["show", "kd_gradient_is"], "did you mean 'kd_gradient_is_the_closed_form'?"),
        (["study", "soft"], "did you mean 'soft_ratio'"),
        (["cite", "size_needed"], "its docstring says what it rests on"),
        (["verify", FAST[0], "--tier", "huge"], "tier = 'huge'"),
        (["verify", FAST[0], "--seed", "-3"], "seed = -3"),
        (["verify", FAST[0], "--alpha", "1.5"], "alpha = 1.5"),
        (["verify", FAST[0], "--device", "abacus"], "device = 'abacus'"),
        (["verify", FAST[0], "--jobs", "0"], "jobs = 0"),
        (["verify", FAST[0], "--data", "nowhere"], "nowhere"),
        (["verify", FAST[0], "--resume"], "--resume needs --out"),
        (["verify", FAST[0], "--out", "file/inside"], "cannot be written"),
        (["show", "no_such_claim"], "is not known"),
        (["cite", "no_such_key"], "name 'no_such_key' is not known"),
        (["study", "no_such_study"], "study 'no_such_study' is not known"),
        (["report"], "no ended run"),
        (["report", "--run", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "file").write_text("precious")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) == 1
    assert (folder / "file").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments", [["verify", "--no-such-option"], ["verify", "--seed", "x"], ["frobnicate"], ["certify"]]
)
def test_bad_usage_is_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "--help says what there is" in err


def test_no_argument_is_a_request_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 2
    assert "certify" in out


def test_ctrl_c_is_one_line_and_exit_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kdtheory.datasets.read_table", interrupted)
    assert run(capsys, *HOLDOUT) == (130, "", "interrupted; every file is whole, old or new\n")
    monkeypatch.setattr("kdtheory.ledger.verify", interrupted)
    code, _, err = run(capsys, "verify", FAST[0], "--out", "runs/one")
    how = "go on with the same command, --out runs/one and --resume"
    assert (code, err) == (130, f"interrupted; what is finished is kept: {how}\n")


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


def test_a_worker_that_was_killed_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise ChildProcessError("a worker process was killed, or memory ran out")

    monkeypatch.setattr("kdtheory.ledger.verify", killed)
    code, _, err = run(capsys, "verify", FAST[0], "--out", "runs/one")
    assert (code, err.count("\n")) == (2, 1)
    assert "error a worker process was killed, or memory ran out; what is finished is kept" in err


def test_a_resumed_run_says_what_is_there_and_takes_nothing_of_other_code(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    command = ("verify", *FAST, "--jobs", "1", "--out", "run")
    run(capsys, *command)
    first, second = (folder / "run" / "claims" / f"{name}.json" for name in FAST)
    told = json.loads(first.read_text())
    first.write_text(json.dumps(told | {"code": "of other code"}))
    second.write_text(second.read_text().replace('"expected": "SUPPORTED"', '"expected": "REFUTED"'))
    code, _, err = run(capsys, *command, "--resume")
    assert (code, err) == (
        0,
        "2 claims are examined already; 1 of them by other code than this, which are examined again\n",
    )
    assert json.loads(first.read_text())["code"] == told["code"]
    assert json.loads(second.read_text())["expected"] == "SUPPORTED"
    first.write_text("{}")
    code, out, err = run(capsys, *command, "--resume")
    assert (code, out) == (2, "")
    assert err == f"error run/claims/{FAST[0]}.json: record lacks 'name'; it is damaged, or was edited\n"


def findings(folder: Path) -> list[dict]:
    rows = json.loads((folder / "ledger.json").read_text())["findings"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_killed_run_resumes_to_the_same_ledger(folder: Path) -> None:
    command = [sys.executable, "-m", "kdtheory", "verify", "--chapter", "1", "--jobs", "2"]
    subprocess.run([*command, "--out", "whole"], check=True, capture_output=True)
    killed = subprocess.Popen(
        [*command, "--out", "killed"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 600
    while not list(folder.glob("killed/claims/[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = {path.name: path.read_bytes() for path in folder.glob("killed/claims/[!.]*.json")}
    assert kept
    assert not (folder / "killed/ledger.json").exists()
    refused = subprocess.run([*command, "--out", "killed"], capture_output=True, text=True, check=False)
    assert (refused.returncode, "add --resume" in refused.stderr) == (2, True)
    subprocess.run([*command, "--out", "killed", "--resume"], check=True, capture_output=True)
    assert findings(folder / "killed") == findings(folder / "whole")
    after = {name: (folder / "killed/claims" / name).read_bytes() for name in kept}
    assert after == kept, "a finished claim was examined again"


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


def as_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """The output goes to a terminal so wide, from now on."""
    monkeypatch.setattr(out_console, "width", width)
    monkeypatch.setattr(out_console, "_force_terminal", True)
    monkeypatch.setattr(out_console, "_color_system", None)


def test_names_stay_whole_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logits: None
) -> None:
    as_on_a_terminal(monkeypatch, 80)
    out = run(capsys, "list")[1]
    assert all(re.search(rf"\b{claim.name}$", out, flags=re.MULTILINE) for claim in REGISTRY.values())
    assert max(map(len, out.splitlines())) <= 80
    assert all(claim.topic in out for claim in REGISTRY.values())
    out = run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "run")[1]
    assert re.search(rf"\b{FAST[0]}$", out, flags=re.MULTILINE)
    assert " s in all; the claims took " in out
    out = run(capsys, *HOLDOUT, *PAIR)[1]
    assert all(name in out for name in ("student_holdout", "distillation_by_margins"))
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_piped_is_one_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "list", "--chapter", "1")[1]
    listed = {line.split("\t")[1]: line.split("\t") for line in out.splitlines()}
    claims = {claim.name: claim for claim in REGISTRY.values() if claim.chapter == 1}
    assert set(listed) == set(claims)
    assert all(listed[name][-1] == claim.statement for name, claim in claims.items())
    told = json.loads(run(capsys, "list", "--chapter", "1", "--json")[1])
    assert [one["name"] for one in told] == list(listed)
    assert all(one["last_verdict"] is None for one in told)


def test_patterns_and_last_verdicts(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    told = json.loads(run(capsys, "list", "temperature gradient", "--json")[1])
    assert FAST[0] in {one["name"] for one in told}
    assert len(told) < 10
    assert run(capsys, "verify", "temperature gradient")[0] == 2
    told = json.loads(run(capsys, "list", FAST[0][:-1] + "*", FAST[0], "--json")[1])
    assert [(one["name"], one["last_verdict"]) for one in told] == [(FAST[0], REGISTRY[FAST[0]].expect.name)]
    out = run(capsys, "show", FAST[0], "--runs", "runs/one")[1]
    assert "runs/one" in out
    assert json.loads(run(capsys, "show", FAST[0], "--json")[1])["name"] == FAST[0]


def test_studies_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split("\t") for line in run(capsys, "study", "--list")[1].splitlines()]
    titles = {line[0]: line[1] for line in lines}
    assert titles["benchmark_front_door"].startswith("The first second: ")
    assert len(titles) == len(study_paths())


def test_a_bound_is_cited_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    cited = {"clopper34_holdout": "clopper1934use", "hsu21": "hsu2021generalization"}
    cited |= {"vapnik71": "vapnik1971uniform", "jiang22_disagreement": "jiang2022assessing"}
    for name, key in cited.items():
        assert re.match(rf"@\w+{{{key},", run(capsys, "cite", name)[1])


def test_several_are_cited_at_once_and_each_entry_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "cite", "hsu21*", "hsu21", FAST[0], "hinton2015*")
    keys = re.findall(r"^@\w+\{(\w+),", out, re.MULTILINE)
    assert code == 0
    assert keys[0] == "hsu2021generalization"
    assert "hinton2015distilling" in keys
    assert len(keys) == len(set(keys))
    assert run(capsys, "cite", FAST[0], "nothing_like*")[::2] == (
        2, "error no claim, function or source has a name like 'nothing_like*'; see `kdtheory list --json`\n"
    )  # fmt: skip


def test_a_function_of_no_paper_is_not_said_to_be_of_the_one_that_a_claim_tests_it_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said, *entries = run(capsys, "cite", "kl_divergence")[1].splitlines()
    assert said.startswith("% kl_divergence is named after no paper; these are of the claims")
    assert entries[0].startswith("@")


def test_on_a_terminal_a_bar_is_there_while_claims_are_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(progress, "_watched", lambda: True)
    (folder / "slow.py").write_text("import time\n\ntime.sleep(1)\n")
    code, _, err = run(capsys, "verify", "slow.py")
    assert (code, "claims ━" in err, "declares no claim" in err) == (2, True, True)


def test_the_shell_completes_names() -> None:
    assert "soft_ratio" in complete_studies("soft")
    assert complete_claims(FAST[0]) == [FAST[0]]
    for name in (FAST[0], "hsu21_distillation", "hinton2015distilling"):
        assert name in complete_cited(name)


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, f"kdtheory {kdtheory.__version__}\n")


def test_help_has_names_and_summaries_whole_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = run(capsys, "--help")[1]
    assert "..." not in told.split("Commands:")[1]
    told += run(capsys, "certify", "--help")[1] + run(capsys, "compare", "--help")[1]
    assert "…" not in told
    assert "--not-fixed-in-advance" in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_study_in_the_folder_is_named_without_its_ending(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    run(capsys, "new", "study", "begun_here")
    code, out, err = run(capsys, "study", "begun_here", "--small", "--quiet")
    assert code == 0, err
    assert "begun_here" in out


def test_a_refused_run_leaves_no_directory(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for wrong in (("--alpha", "1.5"), ("--alpha", "nan"), ("--jobs", "0")):
        code, _, err = run(capsys, "verify", FAST[0], "--out", "run", *wrong)
        assert (code, "Traceback" in err, (folder / "run").exists()) == (2, False, False), err
    assert run(capsys, "verify", FAST[0], "--out", "run", "--jobs", "1")[0] == 0


def test_a_damaged_ledger_stands_in_the_way_of_nothing(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    ledger = folder / "runs" / "one" / "ledger.json"
    whole = json.loads(ledger.read_text())
    lacking = [{key: value for key, value in whole.items() if key != "findings"}, whole | {"findings": [{}]}]
    for text in ("{", "[]", *map(json.dumps, lacking)):
        ledger.write_text(text)
        for command in (("list", "--chapter", "1"), ("show", FAST[0])):
            code, out, err = run(capsys, *command)
            assert (code, FAST[0] in out) == (0, True)
            assert err == "runs/one/ledger.json is damaged, and is passed over\n"
        code, _, err = run(capsys, "report", FAST[0])
        assert (code, err.count("\n")) == (2, 1)
    ledger.write_text(json.dumps(whole | {"findings": [whole["findings"][0] | {"section": "one"}]}))
    code, _, err = run(capsys, "report", FAST[0])
    assert (code, "section of " in err and "numbers between dots" in err) == (2, True), err


def test_a_page_of_claims_or_figures_that_are_not_there_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    code, _, err = run(capsys, "report", FAST[1])
    assert (code, f"claim '{FAST[1]}' is not among the 1 of the run" in err) == (2, True)
    code, _, err = run(capsys, "report", "tempered_*", "--run", "runs/one")
    assert (code, f"has a name like 'tempered_*'; it has {FAST[0]}" in err) == (2, True)
    code, _, err = run(capsys, "report", "--figures", "nowhere")
    assert (code, "nowhere is no directory" in err) == (2, True)
    assert run(capsys, "report", FAST[0])[0] == 0


def test_one_study_that_does_not_parse_hides_no_other(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "studies").mkdir()
    (folder / "studies" / "half.py").write_text("def")
    (folder / "figures" / "soft_ratio").mkdir(parents=True)
    (folder / "figures" / "soft_ratio" / "run.json").write_text("{")
    code, out, _ = run(capsys, "study", "--list")
    assert (code, "studies/half.py does not parse" in out, "soft_ratio\t" in out) == (0, True, True)
    code, _, err = run(capsys, "study", "--list", "--studies", "nowhere")
    assert (code, "studies = 'nowhere' is no folder" in err) == (2, True)


def test_several_claims_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run(capsys, "show", "*temperature*", "--json")[1])
    assert len(told) > 1
    assert all("temperature" in one["name"] for one in told)


def test_words_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, _, err = run(capsys, "verify", "mine:100:.py")
    assert (code, "mine:100:.py" in err) == (2, True)
    cli.layout.prose("line :100: of :x:")
    assert capsys.readouterr().out == "line :100: of :x:\n"


@pytest.mark.parametrize("command", ["list", "cite kd_gradient_is_the_closed_form", "study --list"])
@pytest.mark.parametrize(
    ("where", "code"), [(">/dev/full", 2), ("| true; exit ${PIPESTATUS[0]}", 141), (">&-", 0), ("2>&-", 0)]
)
def test_an_answer_that_cannot_be_written_is_no_verdict(command: str, where: str, code: int) -> None:
    line = f"{sys.executable} -m kdtheory {command} {where}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    if "PIPESTATUS" in where and ended.returncode == 0:
        pytest.skip("it had said all before the other had ended")
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("option", ["--teacher-logits", "--labels"])
def test_an_answer_is_not_written_over_what_it_was_made_from(
    option: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    files = {"--teacher-logits": folder / "t.csv", "--labels": folder / "y.csv"}
    files["--teacher-logits"].write_text("a,b\n" + "0.5,-0.5\n1.5,-1.5\n")
    files["--labels"].write_text("class\n0\n0\n")
    before = files[option].read_text()
    given = [str(part) for pair in files.items() for part in pair]
    code, _, err = run(capsys, "certify", *given, "--fixed-in-advance", "--out", files[option])
    assert (code, "is one of the files that are read" in err) == (2, True)
    assert files[option].read_text() == before


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


def test_an_answer_is_not_written_over_an_archive_or_a_figure(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    archive, figure = folder / "both.npz", folder / "drawn.svg"
    np.savez(archive, t=[[0.5, -0.5], [1.5, -1.5]], y=[0, 0])
    before = archive.read_bytes()
    given = ["--teacher-logits", f"{archive}:t", "--labels", f"{archive}:y", "--fixed-in-advance"]
    for out, more in ((archive, []), (figure, ["--figure", figure])):
        code, _, err = run(capsys, "certify", *given, "--out", out, *more)
        assert (code, "read or written; name another" in err) == (2, True)
    assert archive.read_bytes() == before
    assert not figure.exists()


def test_what_the_encoding_of_a_pipe_lacks_is_escaped() -> None:
    command = [sys.executable, "-m", "kdtheory", "list", "--chapter", "1"]
    western = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    said = subprocess.run(command, env=western, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (0, b"")
    assert rb"\u" in said.stdout


def test_new_says_how_to_run_what_it_wrote_anywhere(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    place = folder / "a folder"
    assert f"`kdtheory study '{place}/curve.py'`" in run(capsys, "new", "study", "curve", "--out", place)[1]
