"""The gain of each scheme of distillation over labels alone, against the number of points.

Digits; students with one hidden layer of 16 tanh units, each with a start and a sample of its own from a pool
of 1,000 images; every scheme sees the same starts and samples, so that gains are paired, and trains alike:
Adam, a rate that falls from 0.02 to 0 on a cosine, weight decay 0.001, which keeps the minimum finite.
Accuracy is that after the last step on the 797 images that nothing was trained on; bands are 95 % Student
intervals over students.

(a) Offline, T = 4, λ = 0.9, by teacher: good (128 units, trained on the pool), an ensemble of eight such,
one trained on the pool with its labels shuffled, one not trained at all. (b) Without any teacher: online
(pairs that teach each other, T = 1) and self-distillation (born again once and three times, T = 4, λ = 0.9);
they see no more than the students of labels do. (c) Accuracy after the last step of trainings of different
length, at one n; with T = 4 a student needs several times the steps of one that learns from labels, and
stopped early it looks harmed by its teacher. (d) Whether all have converged: of each scheme's students, the
largest gradient norm of what they minimise after the last step, against a tolerance of 0.02, with the norms
at their starts above. The units are smooth because that norm need not vanish at a kink. The table has how
many students converged.

To look at: a good teacher helps most where points are fewest; what has learned nothing harms; the schemes
without a teacher gain little or nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from kdtheory.datasets import digits
from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import mutual_loss
from kdtheory.networks import MLP, Architecture
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.schemes.cohort import Cohort
from kdtheory.schemes.populations import ensemble_probs
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "distilled_students_beat_students_of_labels_at_small_n",
    "students_of_teachers_that_know_nothing_do_worse",
    "mutual_learners_agree_more_than_independent_ones",
)
CONFIG = {
    "sizes": (25, 50, 100, 200, 400),
    "members": 12,
    "steps": 1200,
    "lengths": (30, 75, 150, 300, 600, 1200, 2400),
    "length_size": 100,
}
SMALL = {"sizes": (25, 50), "members": 6, "steps": 60, "lengths": (20, 60), "length_size": 25}
PANELS = 4

_POOL, _CONVERGED = 1000, 0.02
_KD = {"temperature": 4.0, "weight": 0.9}
_FEW = ("labels", "good teacher", "shuffled labels")
_MUTUAL = {"peers": 2, "weight": 1.0, "temperature": 1.0}
_STYLES = {
    "good teacher": (PALETTE["blue"], "o"),
    "ensemble of 8": (PALETTE["sky"], "s"),
    "shuffled labels": (PALETTE["vermillion"], "v"),
    "random teacher": (PALETTE["orange"], "^"),
    "online, 2 peers": (PALETTE["green"], "o"),
    "born again": (PALETTE["purple"], "s"),
    "born again 3 times": ("0.5", "^"),
    "labels": (PALETTE["black"], "D"),
}


class _Trained(NamedTuple):
    """Students, and the norms of their gradients before the first step."""

    students: Population
    starts: Tensor


class _Ground(NamedTuple):
    """The images in a random order, the first of which are the pool; what each teacher says on the pool."""

    inputs: Tensor
    labels: Tensor
    teachers: dict[str, Tensor]

    def accuracy(self, trained: _Trained, peers: int = 1) -> Tensor:
        """Accuracy of each student on the images beyond the pool; the mean over the peers of a cohort."""
        logits = trained.students.logits(self.inputs[_POOL:]).unflatten(-1, (peers, -1))
        right = logits.argmax(-1).cpu() == self.labels[_POOL:].unsqueeze(-1)
        accuracy: Tensor = right.double().mean((-2, -1))
        return accuracy


def run(
    stream: Stream,
    *,
    sizes: Sequence[int],
    members: int,
    steps: int,
    lengths: Sequence[int],
    length_size: int,
) -> list[dict[str, Any]]:
    """Rows: panel, scheme, n, steps; mean accuracy, mean gain with its interval, gradient norms."""
    ground = _ground(stream)
    rows = []
    for n in sizes:
        rows += _at_one_size(ground, n, members, steps, stream.child("students", n))
    for length in lengths:
        found = _at_one_size(ground, length_size, members, length, stream.child("lengths"), few=True)
        rows += [row | {"panel": "length"} for row in found]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Gains over n for schemes with a teacher and without; accuracy over the length of training."""
    for ax, panel, letter, title in (
        (axes[0], "offline", "a", "from a teacher"),
        (axes[1], "own", "b", "without one"),
    ):
        part = rows[rows["panel"] == panel]
        for scheme, line in part.groupby("scheme", sort=False):
            color, marker = _STYLES[str(scheme)]
            band(
                ax, line["n"], 100 * line["gain"], 100 * line["low"], 100 * line["high"],
                color=color, marker=marker, label=str(scheme),
            )  # fmt: skip
        ax.axhline(0, color="0.3", linewidth=1)
        counts_axis(ax, part["n"], label="points $n$")
        ax.set_ylabel("gain in accuracy over labels (points of 100)")
        panel_letter(ax, letter, title)
    axes[0].set_yscale("symlog", linthresh=15)
    for level in (15, -15):  # where the axis changes from linear to logarithmic
        axes[0].axhline(level, color="0.4", linewidth=0.8, linestyle=":")
    axes[0].text(0.97, 0.30, "beyond the dotted lines\nthe axis is logarithmic", color="0.4",
                 transform=axes[0].transAxes, ha="right", fontsize="small")  # fmt: skip
    axes[0].set_yticks(
        [-80, -40, -15, -10, -5, 0, 5, 10, 15], ["−80", "−40", "−15", "−10", "−5", "0", "5", "10", "15"]
    )
    _draw_lengths(axes[2], rows[rows["panel"] == "length"])
    _draw_convergence(axes[3], rows[rows["panel"] != "length"])
    legend_above(axes[3], columns=10)


