"""Rademacher complexity by sampling against the matrix product that it cannot do without.

The library draws signs, multiplies them with the class, takes suprema and returns the mean with its interval;
the rival multiplies signs of the same size, made beforehand, with the same numbers laid out beforehand, and
stops there. A class is finite (functions × points), of linear maps in an ℓ2 ball (points × dimensions), or of
linear maps to 10 outputs, with signs for each output. The sides take turns in one process; times are medians
over the repeats, ratios medians of the ratios of the turns. The table has the estimate with its 95 % interval
too.

To look at: the ratio is close to 1 where the product is large, and grows where a sign meets few numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.bounds import finite_class, linear_class, sampled_rademacher, vector_linear_class
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream

CLAIMS = ("sampled_rademacher_complexity_agrees_with_enumeration",)
CONFIG: dict[str, Any] = {
    "points": 1000,
    "widths": (64, 256, 1024, 4096),
    "draws": 4000,
    "dtypes": ("float64", "float32"),
    "repeats": 7,
}
SMALL: dict[str, Any] = CONFIG | {"points": 100, "widths": (16, 64), "draws": 200, "repeats": 2}

_OUTPUTS = 10
_STYLES = {"finite class": ("blue", "o"), "linear maps": ("orange", "s"), "10 outputs": ("green", "^")}

Supremum = Callable[[Tensor], Tensor]


def run(
    stream: Stream, *, points: int, widths: Sequence[int], draws: int, dtypes: Sequence[str], repeats: int
) -> list[dict[str, Any]]:
    """Rows: class, dtype, width; seconds of both sides, their ratio; the estimate and its interval.

    Args:
        stream: where classes and signs come from.
        points: n.
        widths: how many functions there are, or dimensions.
        draws: sign vectors; a tenth as many for 10 outputs.
        dtypes: precisions.
        repeats: turns of each side, after one to warm up.
    """
    rows = []
    for name in dtypes:
        for width in widths:
            generator = stream.child("class", width).torch()
            table = torch.randn(points, width, dtype=getattr(torch, name), generator=generator)
            for kind, (supremum, signs, count) in _classes(table, draws).items():
                own = stream.child("signs", width)
                settings = {"draws": count, "stream": own, "points": points, "dtype": table.dtype}
                rival = torch.ones(count * signs // points, points, dtype=table.dtype)
                found = sampled_rademacher(supremum, signs, **settings)
                _product(rival, table)
                times = np.array(
                    [
                        (
                            _clocked(lambda s=supremum, k=signs, o=settings: sampled_rademacher(s, k, **o)),
                            _clocked(lambda r=rival, t=table: _product(r, t)),
                        )
                        for _ in range(repeats)
                    ]
                )
                ours, bare = np.median(times, axis=0)
                facts = {"class": kind, "dtype": name, "points": points, "width": width, "draws": count}
                figures = {
                    "sampled_s": ours,
                    "product_s": bare,
                    "ratio": np.median(times[:, 0] / times[:, 1]),
                    "complexity": found.value,
                    "low": found.low,
                    "high": found.high,
                }
                rows.append(facts | {key: float(f"{value:.4g}") for key, value in figures.items()})
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The ratio over the width of the class."""
    for (kind, dtype), line in rows.groupby(["class", "dtype"], sort=False):
        color, marker = _STYLES[kind]
        style = "-" if dtype == "float64" else "--"
        ax.plot(line["width"], line["ratio"], marker + style, color=PALETTE[color], label=f"{kind}, {dtype}")
    ax.axhline(1, color=PALETTE["black"], linewidth=1)
    ax.set_xscale("log")
    ax.set_xticks(rows["width"].unique(), [f"{width:,}" for width in rows["width"].unique()])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.set_xlabel("functions, or dimensions")
    ax.set_ylabel("time of the estimate / time of the product")
    legend_above(ax, columns=2)


def _classes(table: Tensor, draws: int) -> dict[str, tuple[Supremum, int, int]]:
    """Each class's supremum, how many signs it takes, and how many vectors of them are drawn."""
    points = len(table)
    return {
        "finite class": (finite_class(table.T), points, draws),
        "linear maps": (linear_class(table, radius=1.0), points, draws),
        "10 outputs": (
            vector_linear_class(table, radius=1.0, outputs=_OUTPUTS), points * _OUTPUTS, draws // _OUTPUTS
        ),
    }  # fmt: skip


def _product(signs: Tensor, table: Tensor) -> Tensor:
    return signs @ table


def _clocked(side: Callable[[], object]) -> float:
    start = time.perf_counter()
    side()
    return time.perf_counter() - start
