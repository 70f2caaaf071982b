"""The terms of the distillation bound against the temperature γ of its margin softmax.

A ReLU teacher, and a linear student of small norm that was distilled from it. Their distillation bound
(Hsu et al. 2021, constants derived here) is evaluated at each γ as if it had been fixed beforehand: the
student's loss and its distance to the teacher, both doubled, the complexity of its class, and the deviations
of the labelled and of the unlabelled sample. (a) With the soft-max loss, (b) with the margin surrogate and
the complexity of the margins.

With `--data DIR` on a folder of IDX files, else on digits. To look at: a small γ sharpens both predictors, so
that loss and distance tend to twice the student's error and twice the disagreement, and the complexity grows
like 1/γ; a large γ makes the complexity and the distance vanish and the loss tend to twice (k − 1)/k. In
between, the three meet above 1: no γ makes the sum say anything for this student, and its least value is the
trivial one of γ → ∞.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdtheory.bounds import (
    Bound,
    golowich18_vector_relu_net,
    grid_point,
    hsu21_distillation,
    hsu21_distillation_by_margins,
)
from kdtheory.datasets import load_splits
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

CLAIMS = (
    "distillation_bound_covers_the_teacher",
    "error_is_at_most_twice_the_softmax_margin_loss",
)
CONFIG = {"hidden": (512, 512), "epochs": 8, "student_steps": 2000, "gammas": 49}
SMALL = {"hidden": (64,), "epochs": 40, "student_steps": 500, "gammas": 9}
PANELS = 2

_BATCH = 128
_DELTA = 0.05
_SPAN = (0.03, 300.0)
_STYLES = {
    "student's loss": (PALETTE["orange"], "-"),
    "student's complexity": (PALETTE["vermillion"], "-"),
    "distillation error": (PALETTE["green"], "-"),
    "labelled deviation": (PALETTE["sky"], "--"),
    "unlabelled deviation": (PALETTE["purple"], "--"),
    "total": (PALETTE["black"], "-"),
}


def run(
    stream: Stream,
    *,
    data: Path | None,
    hidden: tuple[int, ...],
    epochs: int,
    student_steps: int,
    gammas: int,
) -> list[dict[str, Any]]:
    """Rows: form, γ, term, value; the errors of teacher and student, and their disagreement."""
    images, others = load_splits(data, stream=stream.child("images"))
    steps = math.ceil(epochs * images.num_images / _BATCH)
    recipe = Recipe(steps=steps, batch_size=_BATCH, schedule="cosine")
    teacher = train(
        MLP((images.dim, *hidden, images.num_classes)), images.inputs, images.labels, loss=label_loss,
        members=1, stream=stream.child("teacher"), recipe=recipe,
    )  # fmt: skip
    student = train(
        MLP((images.dim, images.num_classes)), images.inputs, loss=distillation, members=1,
        teacher_probs=teacher.logits(images.inputs)[0].softmax(-1), stream=stream.child("student"),
        recipe=recipe.but(steps=student_steps, learning_rate=3e-3, weight_decay=3e-3),
    )  # fmt: skip
    points = (
        student.logits(images.inputs)[0].double(),
        images.labels,
        student.logits(others.inputs)[0].double(),
        teacher.logits(others.inputs)[0].double(),
    )
    norm, weight = grid_point(float(student.params[0].double().norm()))
    square = float(images.inputs.double().square().sum()) + images.num_images
    complexity = golowich18_vector_relu_net(
        norm_product=norm, input_norm=math.sqrt(square), depth=1, outputs=images.num_classes, n=len(points[0])
    )
    settings = {
        "delta": _DELTA,
        "weight": weight,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    forms: dict[str, Callable[[float], Bound]] = {
        "soft-max": lambda gamma: hsu21_distillation(
            *points, gamma=gamma, student_complexity=complexity, **settings
        ),
        "margins": lambda gamma: hsu21_distillation_by_margins(
            *points, gamma=gamma, margin_complexity=2 * complexity, **settings
        ),
    }
    said = points[2].argmax(-1)
    facts = {
        "images": images.name.partition("/")[0],
        "student_error": float((said != others.labels).double().mean()),
        "teacher_error": float((points[3].argmax(-1) != others.labels).double().mean()),
        "disagreement": float((said != points[3].argmax(-1)).double().mean()),
    }
    return [
        {"form": form, "gamma": gamma, "term": term, "value": value, **facts}
        for form, bound in forms.items()
        for gamma in np.geomspace(*_SPAN, gammas).tolist()
        for term, value in {**bound(gamma).terms, "total": bound(gamma).value}.items()
    ]


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """One line for each term, and their sum, over γ."""
    for ax, letter, (form, part) in zip(axes, "ab", rows.groupby("form", sort=False), strict=True):
        table = part.pivot_table(index="gamma", columns="term", values="value")
        low, high = 0.3 * table["unlabelled deviation"].min(), 3 * table["total"].max()
        ax.axhspan(1, high, color="0.92", zorder=0)
        for term, (color, style) in _STYLES.items():
            width = 2.2 if term == "total" else 1.4
            ax.plot(table.index, table[term], style, color=color, linewidth=width, label=term)
        best = table["total"].idxmin()
        ax.plot(best, table["total"].min(), "o", color=PALETTE["black"])
        ax.annotate(
            f"{table['total'].min():.3g} at γ = {best:.3g}", (best, table["total"].min()), (0, 12),
            textcoords="offset points", ha="right", fontsize="small",
        )  # fmt: skip
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        ax.set_xlabel("temperature γ of the bound")
        ax.set_ylabel("terms of the bound (grey: says nothing)")
        first = part.iloc[0]
        errors = f"wrong: teacher {first['teacher_error']:.1%}, student {first['student_error']:.1%}"
        panel_letter(ax, letter, f"{form}; {first['images']}\n{errors}")
    legend_above(axes[0], columns=6)
