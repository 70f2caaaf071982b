"""What distilling a head can gain, said before it is trained.

A backbone of 16 features is trained on digits and frozen. A student is a softmax head on it, distilled from
a teacher on images without labels. Its misfit KL(teacher‖student) on these images, which needs no label, is
what it gains on its teacher wherever the truth is such a head. Teachers are nets of their own on 20 to 320
labels, some of them wrong, and one that was trained on far more images than the backbone; each dot is one
teacher with its student, eight draws of images and starts. Axes are logarithmic but for the part within ±0.01
nats.
(a) What was said, and the divergence from the best head (the one nearest to the smoothed labels of these
images) that the student gains: on these images the same number exactly, and on fresh ones.
(b) What was said, and the log loss on the labels of fresh images that is gained. Where the teacher knows more
than any head on the backbone, its misfit is a loss instead: the number says how much the student will differ
from its teacher, and only with the assumption that it will be better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from kdtheory.datasets import digits
from kdtheory.losses import kl_divergence
from kdtheory.plots import PALETTE, panel_letter
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.schemes import fit
from kdtheory.streams import Stream
from kdtheory.weak_to_strong import distilled_head, head_logits, misfits

CLAIMS = ("distilled_head_gains_exactly_its_misfit",)
CONFIG = {
    "draws": 8,
    "fresh": 500,
    "unlabelled": 300,
    "backbone": 320,
    "labels": (20, 40, 80, 160, 320),
    "wrong": 0.3,
    "steps": 300,
}
SMALL = {"draws": 2, "labels": (40, 320), "steps": 40}
PANELS = 2

_FEATURES, _WIDTH, _SMOOTHED, _LINEAR = 16, 64, 0.1, 0.01
_KINDS = {"right": "blue", "some wrong": "orange", "more than the backbone's": "vermillion"}
"""The labels that a teacher saw, and its colour."""


@dataclass(frozen=True)
class _Drawn:
    """Images in an order of chance, with the parts that they are cut into."""

    inputs: Tensor
    labels: Tensor
    fresh: slice
    unlabelled: slice
    known: slice


def run(
    stream: Stream,
    *,
    draws: int,
    fresh: int,
    unlabelled: int,
    backbone: int,
    labels: Sequence[int],
    wrong: float,
    steps: int,
) -> list[dict[str, Any]]:
    """Rows: draw, teacher, labels that it saw, its misfit, and what its student gains by each measure.

    Args:
        stream: where images, starts and wrong labels come from.
        draws: of images, with a backbone and teachers for each.
        fresh: images on which teachers and students are compared.
        unlabelled: images that the students are distilled on.
        backbone: images that the backbone is trained on; teachers of few labels see the first of these.
        labels: how many they see.
        wrong: the share of wrong labels of the teachers that see some.
        steps: of each training.
    """
    recipe, rows = Recipe(steps=steps, learning_rate=0.01, weight_decay=0.002), []
    for number in range(draws):
        own, images = stream.child(number), digits()
        order = torch.randperm(images.num_images, generator=own.child("images").torch())
        parts = slice(fresh), slice(fresh, fresh + unlabelled), slice(fresh + unlabelled, None)
        drawn = _Drawn(images.inputs[order], images.labels[order], *parts)
        features = _features(drawn, backbone, recipe, own.child("backbone"))
        teachers = _teachers(drawn, labels, wrong, recipe, own)
        rows += [{"draw": number} | row for row in _compared(drawn, features, teachers)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Gain over misfit: against the best head, and on labels."""
    for kind, line in rows.groupby("kind", sort=False):
        color = PALETTE[_KINDS[str(kind)]]
        axes[0].plot(line["misfit"], line["gain on the sample"], "+", color=color, markersize=7)
        axes[0].plot(line["misfit"], line["gain"], "o", color=color, markersize=3.5, alpha=0.7, label=kind)
        axes[1].plot(line["misfit"], line["gain in log loss"], "o", color=color, markersize=3.5, alpha=0.7)
    for ax, letter, title, what in zip(
        axes,
        "ab",
        ("against the best head", "on labels"),
        (
            "divergence that is gained (nats)\n(crosses: same images; dots: fresh)",
            "log loss that is gained (nats)",
        ),
        strict=True,
    ):
        said = np.geomspace(0.7 * rows["misfit"].min(), 1.4 * rows["misfit"].max(), 200)
        ax.plot(said, said, color="0.4", linewidth=1, linestyle="--", zorder=0)
        ax.axhline(0, color="0.4", linewidth=0.8)
        ax.set_xscale("log")
        ax.set_yscale("symlog", linthresh=_LINEAR)
        ax.set_xlabel("misfit, said before training (nats)\ndashed: what is said is gained")
        ax.set_ylabel(what)
        panel_letter(ax, letter, title)
    axes[0].legend(title="labels of the teacher", loc="lower right")


