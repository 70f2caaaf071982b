"""The command line called in this process, and the words that its tests have in common."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kdtheory import cli
from kdtheory.claims import REGISTRY
from kdtheory.cli.app import out_console

FAST = sorted(claim.name for claim in REGISTRY.values() if claim.chapter == 1)[:2]
UNSAID = ["certify", "--teacher-logits", "t.npy", "--labels", "y.npy"]
HOLDOUT = [*UNSAID, "--fixed-in-advance"]
PAIR = ["--student-logits", "s.npy", "--unlabelled-teacher", "tu.npy", "--unlabelled-student", "su.npy"]


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


def as_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """The output goes to a terminal so wide, from now on."""
    monkeypatch.setattr(out_console, "width", width)
    monkeypatch.setattr(out_console, "_force_terminal", True)
    monkeypatch.setattr(out_console, "_color_system", None)
