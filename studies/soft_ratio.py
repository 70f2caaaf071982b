"""The soft ratio: data inefficiency of soft and hard labels, and the best ratio with an imperfect teacher.

Students are the kernel's smoothest functions through the effective logits of soft ratio ρ at T = 1 (kernel of
infinitely wide nets of two hidden layers). a: data inefficiency I(n), the exponent with which the student's
norm still grows, of a perfect teacher in six dimensions, means over 25 neighbouring n. b, c: transfer risk
over ρ when the teacher is wrong on a share of the points, students of 100 points in six dimensions, and of
200 digits taught by a net; means over draws with 95 % intervals; stars mark the best ρ. Below ρ = ½ a hard
label overrules every wrong teacher. To look at: with a perfect teacher the students of soft labels grow
least, and ρ = 1 is best in six dimensions (on digits ρ hardly matters); with a teacher that errs all ratios
up to about ½ are far better than ρ = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdtheory.experiments import Run
from kdtheory.experiments.transfer_risk.inefficiency import (
    KERNEL,
    gaussian_points,
    image_teacher,
    smooth_teacher,
)
from kdtheory.ntk.effective_logits import effective_logits
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.stats import mean_test
from kdtheory.streams import Stream
from kdtheory.transfer_risk import data_inefficiency, flipped_teacher, nested_students, transfer_risk

CLAIMS = ("soft_labels_are_less_data_inefficient", "hard_labels_correct_an_imperfect_teacher")
CONFIG: dict[str, Any] = {
    "ratios": (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "shown": (0.02, 0.2, 0.5, 1.0),
    "shares": (0.0, 0.1, 0.2, 0.3),
    "draws": 24,
    "groups": 12,
    "orders": 12,
    "most": 250,
}
SMALL: dict[str, Any] = {
    "ratios": (0.05, 0.5, 1.0),
    "shown": (0.05, 1.0),
    "shares": (0.0, 0.2),
    "draws": 4,
    "groups": 3,
    "orders": 3,
    "most": 60,
}
PANELS = 3

_COLORS = (PALETTE["black"], PALETTE["blue"], PALETTE["green"], PALETTE["vermillion"])
_RATIO_COLORS = (PALETTE["orange"], PALETTE["purple"], PALETTE["sky"], "0.4")
_WINDOW = 25


def run(
    stream: Stream,
    *,
    ratios: Sequence[float],
    shown: Sequence[float],
    shares: Sequence[float],
    draws: int,
    groups: int,
    orders: int,
    most: int,
) -> list[dict[str, Any]]:
    """Rows: part, soft ratio, n or share of wrong points; mean with interval.

    Args:
        stream: where the draws come from.
        ratios: ρ over which the risk is taken.
        shown: ρ whose inefficiency is taken.
        shares: how often the teacher is wrong.
        draws: training sets for the risk.
        groups: oracles for the inefficiency, one value of I each.
        orders: orders of the points over which E‖Δŵ_n‖ is taken.
        most: the largest n of the inefficiency.
    """
    rows = []
    windows = [_inefficiency(stream.child("groups", group), shown, orders, most) for group in range(groups)]
    table = torch.stack(windows)  # groups × windows × ratios
    for place, rho in enumerate(shown):
        for window in range(table.shape[1]):
            n = _WINDOW * window + _WINDOW // 2 + 1
            rows.append(_row("inefficiency", rho, table[:, window, place], n=n))
    for world in ("six dimensions", "images"):
        for share in shares:
            own = stream.child("risk", world)
            found = torch.stack([_risks(own, world, draw, share, ratios) for draw in range(draws)])
            rows += [_row(world, rho, found[:, i], share=share) for i, rho in enumerate(ratios)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Inefficiency over n; risk over the soft ratio in both worlds."""
    part = rows[rows["part"] == "inefficiency"]
    for color, (rho, line) in zip(_RATIO_COLORS, part.groupby("soft_ratio"), strict=False):
        drawn = line["n"], line["mean"], line["low"], line["high"]
        band(axes[0], *drawn, color=color, label=rf"$\rho$ = {rho:g}")
    counts_axis(axes[0], part["n"], label="points seen $n$")
    axes[0].set_xticks(part["n"].unique()[::2])
    axes[0].set_xscale("linear")
    axes[0].set_ylabel("data inefficiency $I(n)$")
    for ax, world in zip(axes[1:], ("six dimensions", "images"), strict=True):
        for color, (share, line) in zip(_COLORS, rows[rows["part"] == world].groupby("share"), strict=False):
            drawn = line["soft_ratio"], line["mean"], line["low"], line["high"]
            band(ax, *drawn, color=color, label=f"teacher wrong on {share:.0%}")
            best = line.loc[line["mean"].idxmin()]
            ax.plot(best["soft_ratio"], best["mean"], "*", color=color, markersize=9, zorder=5)
        ax.axvline(0.5, color="0.6", linewidth=1, zorder=0, label=r"$\rho$ = ½")
        ax.plot([], [], "*", color="0.4", markersize=9, label="least risk")
        ax.set_xlabel(r"soft ratio $\rho$, the weight of the teacher")
        ax.set_ylabel("transfer risk")
    titles = ("a perfect teacher", "six dimensions, $n$ = 100", "digits, $n$ = 200")
    for ax, letter, title in zip(axes, "abc", titles, strict=True):
        panel_letter(ax, letter, title)
    legend_above(axes[0], axes[1], columns=4)


