"""How far tangent kernels move in training, and outputs from the linear model's, over the width.

Nets with two hidden layers, each trained by gradient descent on the soft labels of ten points of its own; the
largest relative change of the kernel over three looks, and the largest root mean square distance of the
outputs at ten further points from those of the net's linearisation, trained in closed form. Bands are 95 %
intervals of the mean over nets. To look at: both fall faster than the proved rate of one over the root of the
width, like one over the width for tanh, nearly so for ReLU, whose units switch; in mean-field scaling the
kernel moves at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kdtheory.experiments.ntk.drift import courses
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "wide_nets_train_like_their_linear_models",
    "kernels_of_smooth_nets_move_by_one_over_the_width",
)
CONFIG: dict[str, Any] = {"widths": (32, 64, 128, 256, 512, 1024), "members": 12, "times": (10, 30, 100)}
SMALL: dict[str, Any] = {"widths": (16, 32, 64), "members": 4, "times": (5, 10)}
PANELS = 2

_LINES = {
    ("relu", "ntk"): ("blue", "o", "ReLU"),
    ("tanh", "ntk"): ("orange", "s", "tanh"),
    ("relu", "mean-field"): ("gray", "^", "ReLU, mean-field scaling"),
}
_SCALINGS = {"ntk": 0.0, "mean-field": 1.0}
_PANELS = {
    "drift": r"$\sup_t\ \|H(t)-H(0)\|/\|H(0)\|$",
    "gap": r"$\sup_t\ \|f_t-f_t^{\mathrm{lin}}\|$, root mean square",
}


def run(stream: Stream, *, widths: Sequence[int], members: int, times: Sequence[int]) -> list[dict[str, Any]]:
    """Rows: activation, scaling, width, quantity, mean with its interval, nets.

    Args:
        stream: of points and initialisations.
        widths: of both hidden layers.
        members: nets of each width.
        times: steps after which kernel and outputs are looked at.
    """
    rows = []
    for activation, scaling in _LINES:
        for width in widths:
            course = courses(
                width, stream, activation=activation, scaling=_SCALINGS[scaling], members=members, times=times
            )
            for quantity in _PANELS:
                test = mean_test(getattr(course, quantity).numpy())
                low, high = test.interval()
                rows.append({"activation": activation, "scaling": scaling, "width": width,
                             "quantity": quantity, "value": test.mean, "low": low, "high": high,
                             "nets": members})  # fmt: skip
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The kernel on the left, the outputs on the right, each with lines of slope −1/2 and −1."""
    for ax, letter, (quantity, label) in zip(axes, "ab", _PANELS.items(), strict=True):
        shown = rows[rows["quantity"] == quantity]
        for (activation, scaling), (color, marker, name) in _LINES.items():
            part = shown[(shown["activation"] == activation) & (shown["scaling"] == scaling)]
            band(ax, part["width"], part["value"], part["low"].clip(lower=1e-6), part["high"],
                 color=PALETTE.get(color, color), marker=marker, label=name)  # fmt: skip
        widths, first = shown["width"].unique(), shown.iloc[0]
        for power, style in ((0.5, ":"), (1.0, "--")):
            line = first["value"] * (first["width"] / widths) ** power
            ax.plot(widths, line, style, color=PALETTE["black"], label=f"width$^{{-{power:g}}}$")
        ax.set_yscale("log")
        counts_axis(ax, widths, label="width of the two hidden layers")
        ax.set_ylabel(label)
        panel_letter(ax, letter, "kernel" if quantity == "drift" else "outputs on test points")
    legend_above(axes[0], columns=5)