def _net(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, _WIDTH), nn.Tanh(), nn.Linear(_WIDTH, width), nn.Tanh(), nn.Linear(width, classes)
    )


def _trained(width: int, inputs: Tensor, labels: Tensor, recipe: Recipe, stream: Stream) -> nn.Sequential:
    with stream.child("start").default():
        start = _net(width, 10)
    module = fit(start, (inputs, labels), recipe=recipe, stream=stream.child("order"), device="cpu").module
    assert isinstance(module, nn.Sequential)
    return module


def _features(drawn: _Drawn, images: int, recipe: Recipe, stream: Stream) -> Tensor:
    """The backbone's features of all images, float64."""
    inputs, labels = drawn.inputs[drawn.known][:images], drawn.labels[drawn.known][:images]
    backbone = _trained(_FEATURES, inputs, labels, recipe, stream)[:-1]
    with torch.no_grad():
        features: Tensor = backbone(drawn.inputs).double()
    return features


def _teachers(
    drawn: _Drawn, labels: Sequence[int], wrong: float, recipe: Recipe, stream: Stream
) -> Iterator[tuple[str, int, Tensor]]:
    """What labels a teacher saw and how many, and its logits on all images, float64."""
    inputs, right = drawn.inputs[drawn.known], drawn.labels[drawn.known]
    generator = stream.child("wrong").torch()
    others = (right + torch.randint(1, 10, right.shape, generator=generator)) % 10
    some = torch.where(torch.rand(right.shape, generator=generator) < wrong, others, right)
    seen = [("right", right, count) for count in labels]
    seen += [("some wrong", some, count) for count in labels]
    seen += [("more than the backbone's", right, len(right))]
    for kind, told, count in seen:
        teacher = _trained(_WIDTH, inputs[:count], told[:count], recipe, stream.child(kind, count))
        with torch.no_grad():
            yield kind, count, teacher(drawn.inputs).double()


def _compared(
    drawn: _Drawn, features: Tensor, teachers: Iterator[tuple[str, int, Tensor]]
) -> Iterator[dict[str, Any]]:
    pool, fresh, labels = features[drawn.unlabelled], features[drawn.fresh], drawn.labels[drawn.fresh]
    smoothed = (1 - _SMOOTHED) * one_hot(drawn.labels[drawn.unlabelled], 10).double() + _SMOOTHED / 10
    best = distilled_head(pool, smoothed)
    for kind, count, logits in teachers:
        probs = logits[drawn.unlabelled].softmax(-1)
        said = misfits(pool, {kind: probs})[kind]
        student = distilled_head(pool, probs)
        before, after = logits[drawn.fresh], head_logits(student, fresh)
        yield {
            "kind": kind,
            "labels": count,
            "misfit": said,
            "gain on the sample": _nearer(logits[drawn.unlabelled], student, best, pool),
            "gain": _nearer(before, student, best, fresh),
            "gain in log loss": float(cross_entropy(before, labels) - cross_entropy(after, labels)),
            "gain in accuracy": float(accuracy(after, labels) - accuracy(before, labels)),
            "accuracy of the teacher": float(accuracy(before, labels)),
            "accuracy of the best head": float(accuracy(head_logits(best, fresh), labels)),
        }


def _nearer(teacher: Tensor, student: Tensor, best: Tensor, features: Tensor) -> float:
    """KL(teacher‖best head) − KL(student‖best head), means over these images."""
    target = head_logits(best, features)
    apart = [kl_divergence(target, one).mean() for one in (teacher, head_logits(student, features))]
    return float(apart[0] - apart[1])
