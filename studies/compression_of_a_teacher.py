"""Accuracy against compression: pruning, removed units, low rank, and a small net from scratch.

Teachers with two hidden layers are trained on the labels of real images. They are made smaller in four ways:
weights set to zero by magnitude; hidden units taken out; every layer replaced by two of low rank; low rank of
twice the size, and half of the factors' weights then set to zero. A fifth student is a smaller net of the
size of the one with units taken out, from a fresh initialisation. (a) The compressed teachers as they are.
(b) The same after distillation from the teacher on the same images, with zeros and ranks held. (c) What
distillation adds over training the same compressed nets, as long, on the labels alone: paired differences.
Accuracy on unseen images at the last step, means and 95 % intervals over teachers, each with images and
initialisation of its own. Bits: 32 for each weight; where that is fewer, the places of the zeros and 32 bits
for each of the others. The table has the largest gradient norm of every population, and how many of its nets
ended with one of at most 0.1; where one did not, after four stages of falling step size, the point is hollow.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdtheory.compression import factorise, kept_weights, model_size, narrow
from kdtheory.datasets import load_images
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP, Architecture, ModuleArchitecture
from kdtheory.plots import PALETTE, band, legend_above, panel_letter
from kdtheory.populations import Population, train
from kdtheory.risk import accuracy
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "truncated_svd_is_the_best_low_rank_approximation",
    "magnitude_pruning_is_the_best_sparse_approximation",
    "distillation_brings_back_what_pruning_lost",
)
CONFIG = {
    "examples": 400,
    "members": 10,
    "width": 48,
    "shares": (0.5, 0.25, 0.125, 0.0625),
    "steps": 400,
}
SMALL = {"examples": 100, "members": 2, "width": 16, "shares": (0.5, 0.125), "steps": 40}
PANELS = 3

_TEMPERATURE, _WEIGHT, _CONVERGED = 2.0, 0.9, 0.1
_RATES = (0.02, 0.01, 0.005, 0.0025)
_STYLES = {
    "pruned weights": ("blue", "o"),
    "units removed": ("orange", "s"),
    "low rank": ("green", "^"),
    "low rank, pruned": ("purple", "D"),
    "small, from scratch": ("black", "v"),
}


@dataclass(frozen=True)
class _Data:
    """Each member's own images, and those that it has not seen."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class _Start:
    """Compressed teachers, ready to be trained: the parameters that are not kept are zero."""

    architecture: Architecture
    params: Tensor
    kept: Tensor | None = None


def run(
    stream: Stream,
    *,
    examples: int,
    members: int,
    width: int,
    shares: Sequence[float],
    steps: int,
    data: Path | None = None,
) -> list[dict[str, Any]]:
    """Rows: method, share aimed at, training (none, labels, distilled, gain); bits; accuracy and interval."""
    drawn = _drawn(data, examples, members, stream)
    k = int(drawn.y.max()) + 1
    architecture = MLP((drawn.x.shape[-1], width, width, k))
    teachers = _trained(
        _Start(architecture, architecture.init(stream, members=members)), drawn, None, steps, stream
    )
    whole = _accuracy(teachers.architecture, teachers.params, drawn)
    full = model_size(teachers.module(0)).bits
    facts = {"method": "teacher", "share": 1.0, "training": "labels", "bits": full, "bits_share": 1.0}
    rows = [facts | _summary(whole) | _convergence(teachers)]
    probs = teachers.logits(drawn.x).softmax(-1)
    for share in shares:
        for method, start in _starts(teachers, share, stream.child("scratch", str(share))).items():
            here = {"method": method, "share": share, **_size(start, full)}
            rows += _method_rows(here, start, drawn, probs, steps, stream.child(method, str(share)))
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Compressed; compressed and distilled; distilled less label-trained."""
    teacher = rows[rows["method"] == "teacher"].iloc[0]
    for ax, training in zip(axes, ("none", "distilled", "gain"), strict=True):
        for method, (color, marker) in _STYLES.items():
            line = rows[(rows["method"] == method) & (rows["training"] == training)].sort_values("bits_share")
            values = (line[name] for name in ("accuracy", "low", "high"))
            if len(line) and not (training == "none" and method == "small, from scratch"):
                band(ax, line["bits_share"], *values, color=PALETTE[color], marker=marker, label=method)
                still = line[line["converged"] < line["members"]]
                ax.plot(still["bits_share"], still["accuracy"], marker, color="white", markersize=2.5)
        ax.set_xscale("log", base=2)
        ax.set_xlabel("bits, as a share of the teacher's")
        ax.axhline(
            0 if training == "gain" else teacher["accuracy"], color="0.4", linewidth=0.9, linestyle=":"
        )
        ax.set_ylabel("difference of accuracy" if training == "gain" else "accuracy on unseen images")
    for ax in axes[:2]:
        ax.set_ylim(0, 1.02)
    panel_letter(axes[0], "a", "compressed (dotted: the teacher)")
    panel_letter(axes[1], "b", "compressed, then distilled")
    panel_letter(axes[2], "c", "distilled less trained on labels")
    legend_above(axes[1], columns=5)


def _drawn(data: Path | None, examples: int, members: int, stream: Stream) -> _Data:
    images = load_images(data)
    parts = []
    for member in range(members):
        generator = stream.child("images", member).torch()
        order = torch.randperm(images.num_images, generator=generator)[: examples + 2000]
        x, y = images.inputs[order], images.labels[order]
        parts.append((x[:examples], y[:examples], x[examples:], y[examples:]))
    return _Data(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _starts(teachers: Population, share: float, stream: Stream) -> dict[str, _Start]:
    architecture, params = teachers.architecture, teachers.params
    modules = [teachers.module(member) for member in range(len(teachers))]
    dense = _narrowed(modules, _width(architecture, share))
    return {
        "pruned weights": _pruned(_Start(architecture, params), share),
        "units removed": dense,
        "low rank": _factorised(modules, share),
        "low rank, pruned": _pruned(_factorised(modules, 2 * share), 0.5),
        "small, from scratch": _Start(
            dense.architecture, dense.architecture.init(stream, members=len(modules))
        ),
    }


def _pruned(start: _Start, share: float) -> _Start:
    kept = kept_weights(start.architecture, start.params, share=share)
    return _Start(start.architecture, start.params * kept, kept)


def _factorised(modules: Sequence[Any], share: float) -> _Start:
    """Layers m × n of rank about share·mn/(m + n), at least one."""
    ranks = {}
    for path, layer in modules[0].named_modules():
        if isinstance(layer, torch.nn.Linear):
            m, n = layer.weight.shape
            ranks[path] = min(max(1, round(share * m * n / (m + n))), m, n)
    small = [factorise(module, ranks=ranks) for module in modules]
    shape = (modules[0][0].in_features,)
    architecture = ModuleArchitecture(lambda: copy.deepcopy(small[0]), shape, "low rank")
    return _Start(architecture, _packed(architecture, small))


def _narrowed(modules: Sequence[Any], width: int) -> _Start:
    small = [narrow(module, widths=[width, width]) for module in modules]
    first, last = small[0][0], small[0][-1]
    architecture = MLP((first.in_features, width, width, last.out_features))
    return _Start(architecture, _packed(architecture, small))


def _packed(architecture: Architecture, modules: Sequence[Any]) -> Tensor:
    states = [module.state_dict() for module in modules]
    return architecture.pack({name: torch.stack([state[name] for state in states]) for name in states[0]})


def _width(architecture: Any, share: float) -> int:
    """The width w with about share times the teacher's parameters: dw + w² + kw."""
    d, width, _, k = architecture.widths
    target = share * (d * width + width**2 + k * width)
    return max(1, round(((d + k) ** 2 / 4 + target) ** 0.5 - (d + k) / 2))


