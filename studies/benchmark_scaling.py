"""How time and memory grow with the number of points, and what more workers would bring.

*Growth* is the slope of the logarithm of seconds, or of megabytes, against that of the number of points, in
the tables of `benchmark_large_kernels`, `benchmark_rows` and `benchmark_certify`, with Student's interval for
it: of three sizes one degree of freedom is left, so that an interval is narrow only where the three lie on a
line. Memory below a megabyte at some size is no measurement, and has no slope.
*Workers* takes the processor seconds that every claim declares for the quick tier (its `cost`), and gives
them to 1, 2, 5, … workers, the longest group of claims that share rows first, as `kdtheory verify` does;
each task costs what `benchmark_cluster` measured. The longest group is a floor that no worker lowers.

To look at: which growth is 2 and which 1, and at how many workers a ledger gains no more.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kdtheory.claims import REGISTRY
from kdtheory.ledger import sharing_rows
from kdtheory.plots import PALETTE, panel_letter
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
PANELS = 2
CONFIG: dict[str, Any] = {"workers": (1, 2, 5, 10, 20, 50, 100)}
SMALL: dict[str, Any] = {"workers": (1, 2)}

_FIGURES = Path(__file__).parents[1] / "figures"
_GROWTH = {  # study, part: column of seconds, of megabytes
    ("benchmark_large_kernels", "in a file"): ("seconds", "memory_mb"),
    ("benchmark_large_kernels", "without the matrix"): ("seconds", "memory_mb"),
    ("benchmark_rows", "role check"): ("seconds", "memory_mb"),
    ("benchmark_certify", "certify"): ("seconds", "memory_mb"),
}
_RIVALS = {"in a file": "in memory", "without the matrix": "KernelRidge"}


def run(stream: Stream, *, workers: Sequence[int]) -> list[dict[str, Any]]:
    """Rows: kind, what of what, sizes and the exponent with its interval, or workers and the seconds.

    Args:
        stream: not used; nothing is drawn.
        workers: how many.
    """
    rows = []
    for (study, part), columns in _GROWTH.items():
        table = _table(study)
        for column, value in {"part": part, "dtype": "float32"}.items():
            table = table[table[column] == value] if column in table else table
        rows += [_growth(part, column, table) for column in columns]
        if part in _RIVALS:
            known = table[table["rival_seconds"].notna()]
            rows += [_growth(_RIVALS[part], f"rival_{column}", known) for column in columns]
    task = _table("benchmark_cluster").set_index("work")["cluster_seconds"]["task that does nothing"]
    return rows + [_spread(number, float(task)) for number in workers]


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Exponents with their intervals; seconds over workers."""
    growth = rows[(rows["kind"] == "growth") & rows["exponent"].notna()].iloc[::-1].reset_index(drop=True)
    spread = rows[rows["kind"] == "workers"]
    for place, one in growth.iterrows():
        axes[0].plot([one["low"], one["high"]], [place, place], color=PALETTE["blue"])
    axes[0].plot(growth["exponent"], growth.index, "o", color=PALETTE["blue"])
    axes[0].set_yticks(growth.index, growth["what"] + ", " + growth["of"])
    axes[0].set_xlim(-0.5, 4)
    axes[0].set_xlabel("exponent of n")
    divided = spread["seconds"].iloc[0] / spread["workers"]
    axes[1].plot(spread["workers"], spread["seconds"], "o-", color=PALETTE["blue"], label="verify, quick")
    axes[1].plot(spread["workers"], divided, ":", color=PALETTE["black"], label="all work divided")
    axes[1].axhline(spread["floor"].iloc[0], color=PALETTE["orange"], label="the longest group")
    axes[1].set_xscale("log")
    axes[1].set_yscale("log")
    axes[1].set_xlabel("workers")
    axes[1].set_ylabel("seconds")
    axes[1].legend()
    for ax, letter, title in zip(axes, "ab", ("Growth", "Workers"), strict=True):
        panel_letter(ax, letter, title)


def _table(study: str) -> pd.DataFrame:
    path = _FIGURES / study / "table.csv"
    if not path.is_file():
        raise ValueError(f"there is no {path}; run kdtheory study {study} first")
    return pd.read_csv(path)


def _growth(what: str, column: str, table: pd.DataFrame) -> dict[str, Any]:
    """The slope of the logarithms, with 95 %."""
    told = {
        "kind": "growth", "what": what, "of": column.removeprefix("rival_").removesuffix("_mb"),
        "sizes": " ".join(map(str, table["points"])),
        "values": " ".join(f"{value:g}" for value in table[column]),
    }  # fmt: skip
    if len(table) < 3 or (column.endswith("_mb") and table[column].min() < 1):
        return told
    x, y = (np.log(table[name].to_numpy(float)) for name in ("points", column))
    fit = stats.linregress(x, y)
    half = float(stats.t.isf(0.025, len(x) - 2)) * fit.stderr
    slopes = {"exponent": fit.slope, "low": fit.slope - half, "high": fit.slope + half}
    return told | {name: round(float(slope), 2) for name, slope in slopes.items()}


def _spread(workers: int, task: float) -> dict[str, Any]:
    """The longest first, each to the worker that is free first."""
    together = sharing_rows(list(REGISTRY.values()))
    groups = [task + sum(claim.cost for claim in group) for group in together]
    groups.sort(reverse=True)
    ends = [0.0] * workers
    for group in groups:
        heapq.heappush(ends, heapq.heappop(ends) + group)
    return {
        "kind": "workers", "what": "verify", "of": "seconds", "workers": workers, "tasks": len(groups),
        "seconds": round(max(ends), 1), "floor": round(groups[0], 1),
        "speedup": round(sum(groups) / max(ends), 2),
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False) + "\n")
