"""Feature and relation losses side by side, on digits and on Fashion-MNIST.

A convolutional teacher with two layers in each of two stages, trained on a pool of 1,000 images; students
with one layer a stage and the same numbers of channels, each with a start and 60 points of its own, all of
which make every batch. A student minimises the cross-entropy of the labels and one more term: the teacher's
softened logits (T = 4), or a loss on features or relations of the second stage (of both stages for the flow
matrix). Each term is weighted so that it equals the cross-entropy of an ignorant student, ln k, at its start:
one rule for all, fixed beforehand, and no weight is tuned. Fashion-MNIST is averaged down to 7 × 7 pixels.

Points are mean gains in last-step accuracy over the same student trained on labels alone, on images that
nothing was trained on; bars are 95 % Student intervals over students, paired.

To look at: at equal initial weight, relations between examples gain about as much as the teacher's logits on
digits, and less on Fashion-MNIST; what matches maps place by place gains nothing, or harms. The weights that
the rule gives are in the table; papers tune them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, TensorDataset

from kdtheory.datasets import Images, load_images
from kdtheory.losses.features import (
    attention_guided_loss,
    attention_transfer,
    hint_loss,
    local_structure_loss,
    non_local_loss,
)
from kdtheory.losses.relations import (
    correlation_congruence,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)
from kdtheory.plots import PALETTE, panel_letter
from kdtheory.schemes import (
    Comparison,
    Term,
    Trained,
    Training,
    compare,
    distil,
    fit,
    labels_term,
    linear_projection,
    response_term,
)
from kdtheory.streams import Stream

CLAIMS = (
    "learned_projection_of_a_hint_forgives_linear_maps",
    "relational_losses_are_zero_under_every_similarity",
    "zero_relation_loss_does_not_mean_equal_logits",
)
CONFIG = {
    "data": {"digits": None, "Fashion-MNIST": "/usr/share/datasets/fashion-mnist"},
    "size": 60,
    "steps": 240,
    "seeds": 10,
}
SMALL = {"data": {"digits": None}, "size": 30, "steps": 4, "seeds": 2}
PANELS = 2

_POOL, _TEST, _BATCH = 1000, 797, 50
_STAGE = "stage2"
_TERMS: dict[str, Term] = {
    "logits, T = 4": response_term(4.0),
    "hint, projected": Term(hint_loss, student=_STAGE, teacher=_STAGE, projection=linear_projection),
    "attention transfer": Term(attention_transfer, student=_STAGE, teacher=_STAGE),
    "attention-guided": Term(attention_guided_loss, student=_STAGE, teacher=_STAGE),
    "non-local": Term(non_local_loss, student=_STAGE, teacher=_STAGE),
    "local structure, RBF": Term(
        partial(local_structure_loss, similarity="rbf"), student="pooled", teacher="pooled"
    ),
    "flow matrix": Term(flow_matrix_loss, student=("stage1", _STAGE), teacher=("stage1", _STAGE)),
    "relational distances": Term(relational_distance_loss, student="pooled", teacher="pooled"),
    "relational angles": Term(relational_angle_loss, student="pooled", teacher="pooled"),
    "similarity-preserving": Term(similarity_preserving, student="pooled", teacher="pooled"),
    "correlation congruence": Term(correlation_congruence, student="pooled", teacher="pooled"),
    "probabilistic transfer": Term(probabilistic_transfer, student="pooled", teacher="pooled"),
}
_KINDS = dict(zip(_TERMS, ("blue", *["orange"] * 5, *["green"] * 6), strict=True))


class _Net(nn.Module):
    """Two stages of 3 × 3 convolutions with 12 and 24 channels, each layer normalised, and a linear head."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        self.stage1 = _stage(1, 12, depth)
        self.stage2 = _stage(12, 24, depth)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * 24, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(self.stage2(self.stage1(x))))
        return logits


