"""One line and exit 2 for what cannot be done; no answer is lost, and none written over its source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import FAST, HOLDOUT, run


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
