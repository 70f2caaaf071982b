"""Collapse of self-distillation over rounds, in theory and in nets.

Digits, of which a share of the training labels is replaced by others; each round learns the outputs of the
round before, from centred one-hot labels on. (a) What is left of each eigendirection of a Gaussian kernel's
Gram matrix after t rounds with the same error ε (Mobahi et al. 2020), one sample: the spectrum becomes
sparse, then nothing is left. (b) The norm of the outputs on the training images over rounds: the kernel, its
nets on random features (last layer trained, with the multipliers of their own kernel), nets with both layers
trained with weight decay, and the same nets where a share α of the labels is kept in every round (Borup &
Andersen 2021). (c) Their accuracy on unseen images with true labels. Means and 95 % intervals over draws of
images, labels and nets; the kernel's lines end where the first draw collapses, which none does before
r_0 − 1 rounds (dotted). Every net's gradient norm is in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdtheory.datasets import digits
from kdtheory.experiments.schemes.image_kernels import centred_targets, random_features, regression
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, band, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation import SelfDistillation, effective_rank, mobahi20_rounds
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "self_distillation_rounds_are_products_of_shrinkages",
    "self_distillation_collapses_after_a_bounded_number_of_rounds",
    "self_distillation_sparsifies_the_spectrum",
    "nets_on_random_features_follow_the_rounds",
    "trained_nets_shrink_and_lose_rank_over_rounds",
    "nets_that_keep_labels_end_in_ridge_regression",
)
CONFIG = {"examples": 150, "flipped": 0.3, "members": 10, "rounds": 12, "steps": 800, "width": 32}
SMALL = {"examples": 60, "flipped": 0.3, "members": 2, "rounds": 3, "steps": 100, "width": 16}
PANELS = 3

_ERROR_SHARE, _DECAY, _ALPHA, _NUGGET = 0.01, 3e-3, 0.3, 0.02
_STYLES = {
    "kernel": ("black", "s", "Gaussian kernel, closed form"),
    "random features": ("sky", "x", "nets, last layer trained"),
    "nets": ("vermillion", "o", "nets, both layers trained"),
    "nets keeping labels": ("green", "^", rf"the same, $\alpha$ = {_ALPHA:g} of the labels kept"),
}


@dataclass(frozen=True)
class _Draws:
    """One set of images for each member: training inputs, targets, unseen inputs and their true labels."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


