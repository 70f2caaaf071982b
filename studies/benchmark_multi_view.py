"""How long 32 networks of the notes' multi-view world take to train, and a plain torch loop beside them.

Full-batch gradient descent on the labels by the recipe of the claims (n = 40, 96 channels, 500 steps). The
*limit* is the compiled orthogonal limit; the *population* is all networks as one batch of plain torch on the
d-dimensional patches, in coordinates of their span; the *loop* is what a user would write, one module after
the other with `F.cross_entropy` and `torch.optim.SGD`, on the patches as they are or in the coordinates of
their span, with torch's threads or with one, whichever is faster in that turn. The limit is timed over all of
its steps, the others over the first ones, which cost what every step costs, and the loop by one network.
Sides take turns in one process; a time is the median over the repeats, a ratio the median over the repeats of
the time of the loop on the patches as they are over the side's. Float32, in the limit float64; on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdtheory.experiments.multiview.designs import BINARY
from kdtheory.losses import label_loss
from kdtheory.multiview import limit_start, span_coordinates, train_limit
from kdtheory.networks import PatchNetwork
from kdtheory.plots import PALETTE
from kdtheory.populations import train
from kdtheory.problems import Views
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import torch_threads

CLAIMS: tuple[str, ...] = ()
CONFIG = {"members": 32, "dim": 4000, "steps": 50, "repeats": 5}
SMALL = {"members": 4, "dim": 200, "steps": 2, "repeats": 2}

_COLORS = (PALETTE["blue"], PALETTE["green"], PALETTE["orange"], PALETTE["black"])


def run(stream: Stream, *, members: int, dim: int, steps: int, repeats: int) -> list[dict[str, Any]]:
    """Rows: side, dimension of a patch, seconds for all members and steps, ratio to the loop.

    Args:
        stream: where data and initialisations come from; they do not matter here.
        members: networks.
        dim: d.
        steps: that are timed, but for the limit.
        repeats: turns of each side, after one to warm up.
    """
    sides = _sides(stream, members, dim, steps)
    turns = np.array([[side() for side in sides.values()] for _ in range(repeats + 1)])[1:]
    return [
        {
            "side": name,
            "networks": members,
            "steps": BINARY.plan.recipe.steps,
            "dim": dim,
            "threads": torch.get_num_threads(),
            "seconds": round(float(np.median(own)), 3),
            "ratio": round(float(np.median(turns[:, -1] / own)), 1),
        }
        for name, own in zip(sides, turns.T, strict=True)
    ]


def _sides(stream: Stream, members: int, dim: int, steps: int) -> dict[str, Callable[[], float]]:
    """For each side a function that runs it once: seconds for all members and all steps."""
    world, recipe = BINARY.in_world(patch_dim=dim).world, BINARY.plan.recipe
    points = world.stratified(BINARY.plan.n, stream.child("train"))
    inputs = world.patches(points, stream.child("train"))
    short, _ = span_coordinates(world, inputs, inputs[:1])
    whole = recipe.steps * members
    return {
        "limit": lambda: _limit(points, stream, members),
        "population": lambda: whole / (steps * members) * _population(short, points, stream, members, steps),
        "loop, span": lambda: whole / steps * _loop(short, points, stream, steps),
        "loop": lambda: whole / steps * _loop(inputs.float(), points, stream, steps),
    }


def _clocked(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _limit(points: Views, stream: Stream, members: int) -> float:
    start = limit_start(
        BINARY.network, points, noise_norm=BINARY.world.noise_norm, members=members, stream=stream
    )
    recipe = BINARY.plan.recipe.but(dtype=None)
    return _clocked(lambda: train_limit(start, points, recipe=recipe))


def _network(inputs: Tensor) -> PatchNetwork:
    world = BINARY.world
    sized = BINARY.in_world(patch_dim=inputs.shape[-1] // world.num_patches)
    return sized.network


def _population(inputs: Tensor, points: Views, stream: Stream, members: int, steps: int) -> float:
    network = _network(inputs)
    start = network.init(stream, members=members)

    def trained(count: int) -> None:
        train(
            network,
            inputs,
            points.labels,
            loss=label_loss,
            members=members,
            stream=stream,
            recipe=Recipe(steps=count, learning_rate=BINARY.plan.recipe.learning_rate, optimizer="sgd"),
            initial=start,
            device="cpu",
        )

    return _clocked(lambda: trained(steps)) - _clocked(lambda: trained(0))


def _loop(inputs: Tensor, points: Views, stream: Stream, steps: int) -> float:
    """The faster of the loop with torch's threads and the loop with one."""
    seconds = []
    for threads in {1, torch.get_num_threads()}:
        with torch_threads(threads):
            seconds.append(_plain(inputs, points, stream, steps))
    return min(seconds)


def _plain(inputs: Tensor, points: Views, stream: Stream, steps: int) -> float:
    network = _network(inputs)
    module = network.module(network.init(stream, members=1), 0)
    optimizer = torch.optim.SGD(module.parameters(), lr=BINARY.plan.recipe.learning_rate)

    def descend(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), points.labels).backward()
            optimizer.step()

    descend(3)
    return _clocked(lambda: descend(steps))


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """Seconds of each side, the ratio to the loop in brackets; two minutes dashed."""
    for place, (_, row) in enumerate(rows.iterrows()):
        ax.barh(place, row["seconds"], color=_COLORS[place], height=0.6)
        note = f"{row['seconds']:.3g} s (×{float(format(row['ratio'], '.3g')):,g})"
        ax.annotate(
            note, (row["seconds"], place), (6, 0), textcoords="offset points", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    ax.axvline(120, color="gray", linestyle="--", linewidth=1, zorder=0)
    ax.set_xscale("log")
    ax.set_xlim(rows["seconds"].min() / 3, rows["seconds"].max() * 30)
    ax.set_yticks(range(len(rows)), rows["side"])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("seconds for all networks (× faster than the loop); dashed: two minutes")
    ax.set_ylabel("side")
    first = rows.iloc[0]
    title = f"{first['networks']} networks, {first['steps']} steps, d = {first['dim']:,}"
    ax.set_title(f"{title}, threads: {first['threads']}", loc="left", fontsize="medium")


if __name__ == "__main__":
    print(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False))  # noqa: T201
