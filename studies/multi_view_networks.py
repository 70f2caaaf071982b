"""One view per network: the race, the memory, and what ensembles make of it.

The notes' binary world in the orthogonal limit. (a) The largest projection on each of the two views of a
label after training, one dot for each network and label: the view that starts ahead wins, and the other is
mostly not learned. (b) The two phases of training: first a view of each label is learned, so that training
points that show it come right, and with them the fresh ones, to 0.90 in the median network and to 0.88 in
the mean, since six of the 64 networks learn no view of one label; then the training points that lack it are
memorised one by one, and the test accuracy stays. In the dip at the beginning the label whose view wins
first takes most points of the other. Points are told apart by the view that each network holds in the end;
means over networks, for fresh points the median too. (c) Ensembles of N networks, means over disjoint
ensembles with 95 % intervals: their error, and how often the view that a label lacks is held by none, beside
(1/2)^{N−1}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from kdtheory.experiments.multiview.designs import BINARY, GENTLE
from kdtheory.multiview import (
    first_view,
    limit_start,
    missed_share,
    missed_view_probability,
    train_limit,
    views_held,
)
from kdtheory.plots import PALETTE, panel_letter, points
from kdtheory.risk import accuracy
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "single_networks_hold_one_view_of_each_label_and_memorise_the_rest",
    "ensembles_hold_the_views_that_single_networks_lack",
)
CONFIG = {"networks": 960, "shown": 64, "every": 10, "sizes": (1, 2, 3, 4, 5, 6, 8)}
SMALL = {"networks": 48, "shown": 8, "every": 50, "sizes": (1, 2, 3)}
PANELS = 3


def run(
    stream: Stream, *, networks: int, shown: int, every: int, sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Rows of three kinds: "pair" (projections), "step" (curves), "size" (ensembles)."""
    world, network = BINARY.world, BINARY.network
    recipe, gentle = (design.plan.recipe.but(dtype=None) for design in (BINARY, GENTLE))
    train = world.stratified(BINARY.plan.n, stream.child("train"))
    test = world.stratified(20, stream.child("test"))
    start = limit_start(
        network, train, noise_norm=world.noise_norm, members=networks, stream=stream.child("nets")
    )
    first = limit_start(
        network, train, noise_norm=world.noise_norm, members=shown, stream=stream.child("nets")
    )
    rows, course = [], [first]
    for _ in range(0, gentle.steps, every):
        course.append(train_limit(course[-1], train, recipe=gentle.but(steps=every)))
    lacking = _lacking(course[-1], train)
    rows += [_step(nets, train, test, lacking, every * i) for i, nets in enumerate(course)]
    for when, each in (("start", first), ("end", course[-1])):
        rows += _pairs(each, when)
    final = train_limit(start, train, recipe=recipe)
    logits = final.logits(test.coefficients)
    held = views_held(final.projections, num_views=2, threshold=network.threshold)
    for size in sizes:
        whole = len(logits) // size * size
        ensembles = logits[:whole].unflatten(0, (-1, size)).mean(1)
        error = mean_test((1 - accuracy(ensembles, test.labels)).numpy())
        missed = _missed(held, size)
        rows.append(
            {
                "kind": "size", "size": size, "error": error.mean, "low": error.interval()[0],
                "high": error.interval()[1], "missed": missed.mean, "missed_low": missed.interval()[0],
                "missed_high": missed.interval()[1], "closed_form": missed_view_probability(size),
            }
        )  # fmt: skip
    return rows


def _lacking(nets, train) -> torch.Tensor:
    """Members × n: which training points lack the view of their label that the network holds."""
    ahead = first_view(nets.projections, num_views=2)[:, train.labels]
    own = train.coefficients.unflatten(-1, (2, 2))[torch.arange(len(train.labels)), train.labels]
    lacking: torch.Tensor = own.expand(len(ahead), -1, -1).gather(-1, ahead[..., None])[..., 0] == 0
    return lacking


def _step(nets, train, test, lacking: torch.Tensor, done: int) -> dict[str, Any]:
    """Means over the networks at one step."""
    tops = nets.projections.amax(2)
    own = torch.stack([tops[:, 0, :2], tops[:, 1, 2:]], 1).sort(-1, descending=True)[0].mean((0, 1))
    right = (nets.train_logits(train).argmax(-1) == train.labels).double()
    return {
        "kind": "step", "step": done, "training accuracy": float(right.mean()),
        "test accuracy": float(accuracy(nets.logits(test.coefficients), test.labels).mean()),
        "test accuracy, median": float(accuracy(nets.logits(test.coefficients), test.labels).median()),
        "points that show the view": float(right[~lacking].mean()),
        "points that lack the view": float(right[lacking].mean()),
        "first view": float(own[0]), "second view": float(own[1]),
    }  # fmt: skip


