"""How figures look: one palette that survives colour blindness, points and bands with their intervals.

A figure is as wide as a column of text, 16 cm, and its letters have at least 7 points there: panels stand two
in a row, the key of all of them above, or in the place that an odd number of panels leaves.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

from kdtheory.doors import gate

__all__ = [
    "PALETTE",
    "SMALLEST",
    "STYLE",
    "WIDTH",
    "band",
    "certificates_figure",
    "counts_axis",
    "draw_certificates",
    "in_digits",
    "legend_above",
    "panel_letter",
    "panels",
    "points",
    "text_sizes",
]

WIDTH = 16 / 2.54
"""The size of a figure, in inches."""
SMALLEST = 7.0
"""Points of the smallest letters at that width."""
STYLE: Any = {
    "font.size": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
"""The common settings of all figures."""

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


@gate
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


@gate
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


@gate
def counts_axis(ax: Axes, counts: ArrayLike, /, *, label: str) -> Axes:
    """A logarithmic x-axis of counts: a tick at every one of `counts` and nowhere else; 30k is 30,000."""
    ticks = np.unique(counts)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{c // 1000}k" if c >= 10_000 and c % 1000 == 0 else f"{c:,}" for c in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=0)
    ax.set_xlabel(label)
    return ax


@gate
def panel_letter(ax: Axes, letter: str, title: str, /) -> Axes:
    """`letter` in bold and the panel's title, at its upper left."""
    ax.set_title(rf"$\bf{{{letter}}}$  {title}", loc="left", fontsize="medium")
    return ax


@gate
def panels(
    number: int, /, *, rows: int | None = None, size: tuple[float, float] | None = None
) -> tuple[Figure, Any]:
    """A figure of so many panels and their axes (one, or an array of them); two in a row unless it is said.

    Args:
        number: of panels.
        rows: how many rows they stand in.
        size: width and height in inches; 16 cm and what the rows need.
    """
    lines = rows or math.ceil(number / 2)
    columns = math.ceil(number / lines)
    figure = Figure(figsize=size or (WIDTH, 3.9 if number == 1 else 2.9 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for spare in axes[number:]:
        spare.set_axis_off()
    return figure, axes[0] if number == 1 else axes[:number]


@gate
def text_sizes(figure: Figure, /) -> Iterator[tuple[str, float]]:
    """Every text that is shown, and its size in points where the figure is 16 cm wide.

    Sub- and superscripts of formulas are smaller by 0.7, as in print.
    """
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip():
            yield text.get_text(), float(text.get_fontsize()) * WIDTH / figure.get_figwidth()


@gate
def legend_above(ax: Axes, /, *others: Axes, columns: int) -> Axes:
    """One key for the whole figure, in the place of a panel that is not there, or above: it covers no data.

    A figure with constrained layout makes room for it.

    Args:
        ax, others: whose labels are shown.
        columns: at most so many; fewer where they would be wider than the figure.
    """
    told = [pair for one in (ax, *others) for pair in zip(*one.get_legend_handles_labels(), strict=True)]
    handles, labels = zip(*told, strict=True)
    figure = ax.get_figure(root=True)
    assert figure is not None
    if spare := [one for one in figure.axes if not one.axison]:
        spare[0].legend(handles, labels, loc="center", frameon=False)
        return ax
    for number in range(max(1, min(columns, len(labels))), 0, -1):
        key = figure.legend(handles, labels, loc="outside upper center", ncols=number, frameon=False)
        if number == 1 or key.get_window_extent().width <= 0.98 * figure.bbox.width:
            break
        key.remove()
    return ax


@gate
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
        mine = "the hold-out's"
        ax.axvline(
            totals["holdout"], color=PALETTE["black"], linestyle="--", linewidth=1, zorder=1, label=mine
        )
    for place, row in enumerate(rows.values()):
        _draw_bound(ax, place, row, low)
    ax.scatter([], [], color=PALETTE["blue"], label="certificate")
    if "heuristic" in set(frame["kind"]):
        ax.scatter([], [], facecolors="white", edgecolors=PALETTE["orange"], label="heuristic")
    ax.scatter([], [], marker="|", color="0.3", label="a term of it")
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
    note, side = (
        f"{in_digits(value)}: mostly {row['term'].iloc[int(terms.argmax())]}",
        ("axes fraction", "data"),
    )
    ax.annotate(note, (1, place), (8, 0), side, "offset points", va="center", fontsize="small")


@gate
def in_digits(value: float, /) -> str:
    """A number with three digits; a large one by its power of ten, as it is typeset.

    >>> in_digits(0.0915), in_digits(4130), in_digits(1.77e14)
    ('0.0915', '4,130', '$1.77\\\\cdot10^{14}$')
    """
    if abs(value) < 1e5:
        return f"{float(f'{value:.3g}'):,.6g}"
    digits, power = f"{value:.2e}".split("e")
    return rf"${digits}\cdot10^{{{int(power)}}}$"


@gate
def certificates_figure(
    frame: pd.DataFrame, /, *, form: str, label: str = "the teacher's error is at most"
) -> bytes:
    """`draw_certificates` as a file: "svg", "png" or "pdf"; `label` is that of the axis."""
    with mpl.rc_context(STYLE):
        figure, ax = panels(1, size=(WIDTH, 1.6 + 0.25 * frame["line"].nunique()))
        draw_certificates(ax, frame).set_xlabel(label)
        legend_above(ax, columns=4)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, dpi=200)
    return buffer.getvalue()
