"""The first second: processor time of commands and imports against those of an earlier commit.

Each command and import starts a Python of its own, by this package and by the one at the commit named, which
is taken from the repository's history into a temporary folder; where there is none, its rows are left out.
`from kdtheory import train` is set against `import torch`, without which nothing can be trained, and a first
verdict against the earlier commit's help. The sides take turns, after one start of each that compiles what is
not compiled yet; times are processor time of user and system together, and times and ratios are medians over
the turns.

To look at: commands that only tell are below 0.15 times the earlier ones, `import kdtheory` is below 0.05
times, the doors to training cost at most a fifth more than torch, and a first verdict costs less than 0.9
times what the earlier help did.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _earlier import earlier

import kdtheory
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {"repeats": 1, "commit": "2487e95"}
SMALL: dict[str, Any] = {}  # one turn is the least

_NAME = "kd_gradient_is_the_closed_form"
_COMMANDS = {
    "kdtheory --help": ["--help"],
    "kdtheory list": ["list"],
    "kdtheory cite NAME": ["cite", _NAME],
    "a name mistyped": ["show", _NAME[:-1]],
    "a command mistyped": ["lst"],
}
_VERDICT = ["verify", _NAME, "--out", "{fresh}/run"]
_CROWDED = 2.2
"""A mark that is no more than so many times the bar stands where the bar's number would be."""
_HERE = Path(kdtheory.__file__).parents[1]


def run(stream: Stream, *, repeats: int, commit: str) -> list[dict[str, Any]]:
    """Rows: what is started, against what; seconds of both, their ratio, and the most that it should be.

    Args:
        stream: nothing is drawn.
        repeats: turns of each side.
        commit: of the earlier package.
    """
    train, torch = _code("from kdtheory import train"), _code("import torch")
    rows = [_row("from kdtheory import train", "import torch", (train, _HERE), (torch, _HERE), 1.2, repeats)]
    with earlier(commit) as folder:
        if folder is not None:
            told = {name: ["-m", "kdtheory", *arguments] for name, arguments in _COMMANDS.items()}
            limits = dict.fromkeys(told, 0.15) | {"import kdtheory": 0.05}
            for name, arguments in (told | {"import kdtheory": _code("import kdtheory")}).items():
                sides = (arguments, _HERE), (arguments, folder)
                rows.append(_row(name, f"commit {commit}", *sides, limits[name], repeats))
            sides = (["-m", "kdtheory", *_VERDICT], _HERE), (told["kdtheory --help"], folder)
            rows.append(_row("kdtheory verify NAME", f"--help of {commit}", *sides, 0.9, repeats))
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The ratios as bars, and the most that each should be."""
    rows = rows.iloc[::-1].reset_index(drop=True)
    ax.barh(rows.index, rows["ratio"], color=PALETTE["blue"], label="processor time, of the other's")
    ax.plot(rows["at_most"], rows.index, "|", color=PALETTE["orange"], ms=16, mew=2.5, label="at most")
    ax.set_yticks(rows.index, rows["started"] + "\nagainst " + rows["against"], fontsize=8)
    for place, row in rows.iterrows():
        crowded = row["ratio"] < row["at_most"] < _CROWDED * row["ratio"]
        beside = row["at_most"] if crowded else row["ratio"]
        ax.annotate(f"{row['ratio']:.3f}", (beside, place), xytext=(4, -3), textcoords="offset points")
    ax.set_xscale("log")
    ax.set_xlim(right=4)
    ax.set_xlabel("ratio of processor times")
    legend_above(ax, columns=2)


def _code(text: str) -> list[str]:
    return ["-c", text]


def _row(
    started: str,
    against: str,
    one: tuple[list[str], Path],
    other: tuple[list[str], Path],
    at_most: float,
    repeats: int,
) -> dict[str, Any]:
    for side in (one, other):
        _seconds(*side)
    turns = np.array([(_seconds(*one), _seconds(*other)) for _ in range(repeats)])
    seconds, others = np.median(turns, axis=0)
    return {
        "started": started,
        "against": against,
        "seconds": round(float(seconds), 3),
        "seconds_against": round(float(others), 3),
        "ratio": round(float(np.median(turns[:, 0] / turns[:, 1])), 4),
        "at_most": at_most,
    }


def _seconds(arguments: Sequence[str], package: Path) -> float:
    """Processor seconds of a Python that is started with these arguments; a refusal is an end like others.

    "{fresh}" among them stands for a folder that is empty.
    """
    started = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as fresh:
        return _ended([word.format(fresh=fresh) for word in arguments], package, started)


def _ended(arguments: Sequence[str], package: Path, started: dict[str, str]) -> float:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments], env=started, cwd=package, **quiet)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 2):
        raise ValueError(f"python {' '.join(arguments)} ended with {process.returncode} by {package}")
    return used.ru_utime + used.ru_stime
