"""Certificates from logits: processor time and memory against those of an earlier commit.

`certify_logits` with the logits of teacher and student on n labelled and on n unlabelled points, 10 classes,
by this package and by the one at the commit named, which is taken from the repository's history into a
temporary folder; where there is none, its columns are empty. Each call has a process of its own, one thread,
the same Python and the same data, after a call on 500 points that loads what is compiled. Sides take turns;
times, memory and their ratios are medians over the turns. Memory is what the call holds at most beyond the
level before it, when the data are there already. *Line* and *bound* are the best certificate.

To look at: at a million points the time is far below four tenths of the earlier one's, and memory below half.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _earlier import earlier

import kdtheory
from kdtheory.plots import PALETTE, counts_axis, legend_above, panel_letter
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
PANELS = 2
CONFIG: dict[str, Any] = {
    "points": (10_000, 100_000, 1_000_000),
    "classes": 10,
    "dtypes": ("float32", "float64"),
    "repeats": 3,
    "commit": "2487e95",
}
SMALL: dict[str, Any] = CONFIG | {"points": (1000,), "dtypes": ("float32",), "repeats": 1}

_COLOURS = {"": "blue", "earlier_": "orange"}
_STYLES = {"float32": "o-", "float64": "s--"}


def run(
    stream: Stream, *, points: Sequence[int], classes: int, dtypes: Sequence[str], repeats: int, commit: str
) -> list[dict[str, Any]]:
    """Rows: n and type of number; seconds, memory and best certificate of both sides, and the ratios.

    Args:
        stream: where logits and labels come from.
        points: n, of labelled and of unlabelled points each.
        classes: k.
        dtypes: types of number of the logits.
        repeats: turns of each side.
        commit: of the earlier package.
    """
    rows = []
    with earlier(commit) as folder, tempfile.TemporaryDirectory() as place:
        sides = {"": Path(kdtheory.__file__).parents[1]} | ({"earlier_": folder} if folder else {})
        for n in points:
            for dtype in dtypes:
                data = _data(stream.child(n), n, classes, dtype)
                np.savez(Path(place) / "data.npz", **data)
                turns = [
                    {side: _call(package, Path(place) / "data.npz") for side, package in sides.items()}
                    for _ in range(repeats)
                ]
                megabytes = sum(array.nbytes for array in data.values()) / 1e6
                facts = {"points": n, "classes": classes, "dtype": dtype, "data_mb": round(megabytes, 2)}
                rows.append(facts | _figures(turns) | {"earlier": f"commit {commit}" if folder else "none"})
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Processor time and memory over the number of points, of both sides."""
    panels = {"seconds": ("Time", "processor time (s)"), "memory_mb": ("Memory", "beyond the data (MB)")}
    for ax, letter, (column, (title, label)) in zip(axes, "ab", panels.items(), strict=True):
        for dtype, line in rows.groupby("dtype", sort=False):
            for side, color in _COLOURS.items():
                values = line[side + column].astype(float)
                name = f"{line['earlier'].iloc[0] if side else 'this package'}, {dtype}"
                if values.notna().any():
                    ax.plot(line["points"], values, _STYLES[dtype], color=PALETTE[color], label=name)
        ax.set_yscale("log" if rows[column].min() > 0 else "linear")
        ax.set_ylabel(label)
        counts_axis(ax, rows["points"], label="labelled points, and as many unlabelled ones")
        panel_letter(ax, letter, title)
    legend_above(axes[0], columns=2)


def _data(stream: Stream, n: int, classes: int, dtype: str) -> dict[str, np.ndarray]:
    """A teacher that is right at seven points in ten, about, and a student that says nearly the same."""
    generator = stream.numpy()
    labels = generator.integers(0, classes, n)
    teacher, unlabelled = generator.standard_normal((2, n, classes))
    teacher[np.arange(n), labels] += 2.5
    unlabelled[np.arange(n), generator.integers(0, classes, n)] += 2.5
    logits = {"teacher": teacher, "teacher_unlabelled": unlabelled}
    for name, table in {"student_logits": teacher, "student_unlabelled": unlabelled}.items():
        logits[name] = table + 0.2 * generator.standard_normal((n, classes))
    return {"labels": labels} | {name: table.astype(dtype) for name, table in logits.items()}


def _figures(turns: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Medians over the turns, and what the last one says."""
    found: dict[str, Any] = {}
    for side in _COLOURS:
        calls = [turn[side] for turn in turns if side in turn]
        for key, column, unit, digits in (("seconds", "seconds", 1, 3), ("memory", "memory_mb", 1e6, 1)):
            middle = round(float(np.median([call[key] for call in calls])) / unit, digits) if calls else None
            found[side + column] = middle
        for key in ("line", "bound"):
            found[side + key] = calls[-1][key] if calls else None
    for key in ("seconds", "memory"):
        ratios = [turn[""][key] / turn["earlier_"][key] for turn in turns if "earlier_" in turn]
        found[f"{key}_ratio"] = round(float(np.median(ratios)), 4) if ratios else None
    return found


def _call(package: Path, data: Path) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("_certify_logits.py")), str(package), str(data)]
    told = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if told.returncode:
        raise ValueError(f"certify_logits of {package} failed: {told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])
