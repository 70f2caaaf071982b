"""The quick ledger: time of all claims against that of an earlier commit.

`kdtheory verify` at the quick tier by this package and by the one at the commit named, which is taken from
the repository's history into a temporary folder; where there is none, its columns are empty. Sides take
turns, in processes of their own, with the same Python, seed and number of jobs, each after a first run of one
claim that compiles what is compiled. A claim's *seconds* are medians over the pairs, by the clock of its
worker; *wall* and *processor* are those of the whole command, the latter of the processes that it waited for.
Each side has the claims of its own time.

To look at: the wall time is below four tenths of the earlier one's, and no claim takes a tenth of it.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kdtheory
from kdtheory.plots import PALETTE, panel_letter
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
PANELS = 2
SIZE = (12.8, 5.6)
CONFIG: dict[str, Any] = {"claims": (), "jobs": 2, "pairs": 3, "commit": "2487e95"}
SMALL: dict[str, Any] = CONFIG | {"claims": ("softmax_confidence_is_lipschitz",), "jobs": 1, "pairs": 1}

_ROOT = Path(__file__).parents[1]
_COLOURS = {"": "blue", "earlier_": "orange"}
_WARMS = "training_the_average_is_not_an_ensemble"
_SHOWN = 20


def run(stream: Stream, *, claims: Sequence[str], jobs: int, pairs: int, commit: str) -> list[dict[str, Any]]:
    """Rows: claim, its seconds on both sides, and the times of both commands with the median of their ratios.

    Args:
        stream: its seed is the ledger's.
        claims: which; none for all.
        jobs: processes of each command.
        pairs: turns of each side.
        commit: of the earlier package.
    """
    with _earlier(commit) as folder:
        sides = {"": Path(kdtheory.__file__).parents[1]} | ({"earlier_": folder} if folder else {})
        for package in sides.values():
            _verify(package, [_WARMS], stream.seed, jobs)
        turns = [
            {side: _verify(package, claims, stream.seed, jobs) for side, package in sides.items()}
            for _ in range(pairs)
        ]
    facts = {"jobs": jobs, "pairs": pairs, "earlier": commit if folder else "none"} | _whole(turns)
    return [{"claim": name, **_seconds(turns, name)} | facts for name in turns[0][""]["seconds"]]


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Wall and processor time of the whole ledger, and the costliest claims of both sides."""
    first, second = axes
    for place, (side, color) in enumerate(_COLOURS.items()):
        values = [rows[f"{side}{column}"].astype(float).iloc[0] for column in ("wall", "processor")]
        name = f"commit {rows['earlier'].iloc[0]}" if side else "this package"
        first.bar(np.arange(2) + 0.4 * place - 0.2, values, 0.38, color=PALETTE[color], label=name)
    first.set_xticks([0, 1], ["wall", "processor"])
    first.set_ylabel("seconds")
    first.legend()
    panel_letter(first, "a", "The whole ledger")
    top = rows.sort_values("seconds", ascending=False).head(_SHOWN)[::-1]
    for side, color in _COLOURS.items():
        second.plot(top[f"{side}seconds"].astype(float), np.arange(len(top)), "o", color=PALETTE[color])
    second.set_yticks(np.arange(len(top)), [name.replace("_", " ")[:48] for name in top["claim"]], fontsize=7)
    second.set_xlabel("seconds of its worker")
    panel_letter(second, "b", "The costliest claims")


def _whole(turns: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Medians of both commands' times, and of the ratios within pairs."""
    found: dict[str, Any] = {}
    for side in _COLOURS:
        calls = [turn[side] for turn in turns if side in turn]
        for column in ("wall", "processor"):
            value = round(float(np.median([call[column] for call in calls])), 1) if calls else None
            found[side + column] = value
        found[f"{side}claims"] = len(calls[-1]["seconds"]) if calls else None
    ratios = [turn[""]["wall"] / turn["earlier_"]["wall"] for turn in turns if "earlier_" in turn]
    return found | {"wall_ratio": round(float(np.median(ratios)), 3) if ratios else None}


def _seconds(turns: Sequence[Mapping[str, Mapping[str, Any]]], name: str) -> dict[str, float | None]:
    found = {}
    for side in _COLOURS:
        times = [
            turn[side]["seconds"][name] for turn in turns if name in turn.get(side, {}).get("seconds", {})
        ]
        found[f"{side}seconds"] = round(float(np.median(times)), 3) if times else None
    return found


def _verify(package: Path, claims: Sequence[str], seed: int, jobs: int) -> dict[str, Any]:
    """Wall and processor seconds of the command, and each claim's own."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "kdtheory", "verify", *claims, "--seed", str(seed)]
        command += ["--jobs", str(jobs), "--device", "cpu", "--json", "--out", out]
        before, start = _processor(), time.perf_counter()
        told = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=package,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(package)},
        )  # fmt: skip
        wall = time.perf_counter() - start
    if told.returncode not in (0, 1):
        raise ValueError(f"kdtheory verify of {package} failed: {told.stderr[-2000:]}")
    seconds = {row["name"]: row["seconds"] for row in json.loads(told.stdout)["findings"]}
    return {"wall": wall, "processor": _processor() - before, "seconds": seconds}


def _processor() -> float:
    """Processor seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _earlier(commit: str) -> Iterator[Path | None]:
    """A folder that holds the package as it was, or None where the history does not have it."""
    command = ["git", "-C", str(_ROOT), "archive", commit, "kdtheory"]
    try:
        archive = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:  # no git
        archive = None
    if archive is None or archive.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as package:
            package.extractall(folder, filter="data")
        yield Path(folder)
