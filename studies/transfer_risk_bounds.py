"""Transfer risk against the number of points, with its bounds: on a circle and on real images.

R_n is the share of fresh points on which the student of n points and its oracle differ in sign. Bounds: by
angles, p(π/2 − ᾱ_n) (Ji & Zhu, 2020); refined by the power function, P_x[|z_s| + |z_*| ≤ P_nρ_n]; the same
without the oracle's values, P_x[|z_s| ≤ P_nρ_n]. The average case is exact for Gaussian oracles and no bound
for a single one. Circle: kernel of infinitely wide nets of one hidden layer, oracles of four features.
Images: two hidden layers, the smoothest function through the labels of 1,200 digits (lower or upper half of
the classes); then the same with the empirical tangent kernel of a network that learned from some of these
images, for its own oracle. Means over draws with 95 % intervals. To look at: on the circle all bounds fall,
and the refined one ever further below that by angles; on images every bound by the norm of the oracle stays
at 1 (three lines in one) while the risk goes to 0, and only the average case says anything. With the kernel
of a trained network few points are enough, and with the most of them the refined bound begins to speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from kdtheory.experiments import Run
from kdtheory.experiments.transfer_risk.worlds import KERNEL, circle, few_anchors, image_oracle, unit_images
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.ntk import EmpiricalKernel
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.stats import mean_test
from kdtheory.streams import Stream
from kdtheory.transfer_risk import transfer_curve

CLAIMS = (
    "transfer_risk_is_below_the_tail_of_angles",
    "bound_by_angles_says_nothing_on_images",
    "power_function_refines_the_bound_by_angles",
    "gaussian_oracles_have_an_exact_average_risk",
)
CONFIG: dict[str, Any] = {
    "circle_sizes": (5, 10, 20, 40, 80, 160, 320),
    "image_sizes": (10, 30, 100, 300, 1000),
    "circle_draws": 60,
    "image_draws": 6,
    "fresh": 1000,
    "pool": 1200,
    "width": 256,
    "seen": 200,
}
SMALL: dict[str, Any] = {
    "circle_sizes": (5, 20, 80),
    "image_sizes": (10, 100),
    "circle_draws": 8,
    "image_draws": 2,
    "fresh": 200,
    "pool": 200,
    "width": 64,
    "seen": 50,
}
PANELS = 3

_LINES = {  # colour, marker, line, name
    "risk": (PALETTE["black"], "o", "-", "transfer risk $R_n$"),
    "ji_zhu": (PALETTE["vermillion"], "v", "--", r"by angles, $p(\pi/2-\bar\alpha_n)$"),
    "label_free": (PALETTE["orange"], "^", ":", "refined, label-free"),
    "refined": (PALETTE["blue"], "s", "--", "refined by the power function"),
    "average": (PALETTE["green"], "D", "-.", "average over Gaussian oracles"),
}


def run(
    stream: Stream,
    *,
    circle_sizes: Sequence[int],
    image_sizes: Sequence[int],
    circle_draws: int,
    image_draws: int,
    fresh: int,
    pool: int,
    width: int,
    seen: int,
) -> list[dict[str, Any]]:
    """Rows: world, n, quantity; its mean over draws, with the interval, and how many draws.

    Args:
        stream: where the draws come from.
        circle_sizes, image_sizes: the n.
        circle_draws, image_draws: how many training sets and oracles.
        fresh: points on which the risk is taken; on images, as many as are left of the pool.
        pool: images whose labels make the oracle.
        width: of the two hidden layers of the trained network.
        seen: images of the pool that it was trained on.
    """
    curves = {"circle": [], "images": [], "trained": []}
    for draw in range(circle_draws):
        own = stream.child("circle", draw)
        inputs = circle(circle_sizes[-1], own.child("inputs"))
        points = circle(fresh, own.child("fresh"))
        curves["circle"].append(transfer_curve(KERNEL, inputs, few_anchors(own), points, sizes=circle_sizes))
    for draw in range(image_draws):
        images = Run(stream.child("images", draw))
        for world, kernel in (
            ("images", None),
            ("trained", _trained_kernel(images, pool, fresh, width, seen)),
        ):
            oracle, points = image_oracle(images, pool=pool, fresh=fresh, kernel=kernel)
            curve = transfer_curve(oracle.kernel, oracle.anchors, oracle, points, sizes=image_sizes)
            curves[world].append(curve)
    rows = []
    for world, drawn in curves.items():
        table = pd.concat([curve.to_frame() for curve in drawn])
        for n, part in table.groupby("n"):
            for quantity in [*_LINES, "angle", "norm"]:
                test = mean_test(part[quantity].to_numpy())
                low, high = test.interval()
                rows.append(
                    {
                        "world": world,
                        "n": n,
                        "quantity": quantity,
                        "mean": test.mean,
                        "low": low,
                        "high": high,
                        "draws": len(drawn),
                    }
                )
    return rows


def _trained_kernel(run: Run, pool: int, fresh: int, width: int, seen: int) -> EmpiricalKernel:
    """The tangent kernel of one logit of a network that learned from a few images of the pool."""
    inputs, signs = unit_images(run.images, run.stream.child("images"), most=pool + fresh)
    net = train(
        MLP((inputs.shape[1], width, width, 2)), inputs[:seen], (signs[:seen] > 0).long(), loss=label_loss,
        members=1, stream=run.stream.child("net"), steps=200, learning_rate=1e-3, dtype=torch.float64,
    )  # fmt: skip
    return EmpiricalKernel(net.module(0), output=1)


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Risk and bounds over n, a panel for each world."""
    titles = {
        "circle": "circle, kernel of wide nets",
        "images": "digits, kernel of wide nets",
        "trained": "digits, kernel of a trained net",
    }
    for ax, letter, (world, title) in zip(axes, "abc", titles.items(), strict=True):
        part = rows[rows["world"] == world]
        for quantity, (color, marker, style, label) in _LINES.items():
            line = part[(part["quantity"] == quantity) & (part["mean"] > 0)]
            low = np.maximum(line["low"], line["mean"] / 10)
            drawn = line["n"], line["mean"], low, line["high"]
            band(ax, *drawn, color=color, marker=marker, linestyle=style, label=label)
        ax.axhline(0.5, color="0.6", linewidth=1, zorder=0)
        ax.set_yscale("log")
        ax.set_ylim(2e-4 if world == "circle" else 5e-3, 1.3)
        ax.set_ylabel("share of fresh points")
        counts_axis(ax, part["n"], label="points seen $n$")
        panel_letter(ax, letter, title)
    legend_above(axes[0], columns=5)