def _stage(channels: int, out: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place in range(depth):
        inside, stride = (channels, 2) if place == 0 else (out, 1)
        layers += [nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.GroupNorm(4, out), nn.ReLU()]
    return nn.Sequential(*layers)


class _Ground(NamedTuple):
    inputs: Tensor
    labels: Tensor
    classes: int
    teacher: nn.Module

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """Images that nothing was trained on."""
        return self.inputs[_POOL:], self.labels[_POOL:]


def run(
    stream: Stream, *, data: Mapping[str, str | None], size: int, steps: int, seeds: int
) -> list[dict[str, Any]]:
    """Rows: data, term, measure; its mean, and the mean gain over labels with its interval."""
    rows = []
    for name, folder in data.items():
        ground = _ground(load_images(folder), stream.child(name), steps)
        schemes = {"labels": _scheme(ground, None, size, steps)}
        schemes |= {term: _scheme(ground, term, size, steps) for term in _TERMS}
        found = compare(
            schemes, ground.test, teacher=ground.teacher, seeds=seeds, stream=stream.child(name, "seeds"),
            device="cpu",
        )  # fmt: skip
        rows += [{"data": name, "size": size, "steps": steps} | row for row in _rows(found)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Gains in accuracy by term, a panel for each set of images."""
    part = rows[(rows["measure"] == "accuracy") & (rows["scheme"] != "labels")]
    names = list(dict.fromkeys(part["scheme"]))
    for ax, letter, data in zip(axes, "ab", [*dict.fromkeys(part["data"]), None], strict=False):
        here = part[part["data"] == data]
        for place, name in enumerate(names):
            row = here[here["scheme"] == name]
            color = PALETTE[_KINDS[name]]
            _whisker(ax, place, row, color)
        ax.axvline(0, color="0.3", linewidth=1)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel("gain in accuracy over labels (points of 100)")
        ax.set_ylabel("what is matched beside the labels")
        level = rows[(rows["measure"] == "accuracy") & (rows["scheme"] == "labels") & (rows["data"] == data)]
        note = f"{data}, labels alone: {level['mean'].iloc[0]:.1%}" if len(level) else "not in this run"
        panel_letter(ax, letter, note)


def _whisker(ax: Any, place: int, row: pd.DataFrame, color: str) -> None:
    if len(row):
        ax.hlines(place, 100 * row["low"], 100 * row["high"], color=color, linewidth=1.4)
        ax.plot(100 * row["gain"], place, "o", color=color, markerfacecolor="white", markersize=5)


def _ground(images: Images, stream: Stream, steps: int) -> _Ground:
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())[: _POOL + _TEST]
    assert images.shape is not None
    inputs = images.inputs[order].unflatten(-1, (1, *images.shape))
    while inputs.shape[-1] > 8:
        inputs = avg_pool2d(inputs, 2)
    labels = images.labels[order]
    with stream.child("teacher").default():
        teacher = _Net(2, images.num_classes)
    taught = fit(
        teacher,
        _loader(inputs[:_POOL], labels[:_POOL]),
        training=_training(3 * steps),
        stream=stream.child("teacher"),
    )
    return _Ground(inputs, labels, images.num_classes, taught.module)


def _loader(inputs: Tensor, labels: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(inputs, labels), batch_size=_BATCH, shuffle=True)


def _training(steps: int) -> Training:
    return Training(
        steps, partial(torch.optim.Adam, lr=0.01), partial(_falling, steps=steps), "cpu", max(1, steps // 10)
    )


def _falling(optimizer: torch.optim.Optimizer, *, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps + 1)


def _scheme(ground: _Ground, term: str | None, size: int, steps: int) -> Callable[[Stream], Trained]:
    def trained(here: Stream) -> Trained:
        rows = torch.randperm(_POOL, generator=here.child("rows").torch())[:size]
        sample = ground.inputs[rows], ground.labels[rows]
        with here.child("student").default():
            student = _Net(1, ground.classes)
        losses = {"labels": labels_term()}
        if term is not None:
            losses[term] = _weighted(student, ground, sample, term, here)
        return distil(student, ground.teacher, sample, losses=losses, training=_training(steps), stream=here)

    return trained


def _weighted(
    student: nn.Module, ground: _Ground, sample: tuple[Tensor, Tensor], term: str, here: Stream
) -> Term:
    """The term with the weight at which it is ln k at the student's start."""
    bare, once = _TERMS[term], Training(1, device="cpu")
    looked = distil(student, ground.teacher, sample, losses={term: bare}, training=once, stream=here)
    start = looked.history["value"].iloc[0]
    return replace(bare, weight=math.log(ground.classes) / float(start))


def _rows(found: Comparison) -> list[dict[str, Any]]:
    gains = found.gains("labels").rename(columns={"mean": "gain"})
    table = (
        found.summary()
        .drop(columns=["low", "high"])
        .merge(gains, how="left", on=["scheme", "measure", "seeds"])
    )
    last = found.losses[found.losses["step"] == found.losses["step"].max()]
    weights = last[last["loss"] != "labels"].groupby("scheme")["weight"].first()
    table["weight"] = table["scheme"].map(weights)
    return table.replace({np.nan: 0.0}).to_dict("records")
