"""Error and bounds of a teacher over its training epochs, in the manner of Hsu et al. (2021), Figure 1.

A ReLU network is trained for ever more epochs, at a constant rate; each point is a network of its own, from
the same start and in the same order, whose parameters are the mean over the last half of its steps. Beside
its error on images that it has not seen, and the gap to its training error, stand the bounds: by spectral and
by Frobenius norms, by VC dimension, the distillation bound of a linear student of small norm at the same
γ = 1, the certificate by disagreement with a network of its own shape trained as long on 9/10 of the labels,
and the hold-out line of the teacher itself. δ = 0.05 for all of a point's certificates together. From 1 on, a
bound says nothing.

With `--data DIR` on a folder of IDX files, else on digits. To look at: norms grow with training while the
error falls, so the raw bounds say less and less; the distilled student's bound stays many powers of ten
below, still vacuous; disagreement follows the error itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from kdtheory.certify import LABEL_RECIPE, WitnessPlan, certify
from kdtheory.datasets import Images, load_splits
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, in_digits
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.roles import ROLES
from kdtheory.streams import Stream

CLAIMS = (
    "disagreement_transfers_a_certificate",
    "vc_bound_of_a_net_with_more_weights_than_points_says_nothing",
    "weight_decay_and_not_distillation_lowers_the_norm_bound",
)
CONFIG = {"hidden": (512, 512), "epochs": (1, 2, 5, 10, 20), "student_steps": 2000}
SMALL = {"hidden": (64, 64), "epochs": (10, 40, 160), "student_steps": 500}

_DELTA = 0.05
_BATCH = 128
_RECIPE: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": _BATCH, "averaged": 0.5}
_DECAY = 3e-3
_HELD = 1 / 3  # of δ, for the hold-out line
_SHARES = {
    "witness_holdout": 4,
    "distillation": 1,
    "frobenius_norms": 1,
    "spectral_norms": 1,
    "vc_dimension": 0,
}
_STYLES = {
    "spectral_norms": (PALETTE["vermillion"], "^", "-", "spectral norms"),
    "frobenius_norms": (PALETTE["orange"], "v", "-", "Frobenius norms"),
    "vc_dimension": (PALETTE["purple"], "D", "-", "VC dimension"),
    "distillation": (PALETTE["green"], "s", "-", "distillation bound of a linear student"),
    "witness_holdout": (PALETTE["blue"], "o", "-", "disagreement certificate"),
    "holdout": (PALETTE["black"], "", "--", "hold-out (needs more labels)"),
    "test_error": (PALETTE["black"], "o", "-", "error on unseen images"),
    "gap": (PALETTE["sky"], "x", ":", "gap to the training error"),
}


def run(
    stream: Stream, *, data: Path | None, hidden: tuple[int, ...], epochs: Sequence[int], student_steps: int
) -> list[dict[str, Any]]:
    """Rows: epochs, line, value; with its share of δ, and the images."""
    images, others = load_splits(data, stream=stream.child("images"))
    architecture = MLP((images.dim, *hidden, images.num_classes))
    start = architecture.init(stream.child("start"), members=1)
    rows = []
    for length in epochs:
        steps = math.ceil(length * images.num_images / _BATCH)
        teacher = train(
            architecture, images.inputs, images.labels, loss=label_loss, members=1, initial=start,
            stream=stream.child("teacher"), recipe=Recipe(steps=steps, **_RECIPE),
        ).module(0)  # fmt: skip
        student = _linear(teacher, images, student_steps, stream.child("student"))
        plan = WitnessPlan(
            kinds=("holdout",),
            architecture=architecture,
            initial=start[0],
            members=1,
            recipe=LABEL_RECIPE.but(steps=steps, schedule="constant", **_RECIPE),
        )
        found = certify(
            teacher, student, train=(images.inputs, images.labels), unlabelled=others.inputs,
            delta=_DELTA * (1 - _HELD), shares=_SHARES, witness=plan, stream=stream.child("certify"),
            may_share=[("train", "unlabelled")], may_repeat=ROLES, fixed_in_advance=True,
        )  # fmt: skip
        alone = certify(
            teacher, holdout=(others.inputs, others.labels), delta=_DELTA * _HELD, may_repeat=ROLES,
            fixed_in_advance=True,
        )  # fmt: skip
        test, seen = (_error(teacher, part) for part in (others, images))
        lines, shares = alone.lines | found.lines, alone.shares | found.shares
        values = {name: (bound.value, shares.get(name, math.nan)) for name, bound in lines.items()}
        values |= {"test_error": (test, math.nan), "gap": (abs(test - seen), math.nan)}
        facts = {"epochs": length, "images": images.name, "steps": steps}
        rows += [{**facts, "line": name, "value": v, "delta": d} for name, (v, d) in values.items()]
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """One line for each quantity, on logarithmic axes; from 1 on the ground is shaded."""
    table = rows.pivot_table(index="epochs", columns="line", values="value")
    top = 10 * float(table.to_numpy().max())
    ax.axhspan(1, top, color="0.92", zorder=0)
    for name, (color, marker, style, label) in _STYLES.items():
        ax.plot(table.index, table[name], marker=marker, linestyle=style, color=color, label=label, zorder=3)
    ratio = table["spectral_norms"].iloc[-1] / table["distillation"].iloc[-1]
    at = table.index[-1]
    middle = math.sqrt(table["spectral_norms"].iloc[-1] * table["distillation"].iloc[-1])
    ends = {"xy": (at, table["distillation"].iloc[-1]), "xytext": (at, table["spectral_norms"].iloc[-1])}
    ax.annotate("", **ends, arrowprops={"arrowstyle": "<->", "color": "0.3"})
    ax.text(at * 0.93, middle, f"× {in_digits(ratio)}", ha="right", va="center", color="0.3")
    ax.text(table.index[0], top / 2, "says nothing", color="0.4", fontsize="small", va="top")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_ylim(max(1e-4, 0.5 * float(table.to_numpy().min())), top)
    ax.set_xticks(table.index, [str(epoch) for epoch in table.index])
    ax.set_xlabel("training epochs")
    ax.set_ylabel("error, and bounds on it")
    ax.set_title(f"{rows['images'].iloc[0].partition('/')[0]}, δ = {_DELTA:g} over all bounds", loc="left")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False)


@torch.no_grad()
def _error(module: nn.Module, images: Images) -> float:
    return float((module(images.inputs).argmax(-1) != images.labels).double().mean())


def _linear(teacher: nn.Module, images: Images, steps: int, stream: Stream) -> nn.Module:
    """A linear student of small norm, distilled from the teacher."""
    with torch.no_grad():
        soft = teacher(images.inputs).softmax(-1)
    return train(
        MLP((images.dim, images.num_classes)),
        images.inputs,
        teacher_probs=soft,
        loss=distillation,
        members=1,
        stream=stream,
        recipe=Recipe(
            steps=steps, weight_decay=_DECAY, learning_rate=3e-3, batch_size=_BATCH, schedule="cosine"
        ),
    ).module(0)
