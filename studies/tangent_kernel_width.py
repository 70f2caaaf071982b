"""Tangent kernels of random nets against the closed form of infinite width, over the width.

The relative Frobenius distance of the Gram matrices of eight points in five dimensions; nets with two hidden
layers in NTK parameterisation, and in the standard one as the control. Bands are 95 % intervals of the mean
over nets. To look at: the distance falls like one over the root of the width, for ReLU and for erf; in the
standard parameterisation, whose kernel grows with the width, it does not fall at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kdtheory.experiments.ntk.width import (
    ERF,
    RELU,
    empirical_kernels,
    infinite_kernel,
    relative_distance,
    scales_applied,
    scales_drawn,
    sphere,
)
from kdtheory.plots import PALETTE, band, counts_axis, legend_above
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = ("empirical_kernels_tend_to_the_infinite_one",)
CONFIG: dict[str, Any] = {"widths": (32, 64, 128, 256, 512, 1024, 2048), "draws": 40}
SMALL: dict[str, Any] = {"widths": (16, 32, 64), "draws": 10}

_LAWS = {"relu": RELU, "erf": ERF}
_PARAMETERISATIONS = {"ntk": scales_applied, "standard": scales_drawn}
_LINES = {
    ("relu", "ntk"): ("blue", "o", "ReLU"),
    ("erf", "ntk"): ("orange", "s", "erf"),
    ("relu", "standard"): ("gray", "^", "ReLU, standard parameterisation"),
}


def run(stream: Stream, *, widths: Sequence[int], draws: int) -> list[dict[str, Any]]:
    """Rows: activation, parameterisation, width, mean relative distance with its interval, nets.

    Args:
        stream: of points and nets.
        widths: of both hidden layers.
        draws: nets of each width.
    """
    points, rows = sphere(8, 5, stream.child("points")), []
    for activation, parameterisation in _LINES:
        law, limit = _LAWS[activation], infinite_kernel(points, _LAWS[activation])
        for width in widths:
            kernels = empirical_kernels(points, width, stream.child("nets", width), law=law, nets=draws,
                                        parameterisation=_PARAMETERISATIONS[parameterisation])  # fmt: skip
            test = mean_test(relative_distance(kernels, limit).numpy())
            low, high = test.interval()
            rows.append({"activation": activation, "parameterisation": parameterisation, "width": width,
                         "distance": test.mean, "low": low, "high": high, "nets": draws})  # fmt: skip
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """Distance over width, with a line of slope −1/2."""
    for (activation, parameterisation), (color, marker, label) in _LINES.items():
        part = rows[(rows["activation"] == activation) & (rows["parameterisation"] == parameterisation)]
        band(ax, part["width"], part["distance"], part["low"], part["high"],
             color=PALETTE.get(color, color), marker=marker, label=label)  # fmt: skip
    first = rows[rows["parameterisation"] == "ntk"].iloc[0]
    widths = rows["width"].unique()
    ax.plot(widths, first["distance"] * (first["width"] / widths) ** 0.5, ":", color=PALETTE["black"],
            label=r"width$^{-1/2}$")  # fmt: skip
    ax.set_yscale("log")
    counts_axis(ax, widths, label="width of the two hidden layers")
    ax.set_ylabel(r"relative distance $\|\hat\Theta-\Theta\|/\|\Theta\|$")
    legend_above(ax, columns=2)
