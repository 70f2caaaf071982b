"""Plain torch networks in R^d beside the orthogonal limit: the headline numbers.

The same worlds, networks and recipes, once element-wise in the limit and once by plain torch on Gaussian
noise patches in R^d: test accuracy of single networks (median and quartiles), of their ensemble, and of
students distilled from it and from one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kdtheory.claims.multiview.worlds import BINARY, CLASSES
from kdtheory.multiview import Comparison, compare, compare_plain
from kdtheory.plots import PALETTE, legend_above, panel_letter, points
from kdtheory.streams import Stream

CLAIMS = (
    "single_networks_hold_one_view_of_each_label_and_memorise_the_rest",
    "feature_noise_lets_distillation_teach_every_view",
    "plain_networks_come_to_the_orthogonal_limit",
)
CONFIG = {"dims": ((1000, 4000, 16_000), (4000,)), "members": (32, 4), "students": (2, 2)}
SMALL = {"dims": ((32,), (32,)), "members": (2, 2), "students": (1, 1)}
PANELS = 2

_ARMS = ("single", "ensemble", "distilled", "self-distilled")


def run(
    stream: Stream, *, dims: Sequence[Sequence[int]], members: Sequence[int], students: Sequence[int]
) -> list[dict[str, Any]]:
    """Rows: world, dimension (0: the limit), arm, median, quartiles, share of pairs with exactly one view."""
    rows = []
    for name, design, sizes, count, few in zip(
        ("binary, as printed", "six classes"), (BINARY, CLASSES), dims, members, students, strict=True
    ):
        counts = {"members": count, "students": few}
        limit = compare(design.world, design.network, design.recipe, stream=stream.child(name), **counts)
        rows += _rows(name, 0, limit)
        for dim in sizes:
            sized = design.in_world(patch_dim=dim)
            plain = compare_plain(
                sized.world,
                sized.network,
                sized.recipe,
                stream=stream.child(name),
                test_points=100,
                device="cpu",
                **counts,
            )
            rows += _rows(name, dim, plain)
    return rows


def _rows(name: str, dim: int, found: Comparison) -> list[dict[str, Any]]:
    values = {
        "single": (found.single_accuracy, found.single),
        "distilled": (found.distilled_accuracy, found.distilled),
        "self-distilled": (found.self_distilled_accuracy, found.self_distilled),
    }
    rows = [{"world": name, "dim": dim, "arm": "ensemble", "median": found.ensemble_accuracy}]
    for arm, (accuracies, own) in values.items():
        count = own.held.sum(-1)
        rows.append(
            {
                "world": name, "dim": dim, "arm": arm, "median": float(accuracies.quantile(0.5)),
                "low": float(accuracies.quantile(0.25)), "high": float(accuracies.quantile(0.75)),
                "mean": float(accuracies.mean()), "networks": len(accuracies),
                "one_view": float((count == 1).double().mean()),
                "all_views": float(own.held.all(-1).double().mean()),
                "train": float((own.train_logits.argmax(-1) == found.train.labels).double().mean()),
            }
        )  # fmt: skip
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """A panel for each world, the limit at the right."""
    colors = (PALETTE["black"], PALETTE["blue"], PALETTE["green"], PALETTE["orange"])
    for ax, letter, (world, part) in zip(axes, "ab", rows.groupby("world", sort=False), strict=True):
        dims = [*sorted(d for d in part["dim"].unique() if d), 0]
        for place, (arm, color) in enumerate(zip(_ARMS, colors, strict=True)):
            own = part[part["arm"] == arm]
            x = own["dim"].map(dims.index).to_numpy(float) + 0.08 * (place - 1.5)
            low, high = own["low"].fillna(own["median"]), own["high"].fillna(own["median"])
            points(ax, x, own["median"], low, high, color=color, label=arm)
        ax.set_xticks(range(len(dims)), [f"d = {d}" if d else "limit" for d in dims])
        ax.set_xlabel("patches in")
        ax.set_ylabel("test accuracy, median and quartiles")
        panel_letter(ax, letter, world)
    legend_above(axes[0], columns=4)
