"""A network of one's own, distilled into a smaller one, and both certified.

The networks are written here as a user would write them: residual blocks with batch normalisation, in the
style of torchvision. The larger one is fitted to the labels of 1,000 digits; the smaller one learns from its
softened logits (T = 4) and from where its second layer looks (attention transfer). Both are certified at
δ = 0.05 from 397 held-out labelled images and 400 without labels: every bound that applies, the larger one's
also by its disagreement with the smaller one.

To look at: the smaller network is certified about as well as the larger one; disagreement with it certifies
the larger one within a factor of three of the hold-out line, which sees the larger one's own labels; the
distillation bound barely says something.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory import Certificates, certify
from kdtheory.datasets import digits
from kdtheory.losses.features import attention_transfer
from kdtheory.plots import draw_certificates, legend_above, panel_letter
from kdtheory.recipe import Recipe
from kdtheory.schemes import Term, Trained, distil, evaluate, fit, hinton
from kdtheory.streams import Stream

CLAIMS = (
    "distilled_students_beat_students_of_labels_at_small_n",
    "attention_transfer_ignores_scale_and_mixing_of_channels",
)
CONFIG = {"train": 1000, "holdout": 397, "steps": 200, "student_steps": 600}
SMALL = {"train": 200, "holdout": 100, "steps": 5, "student_steps": 5}
PANELS, ROWS = 2, 2

_FARTHEST = 1e3
"""Room for the words beside the bounds."""


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        kept: Tensor = self.relu(out)
        return kept


class ConvNet(nn.Module):
    """A small residual network for images of 8 × 8 pixels."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Block(1, width, 1), *(Block(width, width, 1) for _ in range(blocks - 1)))
        self.layer2 = nn.Sequential(
            Block(width, 2 * width, 2), *(Block(2 * width, 2 * width, 1) for _ in range(blocks - 1))
        )
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layer2(self.layer1(x)).mean((2, 3)))
        return logits


def run(stream: Stream, *, train: int, holdout: int, steps: int, student_steps: int) -> list[dict[str, Any]]:
    """Rows: network, line, term; its value, and how accurate the network is on the held-out images."""
    images = digits()
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    x, y = images.inputs[order].unflatten(-1, (1, 8, 8)), images.labels[order]
    kept, rest = (x[train : train + holdout], y[train : train + holdout]), x[train + holdout :]
    teacher, student = _networks((x[:train], y[:train]), steps, student_steps, stream)
    roles = {
        "train": (x[:train], y[:train]), "holdout": kept, "unlabelled": rest, "fixed_in_advance": True,
    }  # fmt: skip
    both = {
        "larger": (teacher, certify(teacher.module, student.module, **roles)),
        "smaller": (student, certify(student.module, **roles)),
    }
    rows = []
    for name, (trained, found) in both.items():
        measures = evaluate(trained.module, kept, teacher=teacher.module, device="cpu")
        rows += _rows(name, trained, found, measures)
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The certificates of each network."""
    for ax, letter, (name, part) in zip(axes, "ab", rows.groupby("network", sort=False), strict=True):
        draw_certificates(ax, part.rename(columns={"certificate": "kind"}))
        first = part.iloc[0]
        title = f"the {name}, {first['parameters']:,} parameters, {1 - first['accuracy']:.1%} wrong"
        panel_letter(ax, letter, title)
        ax.axvspan(1, _FARTHEST, color="0.92", zorder=0)
        ax.set_xlim(right=_FARTHEST)
        ax.set_xlabel("its error is at most")
    legend_above(axes[0], columns=4)


def _networks(
    data: tuple[Tensor, Tensor], steps: int, student_steps: int, stream: Stream
) -> tuple[Trained, Trained]:
    loader = DataLoader(TensorDataset(*data), batch_size=100, shuffle=True)
    with stream.child("networks").default():
        large, small = ConvNet(16, 2), ConvNet(6, 1)
    teacher = fit(large, loader, recipe=_recipe(steps), stream=stream.child("teacher"), device="cpu")
    attention = Term(attention_transfer, weight=1.0, student="layer2", teacher="layer2")
    losses = hinton(temperature=4.0, weight=0.9) | {"attention": attention}
    student = distil(
        small, teacher.module, loader, losses=losses, recipe=_recipe(student_steps),
        stream=stream.child("student"), device="cpu",
    )  # fmt: skip
    return teacher, student


def _recipe(steps: int) -> Recipe:
    cosine = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps + 1)
    return Recipe(steps=steps, learning_rate=0.01, schedule=cosine)


def _rows(
    name: str, trained: Trained, found: Certificates, measures: dict[str, float]
) -> list[dict[str, Any]]:
    facts = {
        "network": name,
        "parameters": sum(value.numel() for value in trained.module.parameters()),
        "gradient_norm": trained.gradient_norm,
        **measures,
    }
    frame = found.to_frame().rename(columns={"kind": "certificate"})
    return [facts | row for row in frame[["line", "certificate", "term", "value"]].to_dict("records")]
