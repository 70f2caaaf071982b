"""What each scheme of distillation gains over labels alone, against the number of points.

Digits; students with one hidden layer of 16 units, each with a start and a sample of its own from a pool of
1,000 images; every scheme sees the same starts and samples, so that gains are paired. Accuracy is that after
the last step on the 797 images that nothing was trained on; bands are 95 % Student intervals over students.

(a) Offline, T = 4, λ = 0.9, by teacher: good (128 units, trained on the pool), an ensemble of eight such,
one trained on the pool with its labels shuffled, one not trained at all. (b) Without any teacher: online
(pairs that teach each other, T = 1) and self-distillation (born again once and three times, T = 4, λ = 0.9);
they see no more than the students of labels do. (c) Whether all has converged: accuracy after the last step
of trainings of different length, at one n; with T = 4 a student needs several times the steps of one that
learns from labels, and stopped early it looks harmed by its teacher.

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
from kdtheory.plots import PALETTE, band, counts_axis, panel_letter
from kdtheory.populations import Population, train
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
    "members": 24,
    "steps": 1000,
    "lengths": (30, 60, 120, 250, 500, 1000, 2000),
    "length_size": 100,
}
SMALL = {"sizes": (25, 50), "members": 6, "steps": 60, "lengths": (20, 60), "length_size": 25}
PANELS = 3

_POOL = 1000
_KD = {"temperature": 4.0, "weight": 0.9}
_MUTUAL = {"peers": 2, "weight": 1.0, "temperature": 1.0}
_STYLES = {
    "good teacher": (PALETTE["blue"], "o"),
    "ensemble of 8": (PALETTE["sky"], "s"),
    "shuffled labels": (PALETTE["vermillion"], "v"),
    "random teacher": (PALETTE["orange"], "^"),
    "online, 2 peers": (PALETTE["green"], "o"),
    "born again": (PALETTE["purple"], "s"),
    "born again 3 times": (PALETTE["black"], "^"),
    "labels": (PALETTE["vermillion"], "s"),
}


class _Ground(NamedTuple):
    """The images in a random order, the first of which are the pool; what each teacher says on the pool."""

    inputs: Tensor
    labels: Tensor
    teachers: dict[str, Tensor]

    def accuracy(self, logits: Tensor) -> Tensor:
        """Of each student on the images beyond the pool; the mean over the peers of a cohort."""
        right = logits.argmax(-1).cpu() == self.labels[_POOL:].unsqueeze(-1)
        return right.double().mean((-2, -1))


def run(
    stream: Stream,
    *,
    sizes: Sequence[int],
    members: int,
    steps: int,
    lengths: Sequence[int],
    length_size: int,
) -> list[dict[str, Any]]:
    """Rows: panel, scheme, n, steps; mean accuracy, mean gain with its interval, largest gradient norm."""
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
        ax.legend(fontsize="small")
    axes[0].set_yscale("symlog", linthresh=15)
    axes[0].set_yticks(
        [-80, -40, -15, -10, -5, 0, 5, 10, 15], ["−80", "−40", "−15", "−10", "−5", "0", "5", "10", "15"]
    )
    _draw_lengths(axes[2], rows[rows["panel"] == "length"])


def _draw_lengths(ax: Any, rows: pd.DataFrame) -> None:
    for scheme in ("labels", "good teacher"):
        line = rows[rows["scheme"] == scheme]
        color, marker = _STYLES[scheme]
        low, high = line["accuracy_low"], line["accuracy_high"]
        band(ax, line["steps"], line["accuracy"], low, high, color=color, marker=marker, label=scheme)
    counts_axis(ax, rows["steps"], label="steps of training")
    ax.set_ylabel("accuracy after the last step")
    panel_letter(ax, "c", f"length of training, $n$ = {rows['n'].iloc[0]}")
    ax.legend(fontsize="small", loc="lower right")


def _ground(stream: Stream) -> _Ground:
    images = digits()
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    inputs, labels = images.inputs[order], images.labels[order]
    shuffled = labels[torch.randperm(_POOL, generator=stream.child("shuffle").torch())]
    teach = partial(
        train, MLP((images.dim, 128, images.num_classes)), inputs[:_POOL], loss=label_loss, members=8,
        stream=stream.child("teachers"), learning_rate=0.01, device="cpu",
    )  # fmt: skip
    good, poor, none = (
        teach(labels[:_POOL], steps=300), teach(shuffled, steps=300), teach(labels[:_POOL], steps=0)
    )  # fmt: skip
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
    """One row a scheme; `few` asks for labels and the good teacher only."""
    generator = stream.child("rows").torch()
    rows = torch.stack([torch.randperm(_POOL, generator=generator)[:n] for _ in range(members)])
    inputs, labels = ground.inputs[rows], ground.labels[rows]
    each = MLP((inputs.shape[-1], 16, 10))
    learn = partial(_trained, inputs=inputs, labels=labels, steps=steps, stream=stream.child("starts"))
    taught = partial(learn, each, loss=distillation, settings=_KD)
    test = ground.inputs[_POOL:]
    plain = learn(each, loss=label_loss)
    own = ground.accuracy(plain.logits(test).unsqueeze(-2))
    facts = {"n": n, "steps": steps, "members": members}
    found = [facts | {"panel": "labels"} | _measured("labels", own, own, plain)]
    for name, probs in ground.teachers.items():
        if not few or name == "good teacher":
            students = taught(teacher_probs=probs[rows])
            accuracy = ground.accuracy(students.logits(test).unsqueeze(-2))
            found.append(facts | {"panel": "offline"} | _measured(name, accuracy, own, students))
    if few:
        return found
    pairs = learn(Cohort(each, 2), loss=mutual_loss, settings=_MUTUAL)
    accuracy = ground.accuracy(pairs.logits(test).unflatten(-1, (2, -1)))
    found.append(facts | {"panel": "own"} | _measured("online, 2 peers", accuracy, own, pairs))
    return found + [
        facts | {"panel": "own"} | row for row in _born_again(ground, taught, plain, inputs, own, stream)
    ]


def _born_again(
    ground: _Ground, taught: Any, plain: Population, inputs: Tensor, own: Tensor, stream: Stream
) -> list[dict[str, Any]]:
    rows, teacher = [], plain
    for turn in range(1, 4):
        probs = teacher.logits(inputs).softmax(-1)
        teacher = taught(teacher_probs=probs, stream=stream.child("starts", turn))
        accuracy = ground.accuracy(teacher.logits(ground.inputs[_POOL:]).unsqueeze(-2))
        if turn != 2:
            name = "born again" if turn == 1 else "born again 3 times"
            rows.append(_measured(name, accuracy, own, teacher))
    return rows


def _trained(
    architecture: Architecture, *, inputs: Tensor, labels: Tensor, steps: int, stream: Stream, **what: Any
) -> Population:
    """Adam at 0.01 for three quarters of the steps and at 0.001 for the rest."""
    first = steps - steps // 4
    how = {"members": len(inputs), "stream": stream, "device": "cpu", **what}
    students = train(architecture, inputs, labels, steps=first, learning_rate=0.01, **how)
    return train(
        architecture, inputs, labels, steps=steps - first, learning_rate=0.001, initial=students.params, **how
    )


def _measured(name: str, accuracy: Tensor, own: Tensor, students: Population) -> dict[str, Any]:
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
        "largest_gradient_norm": float(students.gradient_norm.max()),
        "median_gradient_norm": float(students.gradient_norm.median()),
    }
