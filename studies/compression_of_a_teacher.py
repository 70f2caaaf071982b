"""Accuracy against compression: pruning, removed units, low rank, and a small net from scratch.

Teachers with two hidden layers are trained on the labels of real images: digits and, beside them, the images
that `--data` names (Fashion-MNIST in the figure), averaged down to 14 × 14 pixels. They are made smaller in
four ways: weights set to zero by magnitude; hidden units taken out; layers replaced by two of low rank; low
rank of twice the size, and half of the factors' weights then set to zero. The rank is one for all layers that
it makes smaller, share · Σ mn / Σ (m + n) over the layers m × n, rounded; the axis shows the share that
comes of it. A fifth student is a smaller net of the size of the one with units taken out, from a fresh
initialisation.

(a, c) The compressed teachers as they are (dashed) and after distillation from the teacher (T = 2, λ = 0.9)
on the same images, with zeros and ranks held (solid). (b, d) What distillation adds over training the same
compressed nets, as long, on the labels alone: paired differences. Accuracy on unseen images at the last step,
means and 95 % intervals over teachers, each with images and initialisation of its own. Bits: 32 for each
weight; where that is fewer, the places of the zeros and 32 bits for each of the others. The table has the
share of weights that are left, the largest gradient norm of every population, and how many of its nets ended
with one of at most 0.1; where one did not, after four stages of falling step size, the point is hollow.

To look at: trained again, a net with weights set to zero is about as good as its teacher at a sixteenth of
the size; low rank makes the least of its bits; beside training on labels, as long and until it converges,
distillation adds little: about a point where the compressed net is weakest, on digits, and elsewhere hardly
more than its interval.
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
from torch.nn.functional import avg_pool2d

from kdtheory.compression import ModelSize, factorise, kept_weights, model_size, narrow
from kdtheory.datasets import Images, load_images
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP, Architecture, ModuleArchitecture
from kdtheory.plots import PALETTE, band, legend_above, panel_letter
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
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
    "width": 128,
    "shares": (0.5, 0.25, 0.125, 0.0625),
    "steps": 400,
}
SMALL = {"examples": 100, "members": 2, "width": 16, "shares": (0.5, 0.125), "steps": 15}
PANELS = 4

_TEMPERATURE, _WEIGHT, _CONVERGED = 2.0, 0.9, 0.1
_SCRATCH = "small, from scratch"
_RATES = (0.02, 0.01, 0.005, 0.0025)
_STYLES = {
    "pruned weights": ("blue", "o"),
    "units removed": ("orange", "s"),
    "low rank": ("green", "^"),
    "low rank, pruned": ("purple", "D"),
    _SCRATCH: ("black", "v"),
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
    """Rows: data, method, share aimed at, training (none, labels, distilled, gain); bits; accuracy."""
    sets = {"digits": None} | ({} if data is None else {data.resolve().name: data})
    rows = []
    for name, folder in sets.items():
        here = stream.child(name)
        drawn = _drawn(load_images(folder), examples, members, here)
        rows += [{"data": name} | row for row in _on_one_set(drawn, width, shares, steps, here)]
    return rows


def _on_one_set(
    drawn: _Data, width: int, shares: Sequence[float], steps: int, stream: Stream
) -> list[dict[str, Any]]:
    architecture = MLP((drawn.x.shape[-1], width, width, int(drawn.y.max()) + 1))
    start = _Start(architecture, architecture.init(stream, members=len(drawn.x)))
    teachers = _trained(start, drawn, None, steps, stream)
    whole = _size(_Start(teachers.architecture, teachers.params))
    own = _accuracy(teachers.architecture, teachers.params, drawn)
    facts = {"method": "teacher", "share": 1.0, "training": "labels", **_shares(whole, whole)}
    rows = [facts | _summary(own) | _convergence(teachers)]
    probs = teachers.logits(drawn.x).softmax(-1)
    for share in shares:
        for method, start in _starts(teachers, share, stream.child("scratch", str(share))).items():
            here = {"method": method, "share": share, **_shares(_size(start), whole)}
            rows += _method_rows(here, start, drawn, probs, steps, stream.child(method, str(share)))
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Compressed, and then distilled; distilled minus label-trained; for each set of images."""
    sets = list(dict.fromkeys(rows["data"]))
    for place, letters in enumerate(("ab", "cd")):
        pair = axes[2 * place : 2 * place + 2]
        if place < len(sets):
            _draw_set(pair, rows[rows["data"] == sets[place]])
        name = sets[place] if place < len(sets) else "not in this run"
        for ax, letter, title in zip(
            pair, letters, ("accuracy (dotted: the teacher)", "gain over labels"), strict=True
        ):
            ax.set_xlabel("bits, as a share of the teacher's")
            ax.set_ylabel("difference of accuracy" if ax is pair[1] else "accuracy on unseen images")
            panel_letter(ax, letter, f"{name}: {title}" if place < len(sets) else name)
    legend_above(axes[0], columns=7)


