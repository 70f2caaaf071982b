"""Plain torch networks in R^d beside the orthogonal limit: the headline numbers.

The worlds, networks and recipes of the claims, once element-wise in the limit and once by plain torch on
Gaussian noise patches in R^d, over independent training sets and on fresh points with the exact shares of the
world: (a) single networks, median and quartiles over all, and mean ensembles; (b) the share of (network,
label) pairs of the binary world that hold exactly one view, with exact binomial 95 % intervals over pairs as
if they were independent; (c) single networks, the ensemble, and students of it and of one network, means over
training sets with 95 % intervals.

In R^d noise patches have products of order s²/√d, by which what is memorised of one point speaks for others:
the smaller d, the more pairs hold both views. So mean accuracies of single networks come down, from 0.95 at
d = 1,000 to the 0.89 of the limit at 64,000, and one-view shares go up, from 0.76 to 0.83, with the limit's
0.80 in every interval: they do not tell the dimensions apart. With six classes d = 16,000 and the limit agree
within their intervals but for students of one network, which are better in R^d (0.988 against 0.976), there
too with intervals that overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from kdtheory.experiments.multiview.designs import GENTLE, LARGER, Design
from kdtheory.multiview import Comparison, compare, compare_plain
from kdtheory.plots import PALETTE, legend_above, panel_letter, points
from kdtheory.stats import binomial_upper_limit, mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "single_networks_hold_one_view_of_each_label_and_memorise_the_rest",
    "feature_noise_lets_distillation_teach_every_view",
    "plain_networks_come_to_the_orthogonal_limit",
)
CONFIG = {
    "dims": ((1000, 4000, 16_000, 64_000), (16_000,)),
    "members": (16, 20),
    "students": (2, 4),
    "sets": (3, 5),
    "fresh": (100, 180),
    "shortened": 1,
}
SMALL = {
    "dims": ((32,), (32,)),
    "members": (2, 2),
    "students": (1, 1),
    "sets": (2, 2),
    "fresh": (20, 60),
    "shortened": 20,
}
PANELS = 3

_WORLDS: dict[str, Design] = {"binary, as printed": GENTLE, "six classes": LARGER}
_ARMS = {
    "single": PALETTE["black"], "ensemble": PALETTE["blue"], "distilled": PALETTE["green"],
    "self-distilled": PALETTE["orange"],
}  # fmt: skip


def run(
    stream: Stream,
    *,
    dims: Sequence[Sequence[int]],
    members: Sequence[int],
    students: Sequence[int],
    sets: Sequence[int],
    fresh: Sequence[int],
    shortened: int,
) -> list[dict[str, Any]]:
    """Rows: world, dimension (0: the limit), arm, and what `_row` says of it.

    Args:
        stream: training set r of a world is drawn from `stream.child(world, r)`, in every dimension.
        dims: of each world.
        members: networks in the ensemble, in each world.
        students: of the ensemble; one network has a student of its own.
        sets: training sets.
        fresh: points that nobody saw.
        shortened: what the recipes' steps are divided by.
    """
    rows = []
    for place, (name, full) in enumerate(_WORLDS.items()):
        steps, later = (count // shortened for count in (full.plan.recipe.steps, full.plan.student_steps))
        design = replace(
            full, plan=replace(full.plan, recipe=full.plan.recipe.but(steps=steps), student_steps=later)
        )
        for dim in (0, *dims[place]):
            found = [
                _compared(design, dim, members[place], students[place], fresh[place], stream.child(name, r))
                for r in range(sets[place])
            ]
            rows += [{"world": name, "dim": dim, **_row(arm, found)} for arm in _ARMS]
            rows[-2]["closed"] = _gap_closed(found)
    return rows


def _compared(
    design: Design, dim: int, members: int, students: int, fresh: int, stream: Stream
) -> Comparison:
    counts = {"members": members, "students": students, "self_students": 1, "test_points": fresh}
    if dim == 0:
        return compare(design.world, design.network, design.plan, stream=stream, stratified=True, **counts)
    sized = design.in_world(patch_dim=dim)
    return compare_plain(
        sized.world, sized.network, sized.plan, stream=stream, stratified=True, device="cpu", **counts
    )


def _row(arm: str, found: list[Comparison]) -> dict[str, Any]:
    """Median and quartiles over networks; mean with its interval over training sets; which views are held."""
    accuracies = [_accuracies(arm, one) for one in found]
    every = torch.cat(accuracies)
    low, median, high = (float(every.quantile(share)) for share in (0.25, 0.5, 0.75))
    means = mean_test(torch.stack([own.mean() for own in accuracies]).numpy())
    row = {
        "arm": arm, "networks": len(every), "sets": len(found), "median": median, "low": low, "high": high,
        "mean": means.mean, "mean_low": means.interval()[0], "mean_high": min(1.0, means.interval()[1]),
    }  # fmt: skip
    if arm == "ensemble":
        return row
    nets = [getattr(one, arm.replace("-", "_")) for one in found]
    held = torch.cat([own.held for own in nets])
    right = [own.train_logits.argmax(-1) == one.train.labels for own, one in zip(nets, found, strict=True)]
    return row | {
        "one_view": float((held.sum(-1) == 1).double().mean()),
        "all_views": float(held.all(-1).double().mean()),
        "train": float(torch.cat(right).double().mean()),
    }


def _accuracies(arm: str, one: Comparison) -> torch.Tensor:
    if arm == "ensemble":
        return torch.tensor([one.ensemble_accuracy], dtype=torch.float64)
    found: torch.Tensor = getattr(one, f"{arm.replace('-', '_')}_accuracy")
    return found.double()


def _gap_closed(found: list[Comparison]) -> float:
    """(student − single)/(ensemble − single), of the means over training sets."""
    single, ensemble, student = (
        sum(float(_accuracies(arm, one).mean()) for one in found)
        for arm in ("single", "ensemble", "distilled")
    )
    return (student - single) / (ensemble - single) if ensemble > single else float("nan")


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The binary world, which views it leaves, and the six classes; the limit at the right."""
    binary, six = (part for _, part in rows.groupby("world", sort=False))
    _draw_arms(axes[0], binary, ("single", "ensemble"), ("median", "low", "high"))
    axes[0].axhline(0.9, color="gray", linewidth=0.8, linestyle=":")
    axes[0].set_ylabel("accuracy, median and quartiles")
    panel_letter(axes[0], "a", "binary, as printed")
    single = binary[binary["arm"] == "single"]
    points(axes[1], _places(single), single["one_view"], *_pair_limits(single), color=PALETTE["black"])
    axes[1].axhline(0.8, color="gray", linewidth=0.8, linestyle=":")
    axes[1].set_ylabel("share of pairs with one view")
    panel_letter(axes[1], "b", "binary: which views are held")
    _draw_arms(axes[2], six, tuple(_ARMS), ("mean", "mean_low", "mean_high"))
    axes[2].axhline(0.99, color="gray", linewidth=0.8, linestyle=":", label="threshold")
    axes[2].set_ylabel("mean test accuracy")
    panel_letter(axes[2], "c", "six classes with feature noise")
    for ax, part in zip(axes, (binary, binary, six), strict=True):
        dims = _dims(part)
        ax.set_xticks(range(len(dims)), [f"{d:,}" if d else "limit" for d in dims])
        ax.set_xlim(-0.5, len(dims) - 0.5)
        ax.set_xlabel("dimension d of a patch")
    legend_above(axes[2], columns=4)


def _pair_limits(single: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Limits of the share of pairs (network, label) with one view (Clopper & Pearson)."""
    pairs = 2 * single["networks"]
    held = (single["one_view"] * pairs).round().astype(int)
    counts = list(zip(held, pairs, strict=True))
    low = [1 - binomial_upper_limit(n - k, n, delta=0.025) for k, n in counts]
    return low, [binomial_upper_limit(k, n, delta=0.025) for k, n in counts]


def _draw_arms(ax: Any, part: pd.DataFrame, arms: Sequence[str], columns: tuple[str, str, str]) -> None:
    for place, arm in enumerate(arms):
        own = part[part["arm"] == arm]
        x = _places(own) + 0.1 * (place - (len(arms) - 1) / 2)
        points(ax, x, *(own[column] for column in columns), color=_ARMS[arm], label=arm)


def _dims(part: pd.DataFrame) -> list[int]:
    return [*sorted(d for d in part["dim"].unique() if d), 0]


def _places(part: pd.DataFrame) -> Any:
    return part["dim"].map(_dims(part).index).to_numpy(float)
