"""The gradient of the distillation loss against the temperature.

A teacher trained on the labels of real digits and a smaller student, as it starts or trained on the same
labels, meet on images that neither has seen. Each point is the root mean square over these images of the norm
of the soft gradient in the student's logits, T(φ_T(z_s) − φ_T(z_t)) with the factor T² in the loss and
(φ_T(z_s) − φ_T(z_t))/T without it, with 95 % intervals over pairs of networks. Dotted: its limit (d − d̄)/k,
d = z_s − z_t; dash-dotted: the gradient of the labels. With T² the soft gradient goes over into its limit and
stays there; without T² it fades like 1/T², so that a weight between teacher and labels chosen at one
temperature means nothing at another. The right panel shows how far the gradient with T² is from its limit: it
comes nearer like 1/T once T is above the spread of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.datasets import Images, load_images
from kdtheory.losses import high_temperature_gradient, kd_gradient, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, band, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "kd_gradient_is_the_closed_form",
    "soft_gradient_tends_to_the_gap_of_centred_logits",
    "soft_loss_tends_to_half_the_variance_of_the_gap",
)
CONFIG = {"temperatures": tuple(2.0**power for power in range(-2, 11)), "pairs": 20, "train_images": 1000}
SMALL = {"temperatures": (0.5, 4.0, 32.0, 256.0), "pairs": 3, "train_images": 300}
PANELS = 3

_STEPS = {"untrained": 0, "trained": 400}
_STYLES = {
    "with T²": (PALETTE["blue"], "o", r"soft, with $T^2$"),
    "without T²": (PALETTE["vermillion"], "s", r"soft, without $T^2$"),
}
_LEVELS = {
    "limit": (PALETTE["blue"], ":", r"limit $\|d-\bar d\|/k$"),
    "labels": (PALETTE["black"], "-.", "labels"),
}


def run(
    stream: Stream, *, temperatures: Sequence[float], pairs: int, train_images: int
) -> list[dict[str, Any]]:
    """Rows: student, temperature, quantity (a gradient norm, or the relative error), mean and interval."""
    images = load_images()
    order = torch.randperm(images.num_images, generator=stream.child("split").torch())
    seen, fresh = order[:train_images], order[train_images:]
    teacher = _logits(images, seen, fresh, 64, 400, pairs, stream.child("teacher"))
    labels = images.labels[fresh].expand(pairs, -1)
    rows = []
    for name, steps in _STEPS.items():
        student = _logits(images, seen, fresh, 16, steps, pairs, stream.child("student"))
        facts = {"student": name, "pairs": pairs, "images": len(fresh)} | _agreement(student, teacher, labels)
        for temperature in temperatures:
            for quantity, values in _quantities(student, teacher, labels, temperature).items():
                test = mean_test(values)
                low, high = test.interval()
                numbers = {"mean": test.mean, "low": low, "high": high}
                rows.append({**facts, "temperature": temperature, "quantity": quantity, **numbers})
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Norms against T for both students, and the distance to the limit on its own axes."""
    for ax, letter, (student, part) in zip(axes, "ab", rows.groupby("student", sort=False), strict=False):
        lines = dict(iter(part.groupby("quantity")))
        for quantity, (color, marker, label) in _STYLES.items():
            _line(ax, lines[quantity], color=color, marker=marker, label=label)
        for quantity, (color, style, label) in _LEVELS.items():
            ax.axhline(
                lines[quantity]["mean"].iloc[0], color=color, linestyle=style, linewidth=1.2, label=label
            )
        ax.set_ylabel("norm of the gradient in the logits")
        panel_letter(ax, letter, f"{student} student")
    axes[1].sharey(axes[0])
    colors = (PALETTE["green"], PALETTE["purple"])
    errors = rows[rows["quantity"] == "relative error"].groupby("student", sort=False)
    for color, (student, line) in zip(colors, errors, strict=False):
        _line(axes[2], line, color=color, marker="o", label=f"{student} student")
    late = np.array(sorted(rows["temperature"].unique())[-3:])
    start = rows[(rows["quantity"] == "relative error") & (rows["temperature"] == late[0])]["mean"].min()
    axes[2].plot(late, 0.5 * start * late[0] / late, color="gray", linestyle="--", label="slope −1")
    axes[2].legend(loc="lower left", frameon=False)
    axes[2].set_ylabel("relative distance to the limit")
    panel_letter(axes[2], "c", r"with $T^2$: distance to the limit")
    for ax in axes:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("temperature $T$")
    legend_above(axes[0], columns=4)


def _line(ax: Any, line: pd.DataFrame, *, color: str, marker: str, label: str | None) -> None:
    low = line["low"].clip(lower=line["mean"] / 10)
    band(ax, line["temperature"], line["mean"], low, line["high"], color=color, marker=marker, label=label)


def _logits(
    images: Images, seen: Tensor, fresh: Tensor, width: int, steps: int, members: int, stream: Stream
) -> Tensor:
    """members × n × k logits on the fresh images of networks of one hidden layer; 0 steps: as they start."""
    architecture = MLP((images.dim, width, images.num_classes))
    networks = train(
        architecture,
        images.inputs[seen],
        images.labels[seen],
        loss=label_loss,
        members=members,
        stream=stream,
        recipe=Recipe(steps=steps, learning_rate=0.01),
        device="cpu",
    )
    return networks.logits(images.inputs[fresh]).double()


def _agreement(student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, float]:
    return {
        "student_accuracy": float((student.argmax(-1) == labels).double().mean()),
        "teacher_accuracy": float((teacher.argmax(-1) == labels).double().mean()),
        "teacher_spread": float(teacher.std(-1, correction=0).mean()),
        "student_spread": float(student.std(-1, correction=0).mean()),
    }


def _quantities(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float
) -> dict[str, np.ndarray]:
    soft = kd_gradient(student, teacher, labels, temperature=temperature, weight=1.0)
    plain = kd_gradient(
        student, teacher, labels, temperature=temperature, weight=1.0, temperature_squared=False
    )
    hard = kd_gradient(student, teacher, labels, temperature=temperature, weight=0.0)
    limit = high_temperature_gradient(student, teacher)
    return {
        "with T²": _size(soft),
        "without T²": _size(plain),
        "labels": _size(hard),
        "limit": _size(limit),
        "relative error": _size(soft - limit) / _size(limit),
    }


def _size(gradients: Tensor) -> np.ndarray:
    """The root mean square over the images of the Euclidean norm, one number per member."""
    return gradients.square().sum(-1).mean(-1).sqrt().numpy()
