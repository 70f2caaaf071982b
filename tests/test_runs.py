"""Runs that end before their time: what is said, what is kept, and that no process is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kdtheory import ledger
from kdtheory.claims import REGISTRY, Plan
from kdtheory.ledger import verify
from kdtheory.workers import renew, spread

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
PATIENCE = 300.0
"""Seconds; on a machine that is busy, a process takes long to start."""
SLEEPERS = """
import os, sys, time
from workers import spread

FOLDER = os.path.dirname(os.path.abspath(__file__))

def sleep(seconds):  # once both workers are there: one that is starting would tell of an interrupt
    open(os.path.join(FOLDER, f"{os.getpid()}.begun"), "w").close()
    while sum(name.endswith(".begun") for name in os.listdir(FOLDER)) < 2:
        time.sleep(0.02)
    time.sleep(seconds)
    return seconds

if __name__ == "__main__":
    for seconds in spread(sleep, [(0.0,), (600.0,), (600.0,)], jobs=2):
        print(seconds, flush=True)
"""


GROWING = """
import time

KEPT = []

def grow(number):  # beyond what joblib takes for a leak, once it looks again
    KEPT.append(b"x" * (400_000_000 if number in (2, 3) else 1))
    time.sleep(1.2)
    return number
"""
GROWN = """
import warnings
from growing import grow
from kdtheory.workers import spread
warnings.simplefilter("error")
print(sorted(spread(grow, [(number,) for number in range(7)], jobs=2)))
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a process; of those that have ended, none."""
    children = [
        int(child)
        for task in Path(f"/proc/{process.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [child for child in children if "LokyProcess" in command_of(child)]


def command_of(pid: int) -> str:
    """How a process was started; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


END = {
    "a worker is killed": lambda process: os.kill(workers(process)[0], signal.SIGKILL),
    "Ctrl-C at a terminal": lambda process: os.killpg(process.pid, signal.SIGINT),
    "SIGINT to the parent alone": lambda process: process.send_signal(signal.SIGINT),
    "the parent is terminated": lambda process: process.terminate(),
    "the parent is killed": lambda process: process.kill(),
}


@pytest.mark.parametrize("how", END)
def test_no_worker_outlives_its_parent(how: str, tmp_path: Path, processes: list) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    shutil.copy(
        str(sys.modules[spread.__module__].__file__), tmp_path / "workers.py"
    )  # starts without the package
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    processes.append(process)
    assert process.stdout.readline() == "0.0\n"
    mine = workers(process)
    assert mine
    END[how](process)
    until(lambda: not any(map(command_of, mine)))
    said = process.communicate(timeout=PATIENCE)[1]
    assert ("ChildProcessError: a worker process was killed" in said) is (how == "a worker is killed")
    assert said.count("Traceback") <= 2, said  # of the parent: the workers say nothing


# Where workers are ended early, joblib's own thread may see one of them go before it was told to.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_ready_is_handed_over_before_an_error_is_raised() -> None:
    tasks = [(0,), (1,), (2,)]
    assert sorted(spread(abs, tasks, jobs=2)) == [0, 1, 2]
    results = spread(abs, tasks, jobs=2)
    next(results)
    results.close()  # without a warning


