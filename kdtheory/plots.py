"""How figures look: one palette that survives colour blindness, points and bands with their intervals."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

__all__ = ["PALETTE", "band", "counts_axis", "legend_above", "panel_letter", "points"]

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
    """A logarithmic x-axis of counts, with a tick at every one of `counts` and nowhere else."""
    ticks = np.unique(counts)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{count:,}" for count in ticks])
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
