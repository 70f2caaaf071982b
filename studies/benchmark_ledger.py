"""The quick ledger: time of all claims against that of an earlier commit.

`kdtheory verify` at the quick tier by this package and by the one at the commit named, which is taken from
the repository's history into a temporary folder; where there is none, its columns are empty. Sides take
turns, in processes of their own, with the same Python, seed and number of jobs, each after a first run of one
claim that compiles what is compiled. A claim's *seconds* are medians over the pairs, by the clock of its
worker; *wall* and *processor* are those of the whole command, the latter of the processes that it waited for.
Each side has the claims of its own time.

A *common* claim is in both ledgers, under one name; *common_ratio* is that of the sums of their seconds.

To look at: the whole of today's claims in less time than the fewer of then, the common ones in half of
theirs, and no claim takes long beside the rest.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _earlier import earlier

import kdtheory
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
SIZE = (16 / 2.54, 6.0)
CONFIG: dict[str, Any] = {"claims": (), "jobs": 2, "pairs": 3, "commit": "2487e95"}
SMALL: dict[str, Any] = CONFIG | {"claims": ("softmax_confidence_is_lipschitz",), "jobs": 1, "pairs": 1}

_COLOURS = {"": "blue", "earlier_": "orange"}
_WARMS = "training_the_average_is_not_an_ensemble"
_SHOWN = 20


def run(stream: Stream, *, claims: Sequence[str], jobs: int, pairs: int, commit: str) -> list[dict[str, Any]]:
    """Rows: claim, its seconds on both sides, the times of both commands with the median of their ratios, and
    the ratio over the claims that both have.

    Args:
        stream: its seed is the ledger's.
        claims: which; none for all.
        jobs: processes of each command.
        pairs: turns of each side.
        commit: of the earlier package.
    """
    with earlier(commit) as folder:
        sides = {"": Path(kdtheory.__file__).parents[1]} | ({"earlier_": folder} if folder else {})
        for package in sides.values():
            _verify(package, [_WARMS], stream.seed, jobs)
        turns = [
            {side: _verify(package, claims, stream.seed, jobs) for side, package in sides.items()}
            for _ in range(pairs)
        ]
    facts = {"jobs": jobs, "pairs": pairs, "earlier": commit if folder else "none"} | _whole(turns)
    rows = [{"claim": name, **_seconds(turns, name)} for name in turns[0][""]["seconds"]]
    common = [(row["seconds"], row["earlier_seconds"]) for row in rows if row["earlier_seconds"] is not None]
    own, earlier_sum = np.sum(common, axis=0) if common else (0.0, 0.0)
    facts |= {"common": len(common), "common_ratio": round(own / earlier_sum, 3) if common else None}
    return [row | facts for row in rows]


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The costliest claims of both sides, and in the key wall and processor time of the whole ledgers."""
    top = rows.sort_values("seconds", ascending=False).head(_SHOWN)[::-1]
    whole = rows.iloc[0]
    for side, color in _COLOURS.items():
        name = f"commit {whole['earlier']}" if side else "this package"
        if (wall := whole[f"{side}wall"]) == wall and wall is not None:
            times = f"{wall:.0f} s, {whole[f'{side}processor']:.0f} s of processors"
            name += f", {whole[f'{side}claims']:.0f} claims: {times}"
        ax.plot(
            top[f"{side}seconds"].astype(float), np.arange(len(top)), "o", color=PALETTE[color], label=name
        )
    names = [textwrap.shorten(name.replace("_", " "), 46, placeholder=" …") for name in top["claim"]]
    ax.set_yticks(np.arange(len(top)), names, fontsize=7.5)
    ax.set_xlabel("seconds of a claim")
    ax.set_xlim(left=0)
    legend_above(ax, columns=1)


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
