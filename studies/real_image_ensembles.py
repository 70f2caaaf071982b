"""Real images: single networks, ensembles, students of ensembles and of single networks.

Does the order of multi-view theory, single < self-distilled < distilled < ensemble, show on real data?
The same MLP in all roles, trained by Adam; T = 4, students on the teachers' outputs alone, on the
teachers' own training images, to twice the steps, which is short of convergence. Means over splits with
95 % intervals, last-step accuracy on images that nobody saw. Digits, and beside them the images of
`--data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kdtheory.datasets import Images, load_images
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above, points
from kdtheory.populations import train
from kdtheory.risk import accuracy
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = ("self_distillation_lies_between_one_network_and_the_ensemble",)
CONFIG = {"sizes": (150, 500), "fresh": 1200, "members": 8, "students": 4, "splits": 6}
SMALL = {"sizes": (60,), "fresh": 300, "members": 2, "students": 2, "splits": 2}
_ARMS = ("single", "self-distilled", "distilled", "ensemble")


def run(
    stream: Stream,
    *,
    data: Path | None = None,
    sizes: Sequence[int],
    fresh: int,
    members: int,
    students: int,
    splits: int,
) -> list[dict[str, Any]]:
    """Rows: data, n, arm, accuracy with its interval, and the gain over single networks with its own."""
    sources = [load_images()] if data is None else [load_images(), load_images(data)]
    rows = []
    for images in sources:
        for n in sizes:
            found = [
                _split(images, n, fresh, members, students, stream.child(images.name, n, split))
                for split in range(splits)
            ]
            rows += _rows(images.name, n, pd.DataFrame(found))
    return rows


def _split(
    images: Images, n: int, fresh: int, members: int, students: int, stream: Stream
) -> dict[str, float]:
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    seen, kept = order[:n], order[n : n + fresh]
    inputs, right = images.inputs[seen], images.labels[kept]

    def fit(role: str, teacher: torch.Tensor | None, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        nets = train(
            MLP((images.dim, 64, images.num_classes)), inputs, images.labels[seen],
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": 4.0}, members=count,
            stream=stream.child(role), steps=300 if teacher is None else 600, learning_rate=0.003,
            device="cpu",
        )  # fmt: skip
        return nets.logits(inputs), nets.logits(images.inputs[kept])

    teachers, single = fit("single", None, members)
    _, distilled = fit("distilled", teachers.mean(0), students)
    _, alone = fit("self-distilled", teachers[:students], students)
    return {
        "single": float(accuracy(single, right).mean()),
        "self-distilled": float(accuracy(alone, right).mean()),
        "distilled": float(accuracy(distilled, right).mean()),
        "ensemble": float(accuracy(single.mean(0), right)),
    }


def _rows(name: str, n: int, found: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for arm in _ARMS:
        level, gain = (mean_test(values.to_numpy()) for values in (found[arm], found[arm] - found["single"]))
        rows.append(
            {
                "data": name, "n": n, "arm": arm, "accuracy": level.mean, "low": level.interval()[0],
                "high": level.interval()[1], "gain": gain.mean, "gain_low": gain.interval()[0],
                "gain_high": gain.interval()[1], "splits": len(found),
            }
        )  # fmt: skip
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The gain over a single network, data sets and sizes by colour and marker."""
    colors = (PALETTE["blue"], PALETTE["vermillion"], PALETTE["green"], PALETTE["purple"])
    for place, ((name, n), own) in enumerate(rows.groupby(["data", "n"], sort=False)):
        x = own["arm"].map(_ARMS.index).to_numpy(float) + 0.1 * (place - 1.5)
        label = f"{name}, n = {n}: single {own['accuracy'].iloc[0]:.3f}"
        low, high = 100 * own["gain_low"], 100 * own["gain_high"]
        points(
            ax,
            x,
            100 * own["gain"],
            low,
            high,
            color=colors[place % 4],
            marker="os"[place // 2 % 2],
            label=label,
        )
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(range(len(_ARMS)), _ARMS)
    ax.set_xlabel("trained as")
    ax.set_ylabel("accuracy beyond a single network, points")
    ax.set_title("real images", loc="left", fontsize="medium")
    legend_above(ax, columns=2)
