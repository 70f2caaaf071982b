"""Rates of the transfer risk for b = 1, 2, 3, and how the student's angle falls.

A world with p(π/2 − s) = (tan s)^b near the boundary, in 4,001 dimensions. On a flat spectrum the angle
between student and oracle falls like n^{−1/2} and bound and risk like n^{−b/2}; they differ by the constant
½E|S|^b, S a coordinate of a random direction. With a decaying spectrum the angle falls faster, and so does
the bound; no spectrum makes it fall more slowly here. Means over samples with 95 % intervals; thin lines have
the slope −b/2 (a) and −1/2 (b). Risks are one-dimensional integrals given the angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.experiments.transfer_risk.slab import Slab, heights, sideways, slab_angles, slab_risks
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.stats import log_log_slopes, mean_test
from kdtheory.streams import Stream
from kdtheory.transfer_risk import ji20_transfer_risk

CLAIMS = (
    "transfer_risk_falls_at_half_the_margin_exponent",
    "angle_of_the_student_falls_at_half_the_margin_exponent",
)
CONFIG: dict[str, Any] = {
    "sizes": (25, 50, 100, 200, 400),
    "exponents": (1, 2, 3),
    "decays": (0.0, 1.0, 2.0),
    "samples": 30,
}
SMALL: dict[str, Any] = {"sizes": (10, 20, 40), "exponents": (1, 2), "decays": (0.0, 2.0), "samples": 4}
PANELS = 2

_COLORS = (PALETTE["blue"], PALETTE["green"], PALETTE["vermillion"])
_STYLES = ("-", "--", ":")


def run(
    stream: Stream,
    *,
    sizes: Sequence[int],
    exponents: Sequence[int],
    decays: Sequence[float],
    samples: int,
) -> list[dict[str, Any]]:
    """Rows: decay, b, quantity, n; mean with interval, and the log–log slope with its interval.

    Args:
        stream: where the samples come from.
        sizes: the n.
        exponents: b of the tail.
        decays: a of the spectrum i^{−a}; 0 is flat, and only there the risk is known.
        samples: training sets for each.
    """
    rows = []
    for decay in decays:
        for b in exponents:
            own = [stream.child(str(decay), b, sample) for sample in range(samples)]
            angles = torch.stack(
                [
                    slab_angles(
                        sideways(sizes[-1], decay, one), heights(sizes[-1], b, one.child("t")), tuple(sizes)
                    )
                    for one in own
                ]
            )
            bounds = [[ji20_transfer_risk(Slab(b), float(angle)) for angle in row] for row in angles]
            tables = {"angle": angles, "bound": torch.tensor(bounds, dtype=torch.float64)}
            if not decay:
                tables["risk"] = slab_risks(angles, b)
            for quantity, table in tables.items():
                facts = {"decay": decay, "b": b, "quantity": quantity, "samples": samples}
                rows += [facts | row for row in _summary(table, sizes)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Bound and risk on the flat spectrum; angles on all spectra."""
    flat = rows[rows["decay"] == 0]
    for color, (b, part) in zip(_COLORS, flat.groupby("b"), strict=False):
        for quantity, style in (("bound", "--"), ("risk", "-")):
            line = part[part["quantity"] == quantity]
            label = rf"{quantity}, $b$ = {b}: slope {line['slope'].iloc[0]:.2f}".replace("-", "−")
            drawn = line["n"], line["mean"], line["low"], line["high"]
            band(axes[0], *drawn, color=color, linestyle=style, label=label)
        _guide(axes[0], line, -b / 2)
    decays = rows[(rows["quantity"] == "angle") & (rows["b"] == rows["b"].max())].groupby("decay")
    for color, style, (decay, line) in zip(_COLORS, _STYLES, decays, strict=False):
        name = rf"spectrum $i^{{-{decay:g}}}$" if decay else "flat spectrum"
        label = f"{name}: slope {line['slope'].iloc[0]:.2f}".replace("-", "−")
        drawn = line["n"], line["mean"], line["low"], line["high"]
        band(axes[1], *drawn, color=color, linestyle=style, label=label)
        _guide(axes[1], line, -0.5)
    axes[0].set_ylabel("share of fresh points")
    axes[1].set_ylabel(r"angle $\bar\alpha_n$ (radians)")
    for ax, letter, title in zip(axes, "ab", ("flat spectrum", "the student's angle"), strict=True):
        ax.set_yscale("log")
        counts_axis(ax, rows["n"], label="points seen $n$")
        panel_letter(ax, letter, title)
    axes[1].legend(loc="lower left", fontsize="small")
    legend_above(axes[0], columns=3)


def _guide(ax: Any, line: pd.DataFrame, slope: float) -> None:
    """A thin line of the given slope through the first point."""
    n, start = line["n"].to_numpy(), line["mean"].iloc[0]
    ax.plot(n, start * (n / n[0]) ** slope, color="0.6", linewidth=0.8, zorder=0)


def _summary(table: Tensor, sizes: Sequence[int]) -> list[dict[str, Any]]:
    slope = mean_test(log_log_slopes(np.array(sizes, dtype=float), table.numpy()))
    fitted = dict(zip(("slope_low", "slope_high"), slope.interval(), strict=True))
    rows = []
    for n, column in zip(sizes, table.T, strict=True):
        test = mean_test(column.numpy())
        low, high = test.interval()
        rows.append({"n": n, "mean": test.mean, "low": low, "high": high, "slope": slope.mean} | fitted)
    return rows
