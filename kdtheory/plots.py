"""How figures look: one palette that survives colour blindness, points and bands with their intervals."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

__all__ = [
    "PALETTE",
    "band",
    "certificates_figure",
    "counts_axis",
    "draw_certificates",
    "legend_above",
    "panel_letter",
    "points",
]

PALETTE = {
    "black": "#000000",
    "blue": "#0072B2",
    "green": "#009E73",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "vermillion": "#D55E00",
    "yellow": "#F0E442",
}
"""The eight colours of Okabe and Ito, *Color Universal Design* (2008)."""


def points(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    /,
    *,
    color: str,
    marker: str = "o",
    label: str | None = None,
) -> Axes:
    """Measured points with the interval [low, high] of each, hollow so that a line behind them shows."""
    ax.vlines(x, low, high, color=color, linewidth=1.2, zorder=3)
    ax.plot(x, y, marker, color=color, markerfacecolor="white", markersize=4.5, zorder=4, label=label)
    return ax


def band(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    /,
    *,
    color: str,
    marker: str = "o",
    linestyle: str = "-",
    label: str | None = None,
) -> Axes:
    """A line through measured points, in the band between `low` and `high`."""
    ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(x, y, marker + linestyle, color=color, markersize=4.5, linewidth=1.4, label=label)
    return ax


def counts_axis(ax: Axes, counts: ArrayLike, /, *, label: str) -> Axes:
    """A logarithmic x-axis of counts: a tick at every one of `counts` and nowhere else; 30k is 30,000."""
    ticks = np.unique(counts)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{c // 1000}k" if c >= 10_000 and c % 1000 == 0 else f"{c:,}" for c in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=0)
    ax.set_xlabel(label)
    return ax


def panel_letter(ax: Axes, letter: str, title: str, /) -> Axes:
    """`letter` in bold and the panel's title, at its upper left."""
    ax.set_title(rf"$\bf{{{letter}}}$  {title}", loc="left", fontsize="medium")
    return ax


def legend_above(ax: Axes, /, *, columns: int) -> Axes:
    """One legend for the whole figure, above its panels, where it covers no data.

    Takes the labels of `ax`; a figure with constrained layout makes room for it.
    """
    handles, labels = ax.get_legend_handles_labels()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
    return ax


def draw_certificates(ax: Axes, frame: pd.DataFrame, /) -> Axes:
    """Bounds on one error on a logarithmic axis, a row each: certificates filled, heuristics hollow.

    From 1 on, where a bound says nothing, the ground is shaded; a dashed line is the hold-out's. Each row has
    ticks at the sizes of its terms and, in a column to the right of the axes, its value and its largest term.

    Args:
        ax: where to draw.
        frame: of `Certificates.to_frame()`.
    """
    rows = dict(iter(frame.groupby("line", sort=False)))
    totals = {name: float(row["value"].iloc[-1]) for name, row in rows.items()}
    low = 0.5 * max(1e-4, min(frame.loc[frame["value"] > 0, "value"].min(), 1.0))
    largest = max(100.0, *totals.values())  # room for the two words
    high = largest * (largest / low) ** 0.05
    ax.set_xscale("log")
    ax.axvspan(1, high, color="0.92", zorder=0)
    ax.text(1.1, len(rows) - 0.35, "says nothing", color="0.4", fontsize="small", va="center")
    if "holdout" in totals:
        ax.axvline(totals["holdout"], color=PALETTE["black"], linestyle="--", linewidth=1, zorder=1)
    for place, row in enumerate(rows.values()):
        _draw_bound(ax, place, row, low)
    ax.set_yticks(range(len(rows)), [_row_name(str(name), row) for name, row in rows.items()])
    ax.set_ylim(len(rows), -0.7)
    ax.set_xlim(low, high)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("the teacher's error is at most")
    return ax


def _row_name(name: str, row: pd.DataFrame) -> str:
    return name.replace("_", " ") + (", heuristic" if row["kind"].iloc[0] == "heuristic" else "")


def _draw_bound(ax: Axes, place: int, row: pd.DataFrame, low: float) -> None:
    certified = row["kind"].iloc[0] == "certificate"
    color = PALETTE["blue"] if certified else PALETTE["orange"]
    value, terms = float(row["value"].iloc[-1]), row["value"].iloc[:-1]
    ax.hlines(place, low, value, color=color, alpha=0.35, linewidth=5, zorder=2)
    ax.plot(terms[terms > 0], [place] * int((terms > 0).sum()), "|", color=color, markersize=9, zorder=3)
    ax.plot(value, place, "o", color=color, markerfacecolor=color if certified else "white", zorder=4)
    note, side = f"{value:.3g}: mostly {row['term'].iloc[int(terms.argmax())]}", ("axes fraction", "data")
    ax.annotate(note, (1, place), (8, 0), side, "offset points", va="center", fontsize="small")


def certificates_figure(
    frame: pd.DataFrame, /, *, form: str, label: str = "the teacher's error is at most"
) -> bytes:
    """`draw_certificates` as a file: "svg", "png" or "pdf"; `label` is that of the axis."""
    figure = Figure(figsize=(9, 1.2 + 0.35 * frame["line"].nunique()), layout="constrained")
    draw_certificates(figure.subplots(), frame).set_xlabel(label)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=150)
    return buffer.getvalue()