def _pairs(nets, when: str) -> list[dict[str, Any]]:
    tops = nets.projections.amax(2)
    return [
        {"kind": "pair", "when": when, "network": i, "label": c, "view_1": float(tops[i, c, 2 * c]),
         "view_2": float(tops[i, c, 2 * c + 1])}
        for i in range(len(tops)) for c in range(2)
    ]  # fmt: skip


def _missed(held: torch.Tensor, size: int):
    """In batches of 16 networks: the share of ensembles of those with one view that miss the other."""
    shares = []
    for batch in held.split(16):
        for c in range(held.shape[1]):
            one = batch[batch[:, c].sum(-1) == 1, c][:, None]
            if len(one) >= size:
                shares.append(float(missed_share(one, size=size)))
    return mean_test(torch.tensor(shares).numpy())


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The race, the two phases, the ensembles."""
    kinds = dict(iter(rows.groupby("kind")))
    _draw_pairs(axes[0], kinds["pair"])
    _draw_steps(axes[1], kinds["step"])
    _draw_sizes(axes[2], kinds["size"])


def _draw_pairs(ax: Any, pairs: pd.DataFrame) -> None:
    when = dict(iter(pairs.groupby("when")))
    ahead = (when["start"]["view_1"] > when["start"]["view_2"]).to_numpy()
    for chosen, color, name in (
        (ahead, PALETTE["blue"], "view 1 ahead at the start"),
        (~ahead, PALETTE["vermillion"], "view 2 ahead at the start"),
    ):
        end = when["end"][chosen]
        ax.plot(end["view_1"], end["view_2"], "o", color=color, alpha=0.6, markersize=4, label=name)
    ax.axline((0, 0), slope=0.5, color="gray", linestyle=":", linewidth=1)
    ax.axline((0, 0), slope=2, color="gray", linestyle=":", linewidth=1, label="one is half of the other")
    ax.set_xlabel("largest projection on view 1 after training")
    ax.set_ylabel("on view 2")
    _legend_below(ax, *ax.get_legend_handles_labels())
    panel_letter(ax, "a", "which view each network holds")


def _draw_steps(ax: Any, steps: pd.DataFrame) -> None:
    for name, color, width, label in (
        ("points that show the view", PALETTE["green"], 1.5, "training points with the view"),
        ("points that lack the view", PALETTE["vermillion"], 1.5, "training points without it"),
        ("test accuracy", PALETTE["blue"], 1.5, "fresh points"),
        ("test accuracy, median", PALETTE["blue"], 0.8, "fresh points, median"),
    ):
        ax.plot(steps["step"], steps[name], color=color, linewidth=width, label=label)
    ax.axhline(0.9, color="gray", linewidth=0.8, linestyle=":", label="1 − μ/2")
    other = ax.twinx()
    for name, color in (("first view", PALETTE["black"]), ("second view", PALETTE["purple"])):
        other.plot(steps["step"], steps[name], "--", color=color, label=f"{name}")
    other.set_ylabel("largest projection (dashed)")
    other.grid(visible=False)
    ax.set_xlabel("step of gradient descent")
    ax.set_ylabel("accuracy")
    handles = [
        h + o for h, o in zip(ax.get_legend_handles_labels(), other.get_legend_handles_labels(), strict=True)
    ]
    _legend_below(ax, *handles)
    panel_letter(ax, "b", "first a view, then the rest by heart")


def _draw_sizes(ax: Any, sizes: pd.DataFrame) -> None:
    x = sizes["size"]
    ax.plot(x, sizes["closed_form"], "-", color="gray", label=r"$(1/2)^{N-1}$")
    points(ax, x, sizes["missed"], sizes["missed_low"], sizes["missed_high"], color=PALETTE["green"],
           label="a view is missed")  # fmt: skip
    points(ax, x, sizes["error"], sizes["low"], sizes["high"], color=PALETTE["blue"], marker="s",
           label="test error of the ensemble")  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(3e-4, 1.5)
    ax.set_xlabel("networks in the ensemble, N")
    ax.set_ylabel("probability")
    _legend_below(ax, *ax.get_legend_handles_labels())
    panel_letter(ax, "c", "ensembles")


def _legend_below(ax: Any, handles: list[Any], labels: list[str]) -> None:
    """Under the panel, where it covers no data."""
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": 1 + (len(labels) > 3)}
    ax.legend(handles, labels, frameon=False, fontsize="small", **place)
