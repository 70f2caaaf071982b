"""Real images: single networks, ensembles, students of ensembles and of single networks.

Does the order of multi-view theory, single < self-distilled < distilled < ensemble, show on real data? Half
of it does. On digits and on Fashion-MNIST, with 150 and with 500 training images, the ensemble and its
students are above single networks, and the ensemble's students above those of one network, each with a 95 %
interval that leaves 0 out. The ensemble is above its students in the mean, beyond the interval at n = 500
only. Students of one network are nowhere above the networks trained on labels: three intervals contain 0, and
on Fashion-MNIST with 500 images they are below. (An interval each, without correction for their number.)

The same MLP in all roles, with two hidden layers of 32 units: there ensembles gain visibly, which was looked
at before any student. Adam with a falling rate; T = 4, students on the teachers' outputs alone, on the
teachers' own training images, 2000 steps. They come close to their teachers and do not match them: `excess`
is what is left of their loss above its least value, T²·KL(teacher, student) in nats, 0.001 to 0.006 on the
small sets and 0.005 to 0.015 on the larger ones, most where one network teaches (of networks trained on
labels: the loss itself); `gradient` the largest norm at the last step. Means over splits with 95 %
intervals, last-step accuracy on images that nobody saw. Digits, and beside them the images of `--data`.
(a) The gain over a single network. (b) Paired differences of the neighbours in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdtheory.datasets import Images, load_images
from kdtheory.losses import distillation, kl_divergence, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above, panel_letter, points
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = ("self_distillation_lies_between_one_network_and_the_ensemble",)
CONFIG = {
    "sizes": (150, 500),
    "fresh": 1200,
    "members": 8,
    "students": 2,
    "splits": 10,
    "steps": 600,
    "student_steps": 2000,
}
SMALL = {
    "sizes": (60,),
    "fresh": 300,
    "members": 2,
    "students": 2,
    "splits": 2,
    "steps": 200,
    "student_steps": 200,
}
PANELS = 2

_TEMPERATURE = 4.0
_ARMS = ("single", "self-distilled", "distilled", "ensemble")


@dataclass(frozen=True)
class Role:
    """Networks trained in one way: logits on their own and on fresh images, how far they are from the end."""

    seen: Tensor
    fresh: Tensor
    excess: float
    gradient: float


def run(
    stream: Stream,
    *,
    data: Path | None = None,
    sizes: Sequence[int],
    fresh: int,
    members: int,
    students: int,
    splits: int,
    steps: int,
    student_steps: int,
) -> list[dict[str, Any]]:
    """Rows: data, n, arm, accuracy with its interval, the gain over single networks and over the arm before
    it in the order, each with its own, and the distance from convergence.
    """
    sources = [load_images()] if data is None else [load_images(), load_images(data)]
    counts, durations = (members, students), (steps, student_steps)
    rows = []
    for images in sources:
        for n in sizes:
            found = [
                _split(images, n, fresh, counts, durations, stream.child(images.name, n, split))
                for split in range(splits)
            ]
            rows += _rows(images.name, n, pd.concat(found, keys=range(splits)))
    return rows


def _split(
    images: Images, n: int, fresh: int, counts: tuple[int, int], durations: tuple[int, int], stream: Stream
) -> pd.DataFrame:
    """A row for each arm: accuracy, excess, gradient."""
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    seen, kept = order[:n], order[n : n + fresh]
    right = images.labels[kept]

    def fit(name: str, teacher: Tensor | None) -> Role:
        nets = train(
            MLP((images.dim, 32, 32, images.num_classes)),
            images.inputs[seen],
            images.labels[seen],
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": _TEMPERATURE},
            members=counts[teacher is not None],
            recipe=Recipe(steps=durations[teacher is not None], learning_rate=0.005, schedule="cosine"),
            stream=stream.child(name),
            device="cpu",
        )
        own = nets.logits(images.inputs[seen])
        excess = nets.last_loss.mean() if teacher is None else _excess(teacher, own)
        return Role(own, nets.logits(images.inputs[kept]), float(excess), float(nets.gradient_norm.max()))

    single = fit("single", None)
    roles = {
        "single": single,
        "self-distilled": fit("self-distilled", single.seen[: counts[1]]),
        "distilled": fit("distilled", single.seen.mean(0)),
    }
    rows = {
        name: {"accuracy": float(accuracy(role.fresh, right).mean()), "excess": role.excess,
               "gradient": role.gradient}
        for name, role in roles.items()
    }  # fmt: skip
    rows["ensemble"] = {"accuracy": float(accuracy(single.fresh.mean(0), right))}
    return pd.DataFrame.from_dict(rows, orient="index")


def _excess(teacher: Tensor, students: Tensor) -> Tensor:
    """T²·KL(φ_T(teacher), φ_T(student)), the mean over students and images."""
    divergence = kl_divergence(students / _TEMPERATURE, teacher.expand_as(students) / _TEMPERATURE)
    return _TEMPERATURE**2 * divergence.mean()


def _rows(name: str, n: int, found: pd.DataFrame) -> list[dict[str, Any]]:
    reached = found["accuracy"].unstack()  # noqa: PD010
    rows = []
    for place, arm in enumerate(_ARMS):
        row: dict[str, Any] = {"data": name, "n": n, "arm": arm, "splits": len(reached)}
        compared = {"accuracy": reached[arm], "gain": reached[arm] - reached["single"]}
        if place:
            compared["step"] = reached[arm] - reached[_ARMS[place - 1]]
        for what, values in compared.items():
            mean = mean_test(values.to_numpy())
            low, high = mean.interval()
            row |= {what: mean.mean, f"{what}_low": low, f"{what}_high": high}
        own = found.xs(arm, level=1)
        rows.append(row | {"excess": own["excess"].mean(), "gradient": own["gradient"].max()})
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Gains over a single network, and over the arm before; data sets and sizes by colour and marker."""
    colors = (PALETTE["blue"], PALETTE["vermillion"], PALETTE["green"], PALETTE["purple"])
    for place, ((name, n), own) in enumerate(rows.groupby(["data", "n"], sort=False)):
        label = f"{name.partition('/')[0]}, n = {n} (single: {own['accuracy'].iloc[0]:.3f})"
        style = {"color": colors[place % 4], "marker": "os"[place // 2 % 2], "label": label}
        later = own.iloc[1:]
        x = later["arm"].map(_ARMS.index).to_numpy(float) + 0.1 * (place - 1.5)
        for ax, what in zip(axes, ("gain", "step"), strict=True):
            points(ax, x, *(100 * later[c] for c in (what, f"{what}_low", f"{what}_high")), **style)
    pairs = [f"{after}\n− {before}" for before, after in pairwise(_ARMS)]
    for ax, letter, title, names, label in (
        (axes[0], "a", "gain over a single network", _ARMS[1:], "trained as"),
        (axes[1], "b", "gain over the one before in the order", pairs, "compared"),
    ):
        ax.axhline(0, color="gray", linewidth=0.8)
        ax.set_xticks(range(1, len(_ARMS)), names)
        ax.set_xlim(0.5, len(_ARMS) - 0.5)
        ax.set_xlabel(label)
        ax.set_ylabel("test accuracy, percentage points")
        panel_letter(ax, letter, title)
    legend_above(axes[0], columns=4)
