"""Runs of claims and studies: their records, a run that was killed, and the page made from them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import FAST, HOLDOUT, run

from kdtheory.claims import REGISTRY
from kdtheory.files import SCHEMA


def test_verify_prints_a_ledger_and_records_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = run(capsys, "verify", *FAST, "--jobs", "1", "--out", "runs/one")
    assert code == 0, out
    assert all(name in out for name in FAST)
    assert "all as expected" in out
    assert sorted(path.stem for path in (folder / "runs/one/claims").iterdir()) == FAST
    shown = run(capsys, "show", FAST[0])[1]
    assert f"{REGISTRY[FAST[0]].expect.name} (quick tier, seed 0" in " ".join(shown.split())


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", FAST[0], "--jobs", "1", "--json", "--seed", "5", "--mutants")
    document = json.loads(out)
    assert code == 0
    assert (document["schema"], document["seed"], document["tier"]) == (SCHEMA, 5, "quick")
    (finding,) = document["findings"]
    assert finding["as_expected"]
    assert finding["control"]["as_expected"]
    assert finding["mutants"]["killed"] == finding["mutants"]["total"] >= 1


def test_several_claims_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run(capsys, "show", "*temperature*", "--json")[1])
    assert len(told) > 1
    assert all("temperature" in one["name"] for one in told)


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


def test_report_makes_a_page_from_the_newest_run(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    code, _, _ = run(capsys, "report", "--out", "page.html")
    assert code == 0
    assert FAST[0] in (folder / "page.html").read_text()


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


def test_a_run_of_an_older_schema_is_passed_over(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    ledger = folder / "runs/one/ledger.json"
    ledger.write_text(json.dumps(json.loads(ledger.read_text()) | {"schema": 1}))
    assert "never run here" in run(capsys, "show", FAST[0])[1]
    code, _, said = run(capsys, "report", "--out", "page.html")
    assert (code, f"no ledger of schema {SCHEMA}" in said) == (2, True)


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


def test_a_refused_run_leaves_no_directory(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for wrong in (("--alpha", "1.5"), ("--alpha", "nan"), ("--jobs", "0")):
        code, _, err = run(capsys, "verify", FAST[0], "--out", "run", *wrong)
        assert (code, "Traceback" in err, (folder / "run").exists()) == (2, False, False), err
    assert run(capsys, "verify", FAST[0], "--out", "run", "--jobs", "1")[0] == 0


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


def test_new_says_how_to_run_what_it_wrote_anywhere(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    place = folder / "a folder"
    assert f"`kdtheory study '{place}/curve.py'`" in run(capsys, "new", "study", "curve", "--out", place)[1]