def _draw_set(axes: Any, rows: pd.DataFrame) -> None:
    levels = *rows.loc[rows["method"] == "teacher", "accuracy"], 0.0
    axes[0].plot([], [], "--", color="0.4", label="compressed")
    axes[0].plot([], [], "-", color="0.4", label="then distilled")
    for method, (color, marker) in _STYLES.items():
        parts = {
            name: part.sort_values("bits_share")
            for name, part in rows[rows["method"] == method].groupby("training")
        }
        if method != _SCRATCH:
            part = parts["none"]
            axes[0].plot(
                part["bits_share"], part["accuracy"], marker + "--", color=PALETTE[color],
                markersize=3, linewidth=1,
            )  # fmt: skip
        for ax, name in zip(axes, ("distilled", "gain"), strict=True):
            _draw_line(ax, parts[name], PALETTE[color], marker, method)
    for ax, level in zip(axes, levels, strict=True):
        ax.set_xscale("log", base=2)
        ax.axhline(level, color="0.4", linewidth=0.9, linestyle=":")


def _draw_line(ax: Any, line: pd.DataFrame, color: str, marker: str, label: str) -> None:
    """Hollow where a net has not converged."""
    band(
        ax, line["bits_share"], line["accuracy"], line["low"], line["high"],
        color=color, marker=marker, label=label,
    )  # fmt: skip
    still = line[line["converged"] < line["members"]]
    ax.plot(still["bits_share"], still["accuracy"], marker, color="white", markersize=2.5)


def _drawn(images: Images, examples: int, members: int, stream: Stream) -> _Data:
    inputs, parts = _averaged_down(images), []
    for member in range(members):
        generator = stream.child("images", member).torch()
        order = torch.randperm(images.num_images, generator=generator)[: examples + 2000]
        x, y = inputs[order], images.labels[order]
        parts.append((x[:examples], y[:examples], x[examples:], y[examples:]))
    return _Data(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _averaged_down(images: Images) -> Tensor:
    """Images of more than 14 pixels a side at half of that."""
    assert images.shape is not None
    if images.shape[0] <= 14:
        return images.inputs
    return avg_pool2d(images.inputs.unflatten(-1, (1, *images.shape)), 2).flatten(1)


def _starts(teachers: Population, share: float, stream: Stream) -> dict[str, _Start]:
    architecture, params = teachers.architecture, teachers.params
    modules = [teachers.module(member) for member in range(len(teachers))]
    dense = _narrowed(modules, _width(architecture, share))
    return {
        "pruned weights": _pruned(_Start(architecture, params), share),
        "units removed": dense,
        "low rank": _factorised(modules, share),
        "low rank, pruned": _pruned(_factorised(modules, 2 * share), 0.5),
        _SCRATCH: _Start(dense.architecture, dense.architecture.init(stream, members=len(modules))),
    }


def _pruned(start: _Start, share: float) -> _Start:
    kept = kept_weights(start.architecture, start.params, share=share)
    return _Start(start.architecture, start.params * kept, kept)


def _factorised(modules: Sequence[Any], share: float) -> _Start:
    """One rank for all layers m × n that it makes smaller: share · Σ mn / Σ (m + n), at least one."""
    shapes = [layer.weight.shape for layer in modules[0].modules() if isinstance(layer, torch.nn.Linear)]
    rank = max(1, round(share * sum(m * n for m, n in shapes) / sum(m + n for m, n in shapes)))
    small = [factorise(module, ranks=rank) for module in modules]
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


def _size(start: _Start) -> ModelSize:
    return model_size(start.architecture.module(start.params, 0))


def _shares(size: ModelSize, whole: ModelSize) -> dict[str, float]:
    return {
        "parameters": size.parameters,
        "nonzero": size.nonzero,
        "weights_share": size.nonzero / whole.nonzero,
        "bits": size.bits,
        "bits_share": size.bits / whole.bits,
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
        recipe=Recipe(steps=steps, learning_rate=rate, schedule="cosine", weight_decay=1e-4),
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