def _draw_lengths(ax: Any, rows: pd.DataFrame) -> None:
    for scheme in _FEW:
        line = rows[rows["scheme"] == scheme]
        color, marker = _STYLES[scheme]
        low, high = line["accuracy_low"], line["accuracy_high"]
        band(ax, line["steps"], line["accuracy"], low, high, color=color, marker=marker, label=scheme)
    counts_axis(ax, rows["steps"], label="steps of training")
    ax.set_ylabel("accuracy after the last step")
    panel_letter(ax, "c", f"length of training, $n$ = {rows['n'].iloc[0]}")


def _draw_convergence(ax: Any, rows: pd.DataFrame) -> None:
    for scheme, (color, marker) in _STYLES.items():
        line = rows[rows["scheme"] == scheme]
        ax.plot(
            line["n"], line["largest_gradient_norm"], marker + "-", color=color, markersize=4.5,
            linewidth=1.4, label=scheme,
        )  # fmt: skip
    norms = rows["starting_gradient_norm"]
    ax.axhspan(norms.min(), norms.max(), color="0.88", zorder=0, label="at the start")
    ax.axhline(_CONVERGED, color="0.3", linewidth=1, linestyle="--", label="tolerance")
    ax.set_yscale("log")
    counts_axis(ax, rows["n"], label="points $n$")
    ax.set_ylabel("largest gradient norm after the last step")
    panel_letter(ax, "d", f"convergence, {rows['steps'].iloc[0]:,} steps")


def _ground(stream: Stream) -> _Ground:
    images = digits()
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    inputs, labels = images.inputs[order], images.labels[order]
    shuffled = labels[torch.randperm(_POOL, generator=stream.child("shuffle").torch())]
    teach = partial(
        train, MLP((images.dim, 128, images.num_classes)), inputs[:_POOL], loss=label_loss, members=8,
        stream=stream.child("teachers"), device="cpu",
    )  # fmt: skip
    long, not_at_all = Recipe(steps=300, learning_rate=0.01), Recipe(steps=0)
    good, poor, none = (
        teach(own, recipe=recipe)
        for own, recipe in ((labels[:_POOL], long), (shuffled, long), (labels[:_POOL], not_at_all))
    )
    said = {
        name: t.logits(inputs[:_POOL])[0].softmax(-1)
        for name, t in zip("gpn", (good, poor, none), strict=True)
    }
    return _Ground(
        inputs,
        labels,
        {
            "good teacher": said["g"],
            "ensemble of 8": ensemble_probs(good, inputs[:_POOL]),
            "shuffled labels": said["p"],
            "random teacher": said["n"],
        },
    )