def test_workers_that_have_grown_are_renewed_where_warnings_are_errors(tmp_path: Path) -> None:
    (tmp_path / "growing.py").write_text(GROWING)
    told = subprocess.run(
        [sys.executable, "-c", GROWN],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (0, f"{list(range(7))}\n"), told.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("a worker is killed", 2, "error a worker process was killed, or memory ran out; "),
        ("Ctrl-C at a terminal", 130, "interrupted; "),
    ],
)
def test_a_run_that_ends_early_says_how_to_go_on_and_goes_on(
    how: str, code: int, said: str, tmp_path: Path, processes: list
) -> None:
    command = [sys.executable, "-m", "kdtheory", "verify", "--chapter", "1", "--jobs", "2", "--out", "run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    processes.append(process)
    until(lambda: list(tmp_path.glob("run/claims/[!.]*.json")))
    mine = workers(process)
    END[how](process)
    told = process.communicate(timeout=PATIENCE)[1].strip()
    assert process.returncode == code
    kept = "what is finished is kept: go on with the same command, --out run and --resume"
    assert told == said + kept
    assert not any(map(command_of, mine))
    assert not list(tmp_path.glob("run/claims/.*"))
    there = {path: path.read_bytes() for path in tmp_path.glob("run/claims/*.json")}
    again = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{len(there)} claims are examined already\n" in again.stderr
    assert {path: path.read_bytes() for path in there} == there
    assert json.loads((tmp_path / "run/ledger.json").read_text())["findings"]


@pytest.mark.slow
def test_an_interrupted_study_leaves_its_files_as_they_were(tmp_path: Path, processes: list) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "long.py").write_text(
        '"""A study that is long."""\nimport time\nfrom pathlib import Path\n'
        "CLAIMS, CONFIG, SMALL = (), {}, {}\n\n\n"
        'def run(stream):\n    Path("started").touch()\n    time.sleep(600)\n    return [{"x": 0}]\n\n\n'
        "def draw(ax, rows):\n    pass\n"
    )
    figure = tmp_path / "figures" / "long"
    figure.mkdir(parents=True)
    (figure / "table.csv").write_text("x\n1\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "kdtheory", "study", "long"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    processes.append(process)
    until((tmp_path / "started").exists)
    END["Ctrl-C at a terminal"](process)
    told = process.communicate(timeout=PATIENCE)[1].strip()
    assert (process.returncode, told) == (130, "interrupted; every file is whole, old or new")
    assert {path.name: path.read_text() for path in figure.iterdir()} == {"table.csv": "x\n1\n"}


FAST = [claim for claim in REGISTRY.values() if claim.chapter == 1][:2]


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, lambda: torch.device("meta")])
def test_claims_are_judged_alike_in_any_mode_of_torch(mode: Callable) -> None:
    plain = verify(FAST, Plan(device="cpu"))
    with mode():
        found = verify(FAST, Plan(device="cpu"))
    assert [(one.verdict, one.evidence) for one in found] == [(one.verdict, one.evidence) for one in plain]


def test_another_default_dtype_is_refused_in_one_sentence() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match=r"default dtype is torch\.float64.*set_default_dtype"):
            verify(FAST, Plan(device="cpu"))
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_package_is_imported_under_any_default_device_and_dtype() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import torch; torch.set_default_device('meta'); torch.set_default_dtype(torch.float16); "
            "from kdtheory.experiments.bounds import memoriser; print(memoriser.STUDENT.device)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout) == (0, "cpu\n"), re.sub(r"(?s).*\n(?=.)", "", told.stderr)


def test_workers_that_know_less_than_the_parent_are_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pids() -> set[int]:
        return set(spread(os.getpid, [()] * 4, jobs=2))

    monkeypatch.setattr(sys, "path", list(sys.path))
    first, again = pids(), pids()
    assert first & again
    sys.path.append(str(tmp_path))
    second = pids()
    assert not first & second
    renew()
    assert not second & pids()


def test_a_module_that_was_loaded_again_has_new_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[str] = []
    code = {"now": "old"}
    monkeypatch.setattr(ledger, "_SENT", {})
    monkeypatch.setattr(ledger, "code_of", lambda claim: code["now"])
    monkeypatch.setattr(ledger, "spread", lambda *tasks, **more: iter(()))
    monkeypatch.setattr(ledger, "sharing_rows", lambda claims: [[claim] for claim in claims])
    monkeypatch.setattr(ledger, "renew", lambda: renewed.append(code["now"]))
    for code["now"] in ("old", "old", "new", "new"):
        assert not list(ledger.examined(FAST, Plan(), jobs=2))
    assert renewed == ["new"]