def _inefficiency(stream: Stream, shown: Sequence[float], orders: int, most: int) -> Tensor:
    """I(n), a mean over windows of n, for each soft ratio."""
    points = gaussian_points(2 * most, stream.child("points"))
    teacher = smooth_teacher(stream)(points)
    labels = (teacher > 0).long()
    targets = torch.stack([effective_logits(teacher, labels, soft_ratio=rho) for rho in shown], 1)
    gram, diagonal, norms = KERNEL(points), KERNEL.diagonal(points[:1]), []
    for order in range(orders):
        rows = torch.randperm(len(points), generator=stream.child("order", order).torch())[:most]
        students = nested_students(
            gram[rows][:, rows], targets[rows], gram[rows][:, :1], diagonal, sizes=range(1, most + 1)
        )
        norms.append(students.squared_norms.sqrt())
    grown = torch.stack([data_inefficiency(own) for own in torch.stack(norms).unbind(-1)], 1)
    whole = len(grown) // _WINDOW * _WINDOW
    return grown[:whole].unflatten(0, (-1, _WINDOW)).mean(1)


def _risks(stream: Stream, world: str, draw: int, share: float, ratios: Sequence[float]) -> Tensor:
    """R_n for each soft ratio."""
    own = stream.child(draw)
    if world == "images":
        points, oracle = image_teacher(Run(stream.child("net", draw)), most=800)
        n = 200
    else:
        points, n = gaussian_points(500, own.child("points")), 100
        oracle = smooth_teacher(own)(points)
    teacher = flipped_teacher(oracle[:n], share=share, stream=own.child("flipped"))
    labels = (oracle[:n] > 0).long()
    targets = torch.stack([effective_logits(teacher, labels, soft_ratio=rho) for rho in ratios], 1)
    gram = KERNEL(points)
    students = nested_students(gram[:n, :n], targets, gram[:n, n:], gram.diagonal()[n:], sizes=(n,))
    return transfer_risk(students.outputs[0].mT, oracle[n:].expand(len(ratios), -1))


def _row(part: str, rho: float, values: Tensor, **facts: float) -> dict[str, Any]:
    test = mean_test(values.numpy())
    low, high = test.interval()
    return (
        {"part": part, "soft_ratio": rho, "n": None, "share": None}
        | facts
        | {"mean": test.mean, "low": low, "high": high, "trials": len(values)}
    )