def _size(start: _Start, full: int) -> dict[str, float]:
    size = model_size(start.architecture.module(start.params, 0))
    return {
        "parameters": size.parameters,
        "nonzero": size.nonzero,
        "bits": size.bits,
        "bits_share": size.bits / full,
    }


def _method_rows(
    facts: dict[str, Any], start: _Start, drawn: _Data, probs: Tensor, steps: int, stream: Stream
) -> list[dict[str, Any]]:
    rows = [facts | {"training": "none"} | _summary(_accuracy(start.architecture, start.params, drawn))]
    both = _both(start, drawn, probs, steps, stream)
    measured = {name: _accuracy(nets.architecture, nets.params, drawn) for name, nets in both.items()}
    states = {name: _convergence(nets) for name, nets in both.items()}
    rows += [facts | {"training": name} | _summary(measured[name]) | states[name] for name in both]
    gain = _summary(measured["distilled"] - measured["labels"])
    worst = max(states.values(), key=lambda state: state["gradient_norm"])
    return [*rows, facts | {"training": "gain"} | gain | worst]


def _both(start: _Start, drawn: _Data, probs: Tensor, steps: int, stream: Stream) -> dict[str, Population]:
    """Trained on labels and on the teacher, equally long: until all have converged, or four stages."""
    found: dict[str, Population] = {}
    for rate in _RATES:
        for training, teacher in (("labels", None), ("distilled", probs)):
            here = replace(start, params=found[training].params) if training in found else start
            found[training] = _trained(here, drawn, teacher, steps, stream, rate)
        if all(bool(nets.converged(_CONVERGED).all()) for nets in found.values()):
            break
    return found


def _trained(
    start: _Start,
    drawn: _Data,
    probs: Tensor | None,
    steps: int,
    stream: Stream,
    rate: float = _RATES[0],
) -> Population:
    """Adam with a step that falls to zero; a penalty of weights keeps the minimum finite."""
    settings = {"temperature": _TEMPERATURE, "weight": _WEIGHT}
    return train(
        start.architecture,
        drawn.x,
        drawn.y,
        teacher_probs=probs,
        loss=label_loss if probs is None else distillation,
        settings=None if probs is None else settings,
        members=len(drawn.x),
        stream=stream,
        steps=steps,
        learning_rate=rate,
        schedule="cosine",
        weight_decay=1e-4,
        initial=start.params,
        kept=start.kept,
        device="cpu",
    )


def _accuracy(architecture: Architecture, params: Tensor, drawn: _Data) -> Tensor:
    with torch.no_grad():
        return accuracy(architecture.logits(params, drawn.test_x), drawn.test_y)


def _summary(values: Tensor) -> dict[str, float]:
    test = mean_test(values.numpy())
    low, high = test.interval()
    return {"accuracy": test.mean, "low": low, "high": high, "members": len(values)}


def _convergence(nets: Population) -> dict[str, float]:
    return {
        "gradient_norm": float(nets.gradient_norm.max()),
        "converged": int(nets.converged(_CONVERGED).sum()),
    }
