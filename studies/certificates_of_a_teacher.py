"""Every bound that applies to one teacher, from its training labels and unlabelled images, at one δ.

A ReLU network is trained on all labelled images, on those of clothes with their mirror images and shifts by
one pixel; it is deterministic and is not touched afterwards. Then `certify` splits δ = 0.05, in shares that
were fixed before, over the lines that are drawn and may say something: disagreement with witnesses of the
teacher's own shape (several networks trained on 9/10 of the labels, as one by the mean of their logits, and a
random one of them), with a coded student and with a stochastic one, both distilled from the teacher, and with
a linear student distilled from it; then the distillation bound, norms and VC. The witnesses start where the
teacher started, and follow its recipe. The coded student is a read-out of the witnesses' mean logits,
corrected by a few coded numbers that are distilled from the teacher on the labelled images; it is made to
send some: where its prior alone may be sent, it usually says more. The stochastic student starts from the
same prior and stays near it.

Labelled and unlabelled images are one random division of all images of the folder, so that they are draws of
one law. The recipe and the shares were chosen among fewer than 32, on other divisions of the same images:
what rests on them would be a certificate had they been fixed in advance, and is drawn as a heuristic.
*Chosen* is what holds although they were chosen: by a union bound, the same counts at 1/32 of the same δ.

Norms enter twice: spectral ones after Bartlett, Foster and Telgarsky (2017), and Frobenius ones after
Golowich, Rakhlin and Shamir (2018), which are the smaller of the two here; both lines stand in the table.

The hold-out line is of another kind: it needs the labels of the unlabelled images, and stands beside the
others at its own δ = 0.05. With `--data DIR` on a folder of IDX files, else on digits.

(a) The bounds. (b) The sample size at which each would stop being vacuous, all that was seen being equal:
unlabelled points for disagreement with a witness, labelled ones for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kdtheory.bounds import Bound, holdout_tail, product_disagreement_transfer
from kdtheory.certify import LABEL_RECIPE, WitnessPlan, certify
from kdtheory.datasets import Images, load_splits
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, draw_certificates, in_digits, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.roles import ROLES
from kdtheory.streams import Stream

CLAIMS = (
    "disagreement_transfers_a_certificate",
    "occam_limits_cover_all_coded_classifiers",
    "pac_bayes_kl_covers_gibbs_posteriors",
)
CONFIG = {"hidden": (512, 512), "epochs": 40, "members": 4, "versions_of": ("fashion-mnist",)}
SMALL = {"hidden": (64,), "epochs": 40, "members": 2, "versions_of": ()}
PANELS, ROWS = 2, 2

DELTA = 0.05
SHARES = {
    "witness_holdout": 24,
    "witness_drawn": 2,
    "witness_coded": 2,
    "witness_stochastic": 2,
    "student_coded": 1,
    "distillation": 1,
    "distillation_by_margins": 0,
    "frobenius_norms": 1,
    "spectral_norms": 1,
    "vc_dimension": 0,
    "as_printed": 0,
    "training_error": 0,
}
RECIPES = 32
_RECIPE: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 128, "schedule": "cosine", "averaged": 0.3}
_LINEAR: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 128, "schedule": "cosine"}
_DECAY = 3e-3
_MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
_MORE = ("bits", "numbers that differ", "divergence")


def run(
    stream: Stream,
    *,
    data: Path | None,
    hidden: tuple[int, ...],
    epochs: int,
    members: int,
    versions_of: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows: each term of each bound, and its share of δ if it takes one; those of the hold-out.

    Args:
        stream: where starts, orders, splits and draws come from.
        data: a folder of IDX files, or None for digits.
        hidden: widths of the teacher and of the witnesses.
        epochs: of the teacher and of the witnesses.
        members: how many hold-out witnesses.
        versions_of: the data whose images are learned with their mirror images and shifts.
    """
    images, others = load_splits(data, stream=stream.child("images"))
    architecture = MLP((images.dim, *hidden, images.num_classes))
    start = architecture.init(stream.child("start"), members=1)
    plan = WitnessPlan(
        architecture=architecture,
        initial=start[0],
        members=members,
        held_out=0.1,
        augmentation=_versions if _name(images) in versions_of else None,
        recipe=LABEL_RECIPE.but(steps=math.ceil(epochs * images.num_images / 128), **_RECIPE),
        centre_may_be_sent=False,
    )
    teacher = train(
        architecture, *plan.examples(images.inputs, images.labels), loss=label_loss, members=1, initial=start,
        stream=stream.child("teacher"), recipe=plan.on_labels(images.num_images),
    ).module(0)  # fmt: skip
    student = _linear(teacher, images, stream.child("student"))
    found = certify(
        teacher, student, train=(images.inputs, images.labels), unlabelled=others.inputs, delta=DELTA,
        shares=SHARES, witness=plan, stream=stream.child("certify"), may_share=[("train", "unlabelled")],
        may_repeat=ROLES, fixed_in_advance=False,
    )  # fmt: skip
    alone = certify(
        teacher, holdout=(others.inputs, others.labels), delta=DELTA, may_repeat=ROLES, fixed_in_advance=True,
    )  # fmt: skip
    lines: dict[str, Bound] = {}
    for name, bound in ({**alone.lines, **found.lines}).items():
        lines[name] = bound
        if name == "witness_holdout":
            lines[f"{name}, chosen"] = _as_chosen(bound)
    unshared = dict.fromkeys(found.unshared, math.nan)
    return [row | {"delta": unshared.get(row["line"], row["delta"])} for row in _rows(lines, images, others)]


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The bounds with their terms; then the sizes needed, and the sizes there are."""
    draw_certificates(axes[0], rows)
    first = rows.iloc[0]
    counts = f"{first['learned']:,} labels, {first['unlabelled']:,} without"
    panel_letter(axes[0], "a", f"{first['images']}, {counts}; δ = {DELTA:g} in all")
    ax, totals = axes[1], rows[rows["term"] == "total"].reset_index(drop=True)
    needed = totals["needed"].astype(float)
    ax.plot(needed, needed.index, "o", color=PALETTE["blue"])
    for place, value in needed.items():
        words = "at no size" if math.isnan(value) else in_digits(value)
        at = 1.0 if math.isnan(value) else value
        ax.annotate(
            words, (at, place), (8, 0), textcoords="offset points", va="center", fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    for name, style in (("learned", "--"), ("unlabelled", ":")):
        ax.axvline(first[name], color=PALETTE["black"], linestyle=style, linewidth=1, label=name, zorder=0)
    ax.set_xscale("log")
    ax.set_xlim(0.7, max(1e6 * needed.max(), 1e6))
    heuristic = totals["kind"].map({"heuristic": " (heuristic)"}).fillna("")
    ax.set_yticks(range(len(totals)), totals["line"].str.replace("_", " ") + heuristic)
    ax.set_ylim(len(totals), -0.7)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("points needed to say anything")
    ax.legend(loc="lower right", fontsize="small")
    panel_letter(ax, "b", "where each bound stops being vacuous")
    legend_above(axes[0], columns=4)


def _linear(teacher: nn.Module, images: Images, stream: Stream) -> nn.Module:
    """A linear student of small norm, distilled from the teacher."""
    soft = teacher(images.inputs).softmax(-1).detach()
    return train(
        MLP((images.dim, images.num_classes)), images.inputs, teacher_probs=soft, loss=distillation,
        members=1, stream=stream, recipe=Recipe(steps=2000, weight_decay=_DECAY, **_LINEAR),
    ).module(0)  # fmt: skip


def _versions(inputs: Tensor) -> Tensor:
    """The images and their mirror images, and both moved by one pixel to each of four sides."""
    side = math.isqrt(inputs.shape[1])
    images = inputs.reshape(-1, side, side)
    both = torch.cat([images, images.flip(2)])
    framed = pad(both, (1, 1, 1, 1))
    moved = [framed[:, 1 + down : side + 1 + down, 1 + right : side + 1 + right] for down, right in _MOVES]
    return torch.cat(moved).flatten(1)


def _as_chosen(bound: Bound) -> Bound:
    """The limit of these counts at δ over the number of recipes: valid whichever of these was taken."""
    held, unlabelled = (int(bound.quantities[name]) for name in ("points", "unlabelled points"))
    errors, apart = int(bound.quantities["errors"]), round(bound.terms["disagreement"] * unlabelled)
    witness = holdout_tail(torch.arange(held) < errors, fixed_in_advance=True, independent_draws=True)
    return product_disagreement_transfer(
        witness, torch.arange(unlabelled) < apart, delta=bound.delta / RECIPES, drawn_afterwards=True,
        same_law=True,
    )  # fmt: skip


def _name(images: Images) -> str:
    return images.name.partition("/")[0]


def _rows(lines: Mapping[str, Bound], images: Images, others: Images) -> list[dict[str, Any]]:
    facts = {
        "images": _name(images),
        "learned": images.num_images,
        "unlabelled": others.num_images,
    }
    rows = []
    for line, bound in lines.items():
        more = {name.replace(" ", "_"): bound.quantities.get(name) for name in _MORE}
        rows += [{"line": line, **record, **more, **facts} for record in bound.to_frame().to_dict("records")]
    return rows
