"""Learning curves over nested n: one Cholesky factor against separate solves.

Both sides are given the Gram matrix of all points (kernel of infinitely wide nets of two hidden layers), the
cross matrix to the fresh points and the targets, and return z_s, P_n² and ‖Δŵ_n‖² for every n. The rival
factorises the leading n × n block anew for each n and solves for the targets and all fresh points at once,
with torch's Cholesky and triangular solves and none of the library's checks; the checks are counted against
the library. The sides take turns in one process; times are medians over the repeats, ratios medians of the
ratios of the turns. `worst` is the largest difference between the two sides' z_s, relative to the largest
|z_s|.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.ntk import InfiniteMLP
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream
from kdtheory.transfer_risk import nested_students

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "most": (1000, 2000, 4000),
    "curve": 40,
    "fresh": 1000,
    "dim": 64,
    "dtypes": ("float64", "float32"),
    "repeats": 5,
}
SMALL: dict[str, Any] = CONFIG | {"most": (200, 400), "curve": 10, "fresh": 50, "repeats": 2}

Side = Callable[[], Tensor]


def run(
    stream: Stream,
    *,
    most: Sequence[int],
    curve: int,
    fresh: int,
    dim: int,
    dtypes: Sequence[str],
    repeats: int,
) -> list[dict[str, Any]]:
    """Rows: dtype, largest n; seconds of both sides, their ratio, and how far their values differ.

    Args:
        stream: where the points come from.
        most: the largest n of a curve.
        curve: how many nested n, equally spaced.
        fresh: points at which every student is evaluated.
        dim: of the points.
        dtypes: precisions.
        repeats: turns of each side, after one to warm up.
    """
    rows = []
    for name in dtypes:
        for largest in most:
            sides = _sides(stream, largest, curve, fresh, dim, getattr(torch, name))
            nested, separate = (side() for side in sides)
            worst = float((nested - separate).abs().max() / separate.abs().max())
            times = np.array([[_clocked(side) for side in sides] for _ in range(repeats)])
            ours, rival = np.median(times, axis=0)
            ratio = float(np.median(times[:, 1] / times[:, 0]))
            facts = {"dtype": name, "most": largest, "curve": curve, "fresh": fresh, "repeats": repeats}
            found = {"one_factor_s": ours, "separate_s": rival, "ratio": ratio, "worst": worst}
            rows.append(facts | {key: float(f"{value:.4g}") for key, value in found.items()})
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The ratio over the largest n."""
    colors = (PALETTE["blue"], PALETTE["orange"])
    for color, (name, line) in zip(colors, rows.groupby("dtype", sort=False), strict=False):
        ax.plot(line["most"], line["ratio"], "o-", color=color, label=name)
    ax.axhline(1, color=PALETTE["black"], linewidth=1)
    ax.set_ylim(0, None)
    ax.set_xticks(rows["most"].unique(), [f"{n:,}" for n in rows["most"].unique()])
    ax.set_xlabel(f"largest of {rows['curve'].iloc[0]} nested $n$")
    ax.set_ylabel("time of separate solves / time of one factor")
    legend_above(ax, columns=2)


def _sides(
    stream: Stream, largest: int, curve: int, fresh: int, dim: int, dtype: torch.dtype
) -> tuple[Side, Side]:
    points = torch.randn(largest + fresh, dim, dtype=dtype, generator=stream.child(largest).torch())
    kernel = InfiniteMLP(2, weight_std=2**0.5)
    gram, cross = kernel(points[:largest]), kernel(points[:largest], points[largest:])
    diagonal, targets = kernel.diagonal(points[largest:]), points[:largest, 0]
    sizes = [largest * (part + 1) // curve for part in range(curve)]

    def nested() -> Tensor:
        return nested_students(gram, targets, cross, diagonal, sizes=sizes).outputs[..., 0]

    def separate() -> Tensor:
        return torch.stack([_student(gram[:n, :n], targets[:n], cross[:n], diagonal) for n in sizes])

    return nested, separate


def _student(gram: Tensor, targets: Tensor, cross: Tensor, diagonal: Tensor) -> Tensor:
    """z_s of one n; the power function and the norm are computed too, and dropped."""
    factor = torch.linalg.cholesky(gram)
    solved = torch.linalg.solve_triangular(factor, torch.cat([targets[:, None], cross], 1), upper=False)
    whitened, rest = solved[:, 0], solved[:, 1:]
    diagonal - torch.linalg.vector_norm(rest, dim=0).square()
    whitened.square().sum()
    return rest.mT @ whitened


def _clocked(side: Side) -> float:
    start = time.perf_counter()
    side()
    return time.perf_counter() - start
