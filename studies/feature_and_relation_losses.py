"""Feature and relation losses side by side, on digits and on larger images.

A convolutional teacher with two layers in each of two stages, trained on a pool of 1,000 images; students
with one layer a stage and the same numbers of channels, each with a start and 200 points of its own, in
batches of 50. A student minimises the cross-entropy of the labels and one more term: the teacher's softened
logits (T = 4), or a loss on features or relations of the second stage (of both stages for the flow matrix).
One rule weighs all terms: each equals the cross-entropy of an ignorant student, ln k, at its start. A quarter
of that weight and four times as much are shown beside it; none is chosen by its result. Beside digits,
the images that `--data` names (Fashion-MNIST in the figure), averaged down to 14 × 14 pixels.

(a, b) Mean gains in last-step accuracy over the same student trained on labels alone, on images that nothing
was trained on; bars are 95 % Student intervals over students, paired. (c) Whether all has converged: the same
students, at the rule's weight, after all steps minus after half of them. The table has the weights, the
objective over the last tenth of the steps, its fall in that tenth as a share of its whole fall, and gradient
norms; the attention, non-local and flow-matrix losses are norms, whose gradient does not vanish at their
least.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

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
from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.recipe import Recipe
from kdtheory.schemes import (
    Comparison,
    Loop,
    Term,
    Trained,
    compare,
    distil,
    evaluate,
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
    "size": 200,
    "factors": (0.25, 1.0, 4.0),
    "steps": 240,
    "seeds": 10,
}
SMALL = {"size": 50, "factors": (1.0,), "steps": 20, "seeds": 2}
PANELS = 3

_POOL, _TEST, _BATCH = 1000, 2000, 50
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


class _Scheme(NamedTuple):
    """The terms beside the labels, at which multiple of the rule's weight, for how many steps."""

    term: str
    factor: float
    steps: int


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
    stream: Stream,
    *,
    size: int,
    factors: Sequence[float],
    steps: int,
    seeds: int,
    data: Path | None = None,
) -> list[dict[str, Any]]:
    """Rows: data, term, factor, steps, measure; its mean, its gains over labels and over half the steps.

    A gain is 0 where there is nothing to compare with, and so is the weight of labels alone.
    """
    rows = []
    schemes = [_Scheme("labels", 1.0, steps), _Scheme("labels", 1.0, steps // 2)]
    schemes += [_Scheme(term, factor, steps) for term in _TERMS for factor in factors]
    schemes += [_Scheme(term, 1.0, steps // 2) for term in _TERMS]
    sets = {"digits": None} | ({} if data is None else {data.resolve().name: data})
    for name, folder in sets.items():
        ground = _ground(load_images(folder), stream.child(name), steps)
        found = compare(
            {str(scheme): partial(_trained, ground, scheme, size) for scheme in schemes},
            ground.test,
            teacher=ground.teacher,
            seeds=seeds,
            stream=stream.child(name, "seeds"),
            device="cpu",
        )
        taught = evaluate(ground.teacher, ground.test, device="cpu")["accuracy"]
        for scheme in schemes:
            facts = {"data": name, "teacher": taught, "size": size, **scheme._asdict()}
            rows += [facts | row for row in _rows(found, scheme, steps)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Gains in accuracy by term and weight, a panel for each set of images; then what the last steps add."""
    rows = rows[rows["measure"] == "accuracy"]
    names, sets = list(dict.fromkeys(rows["term"])), list(dict.fromkeys(rows["data"]))
    for ax, letter, data in zip(axes, "ab", [*sets, None], strict=False):
        here = rows[(rows["data"] == data) & (rows["steps"] == rows["steps"].max())]
        _draw_gains(ax, here[here["term"] != "labels"], names[1:])
        plain = here[here["term"] == "labels"]
        said = (
            f"{data}\nlabels {plain['mean'].iloc[0]:.1%}, teacher {plain['teacher'].iloc[0]:.1%}"
            if data
            else ""
        )
        panel_letter(ax, letter, said or "not in this run")
    longest = rows[(rows["steps"] == rows["steps"].max()) & (rows["factor"] == 1)]
    for place, data in enumerate(sets):
        here = longest[longest["data"] == data].set_index("term").loc[names]
        _whiskers(
            axes[2], range(len(names)), here, "longer", shift=0.3 * place - 0.15,
            color=PALETTE[("black", "vermillion")[place]], marker="os"[place], label=str(data),
        )  # fmt: skip
    _finish(axes[2], names, "gain by the last half of the steps")
    legend_above(axes[0], axes[2], columns=5)
    panel_letter(axes[2], "c", f"{rows['steps'].max()} steps against {rows['steps'].min()}")


def _draw_gains(ax: Any, rows: pd.DataFrame, names: list[str]) -> None:
    factors = sorted(set(rows["factor"]))
    for place, factor in enumerate(factors):
        here = rows[rows["factor"] == factor].set_index("term").loc[names]
        colors = [PALETTE[_KINDS[name]] for name in names]
        _whiskers(
            ax, range(len(names)), here, "gain", shift=0.25 * (place - (len(factors) - 1) / 2), color=colors,
            marker="v^"[factor > 1] if factor != 1 else "o", label=None,
        )  # fmt: skip
        ax.plot(
            [],
            [],
            "v^"[factor > 1] if factor != 1 else "o",
            color="0.4",
            label=f"{factor:g} × the rule's weight",
        )
    _finish(ax, names, "gain over labels (points of 100)")


def _whiskers(ax: Any, places: Iterable[int], rows: pd.DataFrame, of: str, **style: Any) -> None:
    """Means with intervals, one below the other, in points of 100."""
    shifted = [place + style["shift"] for place in places]
    ax.hlines(
        shifted, 100 * rows[f"{of}_low"], 100 * rows[f"{of}_high"], colors=style["color"], linewidth=1.4
    )
    ax.scatter(
        100 * rows[of], shifted, edgecolors=style["color"], facecolors="white", marker=style["marker"], s=26,
        zorder=3, label=style["label"],
    )  # fmt: skip


def _finish(ax: Any, names: Sequence[str], label: str) -> None:
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(label)


def _ground(images: Images, stream: Stream, steps: int) -> _Ground:
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())[: _POOL + _TEST]
    assert images.shape is not None
    inputs = images.inputs[order].unflatten(-1, (1, *images.shape))
    if inputs.shape[-1] > 14:
        inputs = avg_pool2d(inputs, 2)
    labels = images.labels[order]
    with stream.child("teacher").default():
        teacher = _Net(2, images.num_classes)
    pool = _loader(inputs[:_POOL], labels[:_POOL])
    taught = fit(teacher, pool, stream=stream.child("teacher"), **_how(3 * steps))
    return _Ground(inputs, labels, images.num_classes, taught.module)


def _loader(inputs: Tensor, labels: Tensor) -> DataLoader[Any]:
    """Batches drawn as one slice each, which is cheaper than image by image."""
    pairs = TensorDataset(inputs, labels)
    batches = BatchSampler(RandomSampler(pairs), _BATCH, drop_last=False)
    return DataLoader(pairs, sampler=batches, batch_size=None)


def _how(steps: int) -> dict[str, Any]:
    adam, falling = partial(torch.optim.Adam, fused=True), partial(_falling, steps=steps)
    recipe = Recipe(steps=steps, learning_rate=0.01, optimizer=adam, schedule=falling)
    return {"recipe": recipe, "device": "cpu", "loop": Loop(every=max(1, steps // 100))}


def _falling(optimizer: torch.optim.Optimizer, *, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps + 1)


def _trained(ground: _Ground, scheme: _Scheme, size: int, here: Stream) -> Trained:
    rows = torch.randperm(_POOL, generator=here.child("rows").torch())[:size]
    inputs, labels = ground.inputs[rows], ground.labels[rows]
    with here.child("student").default():
        student = _Net(1, ground.classes)
    losses = {"labels": labels_term()}
    if scheme.term != "labels":
        first = inputs[:_BATCH], labels[:_BATCH]
        losses[scheme.term] = _weighted(student, ground, first, scheme, here)
    return distil(
        student, ground.teacher, _loader(inputs, labels), losses=losses, stream=here, **_how(scheme.steps),
    )  # fmt: skip


def _weighted(
    student: nn.Module, ground: _Ground, first: tuple[Tensor, Tensor], scheme: _Scheme, here: Stream
) -> Term:
    """The term with the weight at which it is ln k at the student's start, times the factor."""
    bare, once = _TERMS[scheme.term], Recipe(steps=1)
    looked = distil(
        student, ground.teacher, first, losses={scheme.term: bare}, recipe=once, stream=here, device="cpu"
    )
    start = looked.history["value"].iloc[0]
    return replace(bare, weight=scheme.factor * math.log(ground.classes) / float(start))


def _rows(found: Comparison, scheme: _Scheme, steps: int) -> list[dict[str, Any]]:
    """One row a measure, with paired gains over labels for as many steps, and over half the steps."""
    own = _of(found.summary(), scheme)
    table = own.rename(columns={"low": "mean_low", "high": "mean_high"})
    others = {"gain": _Scheme("labels", 1.0, scheme.steps), "longer": scheme._replace(steps=steps // 2)}
    for name, other in others.items():
        if other != scheme and str(other) in set(found.measures["scheme"]):
            paired = _of(found.gains(str(other)), scheme)
            paired = paired.rename(columns={"mean": name, "low": f"{name}_low", "high": f"{name}_high"})
            table = table.merge(paired.drop(columns="seeds"), on="measure")
        else:
            table[[name, f"{name}_low", f"{name}_high"]] = 0.0
    return [row | _convergence(found, scheme) for row in table.to_dict("records")]


def _of(table: pd.DataFrame, scheme: _Scheme) -> pd.DataFrame:
    return table[table["scheme"] == str(scheme)].drop(columns="scheme")


def _convergence(found: Comparison, scheme: _Scheme) -> dict[str, float]:
    """The term's mean weight; the mean objective over the last tenth of the steps, and its fall in it."""
    history = _of(found.losses, scheme)
    history = history.assign(objective=history["weight"] * history["value"])
    objective = history.groupby(["seed", "step"])["objective"].sum().groupby("step").mean()
    share = objective.index / scheme.steps
    start, before, last = (
        float(objective[(share >= low) & (share < high)].mean())
        for low, high in ((0.0, 0.02), (0.8, 0.9), (0.9, 1.0))
    )
    term = history[(history["loss"] == scheme.term) & (scheme.term != "labels")]
    return {
        "weight": float(term["weight"].mean()) if len(term) else 0.0,
        "objective": last,
        "fall_in_last_tenth": (before - last) / (start - last),
    }