def run(
    stream: Stream, *, examples: int, flipped: float, members: int, rounds: int, steps: int, width: int
) -> list[dict[str, Any]]:
    """Rows of "spectrum" (share kept of a direction after a round) and of the models over rounds."""
    drawn = [_drawn(examples, flipped, stream.child("draw", i)) for i in range(members)]
    draws = _Draws(*(torch.stack(part) for part in zip(*drawn, strict=True)))
    rows = _spectrum_rows(draws)
    rows += _kernel_rows(draws, rounds, _gaussian, "kernel")
    rows += _feature_rows(draws, rounds, steps, stream.child("features"))
    for model, kept in (("nets", 0.0), ("nets keeping labels", _ALPHA)):
        rows += _net_rows(draws, rounds, steps, width, kept, model, stream.child("nets"))
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Spectrum over rounds; norm and accuracy over rounds."""
    _draw_spectrum(axes[0], rows[rows["model"] == "spectrum"])
    for ax, value, name in zip(
        axes[1:],
        ("norm", "accuracy"),
        ("norm of the outputs (share of the labels')", "accuracy"),
        strict=True,
    ):
        for model, (color, marker, label) in _STYLES.items():
            line = rows[rows["model"] == model]
            columns = line["round"], line[value], line[f"{value}_low"], line[f"{value}_high"]
            band(ax, *columns, color=PALETTE[color], marker=marker, label=label)
        ax.set_xlabel("round $t$")
        ax.set_ylabel(name)
    least = math.ceil(_ERROR_SHARE**-0.5 - 1 - 1e-9)
    axes[1].axvline(least, color="0.4", linewidth=0.9, linestyle=":")
    axes[1].text(least, 0.02, r" $r_0 - 1$", color="0.4", va="bottom")
    axes[1].set_ylim(bottom=0)
    axes[2].set_ylim(0.4, 1)
    panel_letter(axes[0], "a", "what is left of each direction (kernel)")
    panel_letter(axes[1], "b", "norm on the training images")
    panel_letter(axes[2], "c", "accuracy on unseen images")
    legend_above(axes[1], columns=4)


def _draw_spectrum(ax: Any, rows: pd.DataFrame) -> None:
    shades = ("sky", "blue", "green", "orange", "vermillion", "black")
    for color, (t, line) in zip(shades, rows.groupby("round"), strict=False):
        ax.plot(line["direction"], line["kept"], color=PALETTE[color], linewidth=1.3, label=f"$t$ = {t}")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=1e-6, top=2)
    ax.set_xlabel("eigendirection, largest eigenvalue first")
    ax.set_ylabel("share of the label's component in $f_t(X)$")
    ax.legend(loc="lower left", fontsize="small")


def _drawn(examples: int, flipped: float, stream: Stream) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images = digits()
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    generator = stream.child("labels").torch()
    labels = images.labels[order[:examples]]
    wrong = (labels + torch.randint(1, 10, labels.shape, generator=generator)) % 10
    labels = torch.where(torch.rand(labels.shape, generator=generator) < flipped, wrong, labels)
    rest = order[examples:]
    x = images.inputs.double()
    return x[order[:examples]], centred_targets(labels, 10), x[rest], images.labels[rest]


def _gaussian(x: Tensor, test_x: Tensor, _member: int) -> tuple[Tensor, Tensor]:
    """Gram matrix with a nugget, and the kernel between unseen and training images."""
    distances = torch.cdist(x, x)
    bandwidth = distances[distances > 0].median()
    between, within = ((-(d / bandwidth).square() / 2).exp() for d in (torch.cdist(test_x, x), distances))
    gram = (1 - _NUGGET) * within + _NUGGET * torch.eye(len(x), dtype=x.dtype)
    return (gram + gram.mT) / 2, (1 - _NUGGET) * between


def _rounds(gram: Tensor, y: Tensor, rounds: int) -> SelfDistillation:
    error = _ERROR_SHARE * float(y.square().sum()) / len(y)
    return mobahi20_rounds(gram, y, error=error, rounds=rounds)


def _spectrum_rows(draws: _Draws) -> list[dict[str, Any]]:
    gram, _ = _gaussian(draws.x[0], draws.test_x[0], 0)
    found = _rounds(gram, draws.y[0], 10_000)
    shown = sorted({t for t in (1, 2, 5, 10, 20, found.rounds) if t <= found.rounds})
    return [
        {"model": "spectrum", "round": t, "direction": k + 1, "kept": float(kept), "last": found.rounds}
        for t in shown
        for k, kept in enumerate(found.shrinkage[t - 1].flip(0))
    ]


def _kernel_rows(
    draws: _Draws, rounds: int, kernel: Callable[..., tuple[Tensor, Tensor]], model: str
) -> list[dict[str, Any]]:
    """All rounds that every draw can make."""
    table: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(rounds)]
    for i, (x, y, test_x) in enumerate(zip(draws.x, draws.y, draws.test_x, strict=True)):
        gram, between = kernel(x, test_x, i)
        for t in range(1, rounds + 1):
            found = _rounds(gram, y, t)
            if found.rounds == t:
                table[t - 1].append((found.outputs[-1], between @ found.coefficients))
    whole = [row for row in table if len(row) == len(draws.x)]
    return [
        _row(model, t, draws, *(torch.stack(part) for part in zip(*row, strict=True)), gradient=0.0)
        for t, row in enumerate(whole, 1)
    ]


def _feature_rows(draws: _Draws, rounds: int, steps: int, stream: Stream) -> list[dict[str, Any]]:
    """Last layers on 300 random features, with the multipliers of their own kernel in closed form."""
    both = [
        random_features(torch.cat([x, test_x]), width=300, stream=stream.child(i))
        for i, (x, test_x) in enumerate(zip(draws.x, draws.test_x, strict=True))
    ]
    n = draws.x.shape[1]
    # A nugget for the kernel is a constant feature of its own for each training image.
    scale = max(float(own[:n].square().sum(1).mean()) for own in both) ** 0.5
    own_features = _NUGGET**0.5 * scale * torch.eye(n, dtype=draws.x.dtype)
    fit = torch.stack([torch.cat([own[:n], own_features], 1) for own in both])
    unseen = torch.stack([torch.nn.functional.pad(own[n:], (0, n)) for own in both])
    plans = [_rounds(own @ own.mT, y, rounds) for own, y in zip(fit, draws.y, strict=True)]
    rows, learned = [], draws.y
    for t in range(min(plan.rounds for plan in plans)):
        penalties = torch.stack([plan.multipliers[t] for plan in plans])
        layers, gradient = _last_layers(fit, learned, penalties, steps, stream)
        learned = fit @ layers
        rows.append(_row("random features", t + 1, draws, learned, unseen @ layers, gradient=gradient))
    return rows


def _last_layers(
    features: Tensor, targets: Tensor, penalties: Tensor, steps: int, stream: Stream
) -> tuple[Tensor, float]:
    """Each member's last layer with its own penalty, which one weight decay of the training cannot have.

    Weights are rescaled instead: with features √(p/c)·φ, p the common penalty and c its own, the decay is p.
    """
    common = float(penalties.mean())
    factors = (common / penalties).sqrt()[:, None, None]
    scaled = features * factors
    members, n, width = scaled.shape
    architecture = MLP((width, targets.shape[-1]), bias=False)
    curvature = float(torch.linalg.matrix_norm(scaled, ord=2).max()) ** 2 + common
    probs, half_squared = regression(targets)
    nets = train(
        architecture,
        scaled,
        teacher_probs=probs,
        loss=half_squared,
        members=members,
        stream=stream,
        recipe=Recipe(
            steps=steps,
            learning_rate=n / curvature,
            optimizer="sgd",
            momentum=0.95,
            weight_decay=common / n,
            dtype=torch.float64,
        ),
        initial=torch.zeros(members, architecture.size, dtype=torch.float64),
        device="cpu",
    )
    weights = architecture.unpack(nets.params)["0.weight"].mT
    return weights * factors, float(nets.gradient_norm.max())


def _net_rows(
    draws: _Draws, rounds: int, steps: int, width: int, kept: float, model: str, stream: Stream
) -> list[dict[str, Any]]:
    rows, learned = [], draws.y
    for t in range(1, rounds + 1):
        wanted = draws.y if t == 1 else kept * draws.y + (1 - kept) * learned
        probs, half_squared = regression(wanted)
        nets = train(
            MLP((draws.x.shape[-1], width, 10), activation="tanh"),
            draws.x,
            teacher_probs=probs,
            loss=half_squared,
            members=len(draws.x),
            stream=stream.child(t),
            recipe=Recipe(steps=steps, learning_rate=0.01, schedule="cosine", weight_decay=_DECAY),
            device="cpu",
        )
        outputs, unseen = (nets.logits(x).double() for x in (draws.x, draws.test_x))
        learned = outputs - outputs.mean(-1, keepdim=True)
        gradient = float(nets.gradient_norm.max())
        rows.append(_row(model, t, draws, outputs, unseen, gradient=gradient))
    return rows


def _row(
    model: str, t: int, draws: _Draws, outputs: Tensor, unseen: Tensor, *, gradient: float
) -> dict[str, Any]:
    """Mean and interval of each measure over the draws."""
    measures = {
        "norm": outputs.flatten(1).norm(dim=1) / draws.y.flatten(1).norm(dim=1),
        "rank": effective_rank(outputs),
        "accuracy": (unseen.argmax(-1) == draws.test_y).double().mean(-1),
    }
    row: dict[str, Any] = {"model": model, "round": t, "members": len(outputs), "gradient_norm": gradient}
    for name, values in measures.items():
        test = mean_test(values.numpy())
        low, high = test.interval()
        row |= {name: test.mean, f"{name}_low": low, f"{name}_high": high}
    return row
