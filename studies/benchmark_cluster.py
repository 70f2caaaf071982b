"""A cluster of two workers on this machine against two worker processes of its own.

The same claims are examined by `kdtheory verify --jobs 2` and by `kdtheory verify --cluster local:2`, each
as a command of its own from start to end, in turns; medians over the turns, and of their ratio. Findings are
compared without the seconds. *Task* is what a task that does nothing costs from the process that waits for
it, on the cluster and by a process of joblib's: it is what has to be small against the work in a task for
more workers to help.

To look at: the whole run costs at most 1.15 times what two processes cost, and a task less than 20 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kdtheory
from kdtheory.plots import PALETTE
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "claims": ("--chapter=7",),
    "tasks": 100,
    "repeats": 1,
}
SMALL: dict[str, Any] = {"claims": (), "tasks": 20}

_SIDES = {"jobs": ("--jobs", "2"), "cluster": ("--cluster", "local:2")}


def run(stream: Stream, *, claims: Sequence[str], tasks: int, repeats: int) -> list[dict[str, Any]]:
    """Rows: what was done, seconds by processes and by the cluster, the ratio, whether findings agree.

    Args:
        stream: its seed is that of the runs.
        claims: words of the command, each for runs of their own: names, patterns, files, "--chapter=1"; of
            one claim of milliseconds the run is starting alone. Minutes each, and none where none is named.
        tasks: how many that do nothing.
        repeats: turns of each side.
    """
    rows = []
    for name in claims:
        turns = [
            {side: _verified(where, (name,), stream.seed) for side, where in _SIDES.items()}
            for _ in range(repeats)
        ]
        seconds = {side: [turn[side][0] for turn in turns] for side in _SIDES}
        same = all(turn["jobs"][1] == turn["cluster"][1] for turn in turns)
        rows.append(_row(name, seconds, same))
    costs = {side: [_task_seconds(side, tasks) for _ in range(repeats)] for side in _SIDES}
    return [*rows, _row("task that does nothing", costs, True)]


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The seconds of both sides."""
    for n, (side, color) in enumerate((("jobs", "black"), ("cluster", "blue"))):
        places = np.arange(len(rows)) + 0.4 * (n - 0.5)
        ax.barh(places, rows[f"{side}_seconds"], height=0.35, color=PALETTE[color], label=side)
    ax.set_yticks(range(len(rows)), rows["work"])
    ax.set_xscale("log")
    ax.set_xlabel("seconds")
    ax.legend()


def _row(name: str, seconds: dict[str, list[float]], same: bool) -> dict[str, Any]:
    ratios = np.array(seconds["cluster"]) / np.array(seconds["jobs"])
    middle = {f"{side}_seconds": float(f"{np.median(times):.3g}") for side, times in seconds.items()}
    return {"work": name, **middle, "ratio": round(float(np.median(ratios)), 3), "same_findings": same}


def _verified(where: Sequence[str], words: Sequence[str], seed: int) -> tuple[float, Any]:
    """How long the command takes, and what it finds."""
    command = [sys.executable, "-m", "kdtheory", "verify", *words, *where, "--seed", str(seed), "--json"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        told = subprocess.run(
            [*command, "--out", "run"], cwd=folder, env=_environment(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    if not told.stdout:
        raise ValueError(f"{' '.join(command)} failed: {told.stderr[-2000:]}")
    found = json.loads(told.stdout)
    for one in found["findings"]:
        del one["seconds"]
    return seconds, found


_TASKS = """
import contextlib, sys, time
from kdtheory.clusters import on_cluster
from kdtheory.workers import spread
if __name__ == "__main__":
    number, side = int(sys.argv[1]), sys.argv[2]
    with on_cluster("local:2") if side == "cluster" else contextlib.nullcontext():
        list(spread(abs, [(n,) for n in range(8)], jobs=2))
        start = time.perf_counter()
        list(spread(abs, [(n,) for n in range(number)], jobs=2))
        print((time.perf_counter() - start) / number)
"""


def _task_seconds(side: str, tasks: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "tasks.py"
        script.write_text(_TASKS)
        told = subprocess.run(
            [sys.executable, str(script), str(tasks), side], env=_environment(), capture_output=True,
            text=True, check=True,
        )  # fmt: skip
    return float(told.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(kdtheory.__file__).parents[1])}


if __name__ == "__main__":
    sys.stdout.write(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False) + "\n")
