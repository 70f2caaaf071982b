"""Real images: single networks, ensembles, students of ensembles and of single networks.

Does the order of multi-view theory, single < self-distilled < distilled < ensemble, show on real data? The
same MLP in all roles, trained by Adam; T = 4, students on the teachers' outputs alone, on the teachers' own
training images, to twice the steps. Means over splits with 95 % intervals, last-step accuracy on images that
nobody saw. Digits are embedded in scikit-learn; Fashion-MNIST is read from an IDX folder where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kdtheory.datasets import Images, load_images
from kdtheory.losses import distillation, label_loss
from kdtheory.multiview import accuracy
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, panel_letter, points
from kdtheory.populations import train
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = ("self_distillation_lies_between_one_network_and_the_ensemble",)
CONFIG = {
    "folders": {"Fashion-MNIST": "/usr/share/datasets/fashion-mnist"},
    "sizes": (150, 500),
    "fresh": 1200,
    "members": 8,
    "students": 4,
    "splits": 6,
}
SMALL = {"folders": {}, "sizes": (60,), "fresh": 300, "members": 2, "students": 2, "splits": 2}
PANELS = 2

_ARMS = ("single", "self-distilled", "distilled", "ensemble")


def run(
    stream: Stream, *, folders: Mapping[str, str], sizes: tuple[int, ...], fresh: int, members: int,
    students: int, splits: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows: data, n, arm, accuracy with its interval, and the gain over single networks with its own."""
    sources = {"digits": load_images()}
    sources |= {name: load_images(path) for name, path in folders.items() if Path(path).is_dir()}
    rows = []
    for name, images in sources.items():
        for n in sizes:
            found = [
                _split(images, n, fresh, members, students, stream.child(name, n, split))
                for split in range(splits)
            ]
            rows += _rows(name, n, pd.DataFrame(found))
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


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The gain over a single network, one panel for each data set."""
    markers = (PALETTE["blue"], PALETTE["vermillion"], PALETTE["green"])
    for ax, letter, (name, part) in zip(axes, "ab", rows.groupby("data", sort=False), strict=False):
        for shift, (color, (n, own)) in enumerate(zip(markers, part.groupby("n"), strict=False)):
            x = own["arm"].map(_ARMS.index).to_numpy(float) + 0.12 * (shift - 0.5)
            points(ax, x, 100 * own["gain"], 100 * own["gain_low"], 100 * own["gain_high"], color=color,
                   label=f"n = {n}, single {own['accuracy'].iloc[0]:.3f}")  # fmt: skip
        ax.axhline(0, color="gray", linewidth=0.8)
        ax.set_xticks(range(len(_ARMS)), _ARMS)
        ax.set_xlabel("trained as")
        ax.set_ylabel("accuracy beyond a single network, points")
        ax.legend(frameon=False, loc="upper left")
        panel_letter(ax, letter, str(name))
