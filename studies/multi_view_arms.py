"""Single networks, ensembles and students, on multi-view and on Gaussian inputs.

Test accuracy, means over independent training sets with 95 % intervals. On multi-view data a single network
lacks views and the ensemble does not; a student of the ensemble gains where feature noise comes and goes
(six classes), and not in the binary world as the notes print it; a student of one network lies between.
Networks in the tangent-kernel regime, on the random features ∂f/∂θ of their start, whose output is taken off,
lack nothing there: they are at the top already. (Where it is kept, the noise patches of a fresh point add to
it as much as was learned, and mislead single networks.) The average of networks trained as one is one wide
network.

On Gaussian inputs, labelled by a linear rule or a ReLU network, and on a mixture of Gaussians, neither an
ensemble nor a student gains more than a percentage point, a quarter of the error at most. Random features are
another matter: their ensemble has more of them, and gains where one network has too few, but a student on
features of its own does not follow it. That is what Allen-Zhu & Li (2020) say tells the two kinds of
ensembles apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from kdtheory.experiments.multiview.comparisons import arms as compared_arms
from kdtheory.experiments.multiview.comparisons import of_one_network, replicated
from kdtheory.experiments.multiview.designs import BINARY, CLASSES, Design
from kdtheory.experiments.multiview.networks import singles
from kdtheory.experiments.multiview.vectors import (
    LINEAR,
    MEMBERS,
    MIXTURE,
    RELU_NETWORK,
    STUDENTS,
    Law,
    Points,
    compared,
)
from kdtheory.experiments.transfer_risk.worlds import tangent_features
from kdtheory.losses import distillation, label_loss
from kdtheory.multiview import limit_start, train_lazy
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "distillation_forces_every_feature_in_the_printed_world",
    "feature_noise_lets_distillation_teach_every_view",
    "self_distillation_lies_between_one_network_and_the_ensemble",
    "linearised_networks_lack_no_view",
    "training_the_average_is_not_an_ensemble",
    "on_gaussian_inputs_ensembles_and_distillation_bring_little",
)
CONFIG = {"replicates": 12, "members": 20, "students": 6}
SMALL = {"replicates": 2, "members": 3, "students": 2}

_ARMS = {
    "single": PALETTE["black"], "ensemble": PALETTE["blue"], "distilled": PALETTE["green"],
    "self-distilled": PALETTE["orange"], "self-distilled, T = 2": PALETTE["yellow"],
    "average trained as one": PALETTE["vermillion"],
    "lazy single": PALETTE["black"], "lazy ensemble": PALETTE["blue"], "lazy distilled": PALETTE["green"],
}  # fmt: skip
_LABELS = {
    "distilled": "distilled, T = 4", "self-distilled": "self-distilled, T = 4",
    "lazy single": "random features, single", "lazy ensemble": "random features, ensemble",
    "lazy distilled": "random features, distilled",
}  # fmt: skip
_LAWS = {"linear": LINEAR, "ReLU network": RELU_NETWORK, "mixture": MIXTURE}


def run(stream: Stream, *, replicates: int, members: int, students: int) -> list[dict[str, Any]]:
    """Rows: inputs, arm, mean accuracy and its interval over training sets."""
    rows = []
    for name, design in (("multi-view, as printed", BINARY), ("multi-view, six classes", CLASSES)):
        arms = _multi_view(design, stream.child(name), replicates, members, students)
        rows += [_row(name, arm, values) for arm, values in arms.items()]
    for rule, law in _LAWS.items():
        own = stream.child(rule)
        found = compared(law, own, draws=replicates)
        lazy = [
            _lazy_vectors(law.points(own.child("points", r)), law, own.child("lazy", r))
            for r in range(replicates)
        ]
        found |= {f"lazy {arm}": torch.tensor(part) for arm, part in _transposed(lazy).items()}
        rows += [_row(f"Gaussian, {rule}", arm.replace("_", "-"), values) for arm, values in found.items()]
    return rows


def _transposed(lazy: list[tuple[float, float, float]]) -> dict[str, tuple[float, ...]]:
    return dict(zip(("single", "ensemble", "distilled"), zip(*lazy, strict=True), strict=True))


def _lazy_vectors(points: Points, law: Law, stream: Stream) -> tuple[float, float, float]:
    """Networks in the tangent-kernel regime: single, ensemble, distilled from the ensemble.

    A network is linear in the features ∂(f₁ − f₀)/∂θ at its random start, from which it moves a read-out of
    them by the same recipe.
    """
    starts = law.network.init(stream.child("starts"), members=MEMBERS + STUDENTS)

    def fit(member: int, teacher: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        seen, fresh = (
            tangent_features(law.network, starts[member], inputs) for inputs in (points.seen, points.fresh)
        )
        nets = train(
            MLP((seen.shape[1], 2)),
            seen,
            points.labels,
            members=1,
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": 4.0},
            stream=stream.child("read-out", member),
            recipe=Recipe(steps=law.steps, learning_rate=law.learning_rate),
            device="cpu",
        )
        return nets.logits(seen)[0], nets.logits(fresh)[0]

    teachers, single = (
        torch.stack(part) for part in zip(*(fit(i, None) for i in range(MEMBERS)), strict=True)
    )
    students = range(MEMBERS, MEMBERS + STUDENTS)
    distilled = torch.stack([fit(member, teachers.mean(0))[1] for member in students])
    of_all = float(accuracy(single.mean(0), points.right))
    return (
        float(accuracy(single, points.right).mean()),
        of_all,
        float(accuracy(distilled, points.right).mean()),
    )


def _multi_view(design: Design, stream: Stream, replicates: int, members: int, students: int):
    cooler = replace(design, plan=replace(design.plan, temperature=2.0))
    sizes = {"replicates": replicates, "members": members, "students": students}
    found = replicated(design, stream, **sizes)
    means = compared_arms(found)
    arms = {name: means[name] for name in ("single", "ensemble", "distilled")}
    arms["self-distilled"] = of_one_network(found)
    arms["self-distilled, T = 2"] = of_one_network(replicated(cooler, stream, **sizes))
    lazy = [_lazy(design, stream.child("lazy", r), members) for r in range(replicates)]
    arms["lazy single"], arms["lazy ensemble"] = torch.tensor(lazy).T
    if design is BINARY:
        arms["average trained as one"] = torch.stack(
            [singles(design, 1, stream.child("one", r), average_of=4).accuracy[0] for r in range(replicates)]
        )
    return arms


def _lazy(design: Design, stream: Stream, members: int) -> tuple[float, float]:
    points = design.world.stratified(design.plan.n, stream.child("train"))
    test = design.world.views(1000, stream.child("test"))
    start = limit_start(
        replace(design.network, init_std=0.3), points, noise_norm=design.world.noise_norm,
        members=min(members, 6), stream=stream.child("nets"),
    )  # fmt: skip
    logits = train_lazy(start, points, steps=600, centred=True).logits(test.coefficients)
    single = float(accuracy(logits, test.labels).mean())
    return single, float(accuracy(logits.mean(0), test.labels))


def _row(inputs: str, arm: str, values: torch.Tensor) -> dict[str, Any]:
    test = mean_test(values.double().numpy())
    low, high = test.interval()
    return {"inputs": inputs, "arm": arm, "accuracy": test.mean, "low": low, "high": high, "n": len(values)}


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """A group of points for each kind of inputs, around its tick."""
    groups = list(rows.groupby("inputs", sort=False))
    for place, (_, own) in enumerate(groups):
        offsets = 0.11 * (np.arange(len(own)) - (len(own) - 1) / 2)
        for offset, (_, row) in zip(offsets, own.iterrows(), strict=True):
            color, x = _ARMS[row["arm"]], place + offset
            ax.vlines(x, row["low"], min(1.0, row["high"]), color=color, linewidth=1.4)
            ax.plot(x, row["accuracy"], _marker(row["arm"]), color=color, markersize=5)
    for arm, color in _ARMS.items():
        ax.plot([], [], _marker(arm), color=color, markersize=5, label=_LABELS.get(arm, arm))
    for edge in np.arange(len(groups) - 1) + 0.5:
        ax.axvline(edge, color="0.85", linewidth=0.8)
    names = [name.replace(", ", ",\n").replace("ReLU network", "ReLU net") for name, _ in groups]
    ax.set_xticks(range(len(groups)), names, fontsize="small")
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.grid(visible=False, axis="x")
    ax.set_ylabel("test accuracy")
    ax.set_xlabel("inputs")
    ax.set_title("who gains, and where", loc="left", fontsize="medium")
    legend_above(ax, columns=3)


def _marker(arm: str) -> str:
    return "s" if arm.startswith("lazy") else "o"