def _at_one_size(
    ground: _Ground, n: int, members: int, steps: int, stream: Stream, *, few: bool = False
) -> list[dict[str, Any]]:
    """One row a scheme; `few` asks for those of `_FEW` only."""
    generator = stream.child("rows").torch()
    rows = torch.stack([torch.randperm(_POOL, generator=generator)[:n] for _ in range(members)])
    inputs, labels = ground.inputs[rows], ground.labels[rows]
    each = MLP((inputs.shape[-1], 16, 10), activation="tanh")
    learn = partial(_trained, inputs=inputs, labels=labels, steps=steps, stream=stream.child("starts"))
    taught = partial(learn, each, loss=distillation, settings=_KD)
    plain = learn(each, loss=label_loss)
    own = ground.accuracy(plain)
    facts = {"n": n, "steps": steps, "members": members}
    found = [facts | {"panel": "labels"} | _measured("labels", own, own, plain)]
    for name, probs in ground.teachers.items():
        if not few or name in _FEW:
            students = taught(teacher_probs=probs[rows])
            measured = _measured(name, ground.accuracy(students), own, students)
            found.append(facts | {"panel": "offline"} | measured)
    if few:
        return found
    pairs = learn(Cohort(each, 2), loss=mutual_loss, settings=_MUTUAL)
    measured = _measured("online, 2 peers", ground.accuracy(pairs, 2), own, pairs)
    found.append(facts | {"panel": "own"} | measured)
    return found + [
        facts | {"panel": "own"} | row for row in _born_again(ground, taught, plain, inputs, own, stream)
    ]


def _born_again(
    ground: _Ground, taught: Any, plain: _Trained, inputs: Tensor, own: Tensor, stream: Stream
) -> list[dict[str, Any]]:
    rows, teacher = [], plain
    for turn in range(1, 4):
        probs = teacher.students.logits(inputs).softmax(-1)
        teacher = taught(teacher_probs=probs, stream=stream.child("starts", turn))
        if turn != 2:
            name = "born again" if turn == 1 else "born again 3 times"
            rows.append(_measured(name, ground.accuracy(teacher), own, teacher))
    return rows


def _trained(
    architecture: Architecture, *, inputs: Tensor, labels: Tensor, steps: int, stream: Stream, **what: Any
) -> _Trained:
    how = {"members": len(inputs), "stream": stream, "device": "cpu", **what}
    recipe = Recipe(steps=steps, learning_rate=0.02, schedule="cosine", weight_decay=1e-3)
    untrained, trained = (
        train(architecture, inputs, labels, recipe=recipe.but(steps=count), **how) for count in (0, steps)
    )
    return _Trained(trained, untrained.gradient_norm)


def _measured(name: str, accuracy: Tensor, own: Tensor, trained: _Trained) -> dict[str, Any]:
    level, gain = mean_test(accuracy.numpy()), mean_test((accuracy - own).numpy())
    low, high = gain.interval()
    accuracy_low, accuracy_high = level.interval()
    return {
        "scheme": name,
        "accuracy": level.mean,
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
        "gain": gain.mean,
        "low": low,
        "high": high,
        "largest_gradient_norm": float(trained.students.gradient_norm.max()),
        "median_gradient_norm": float(trained.students.gradient_norm.median()),
        "starting_gradient_norm": float(trained.starts.median()),
        "converged": int(trained.students.converged(_CONVERGED).sum()),
    }
