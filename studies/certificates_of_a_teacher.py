"""Every bound that applies to one teacher, from its training labels and unlabelled images, at one δ.

A ReLU network is trained on all labelled images; it is deterministic and is not touched afterwards. Then
`certify` splits δ = 0.05, in shares that were fixed before, over all lines that are drawn: disagreement with
witnesses of the teacher's own shape (several networks trained on 9/10 of the labels, as one by the mean of
their logits, and a random one of them), with a coded student and with a stochastic one, both distilled from
the teacher, and with a linear student distilled from it; then the distillation bound, norms and VC. The
witnesses start where the teacher started, and follow its recipe. The coded student is made to send a
difference: where its prior alone may be sent, it usually says more.

The hold-out line is of another kind: it needs the labels of the unlabelled images, and stands beside the
others at its own δ = 0.05. With `--data DIR` on a folder of IDX files, else on digits.

(a) The bounds. (b) The sample size at which each would stop being vacuous, all that was seen being equal:
unlabelled points for disagreement with a witness, labelled ones for the rest.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from kdtheory.bounds import Bound
from kdtheory.certify import Certificates, WitnessPlan, certify
from kdtheory.datasets import Images, load_splits
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, draw_certificates, panel_letter
from kdtheory.populations import train
from kdtheory.streams import Stream

CLAIMS = (
    "disagreement_transfers_a_certificate",
    "occam_limits_cover_all_coded_classifiers",
    "pac_bayes_kl_covers_gibbs_posteriors",
)
CONFIG = {"hidden": (512, 512), "epochs": 10, "members": 4}
SMALL = {"hidden": (64,), "epochs": 40, "members": 2}
PANELS = 2

DELTA = 0.05
SHARES = {
    "witness_holdout": 24,
    "witness_drawn": 2,
    "witness_coded": 2,
    "witness_stochastic": 2,
    "student_coded": 1,
    "distillation": 1,
    "distillation_by_margins": 1,
    "frobenius_norms": 1,
    "spectral_norms": 1,
    "vc_dimension": 1,
    "as_printed": 1,
    "training_error": 1,
}
_RECIPE: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 128, "schedule": "cosine", "averaged": 0.5}
_LINEAR: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 128, "schedule": "cosine"}
_DECAY = 3e-3
_MORE = ("bits", "numbers that differ", "divergence")


def run(
    stream: Stream, *, data: Path | None, hidden: tuple[int, ...], epochs: int, members: int
) -> list[dict[str, Any]]:
    """Rows: each term of each bound; the hold-out's; the error on the unlabelled images by their labels."""
    images, others = load_splits(data, stream=stream.child("images"))
    architecture = MLP((images.dim, *hidden, images.num_classes))
    start = architecture.init(stream.child("start"), members=1)
    steps = math.ceil(epochs * images.num_images / 128)
    teacher = train(
        architecture, images.inputs, images.labels, loss=label_loss, members=1, initial=start,
        stream=stream.child("teacher"), steps=steps, **_RECIPE,
    ).module(0)  # fmt: skip
    student = _linear(teacher, images, stream.child("student"))
    plan = WitnessPlan(
        architecture=architecture, initial=start[0], members=members, held_out=0.1, steps=steps,
        centre_may_be_sent=False, **_RECIPE,
    )  # fmt: skip
    found = certify(
        teacher, student, train=(images.inputs, images.labels), unlabelled=others.inputs, delta=DELTA,
        shares=SHARES, witness=plan, stream=stream.child("certify"), may_share=[("train", "unlabelled")],
    )  # fmt: skip
    alone = certify(teacher, holdout=(others.inputs, others.labels), delta=DELTA)
    return _rows(alone, images, others) + _rows(found, images, others)


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The bounds with their terms; then the sizes needed, and the sizes there are."""
    draw_certificates(axes[0], rows)
    first = rows.iloc[0]
    counts = f"{first['learned']:,} labels, {first['unlabelled']:,} without; δ = {DELTA:g} over all"
    panel_letter(axes[0], "a", f"{first['images']}, {counts}")
    ax, totals = axes[1], rows[rows["term"] == "total"].reset_index(drop=True)
    needed = totals["needed"].astype(float)
    ax.plot(needed, needed.index, "o", color=PALETTE["blue"])
    for place, value in needed.items():
        words = "at no size" if math.isnan(value) else f"{value:,.3g}"
        at = 1.0 if math.isnan(value) else value
        ax.annotate(words, (at, place), (8, 0), textcoords="offset points", va="center", fontsize="small")
    for name, style in (("learned", "--"), ("unlabelled", ":")):
        ax.axvline(first[name], color=PALETTE["black"], linestyle=style, linewidth=1, label=name)
    ax.set_xscale("log")
    ax.set_xlim(0.7, max(10 * needed.max(), 1e6))
    ax.set_yticks(range(len(totals)), totals["line"].str.replace("_", " "))
    ax.set_ylim(len(totals), -0.7)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("points needed to say anything")
    ax.legend(loc="lower right", fontsize="small")
    panel_letter(ax, "b", "points at which each bound stops being vacuous")


def _linear(teacher: nn.Module, images: Images, stream: Stream) -> nn.Module:
    """A linear student of small norm, distilled from the teacher."""
    soft = teacher(images.inputs).softmax(-1).detach()
    return train(
        MLP((images.dim, images.num_classes)), images.inputs, teacher_probs=soft, loss=distillation,
        members=1, stream=stream, steps=2000, weight_decay=_DECAY, **_LINEAR,
    ).module(0)  # fmt: skip


def _rows(found: Certificates, images: Images, others: Images) -> list[dict[str, Any]]:
    facts = {
        "images": images.name.partition("/")[0],
        "learned": images.num_images,
        "unlabelled": others.num_images,
    }
    rows = []
    for record in found.to_frame().to_dict("records"):
        bound: Bound = found.lines[record["line"]]
        more = {name.replace(" ", "_"): bound.quantities.get(name) for name in _MORE}
        rows.append({**record, **more, **facts})
    return rows
