"""Error of an imperfect teacher's risk, split into variance and squared bias.

R̃ is the risk of a fixed net under the labels of a teacher p^t, on a sample of N relabelled digits; its mean
squared error about the true risk is (1/N) Var[p^tᵀℓ] + (E[(p^t − p*)ᵀℓ])², at most the same variance plus
C²(E‖p^t − p*‖₂)². Teachers are p* raised to the power 1/τ, over-confident below τ = 1 and over-smooth above
it, and mixtures (1 − ε)p* + ε·uniform. Lines are exact sums over all images; points are measured over
repeated samples, with 95 % intervals, the same samples for all teachers. To look at: the variance falls with
N and the squared bias stays, so that a teacher slightly off p* beats drawn labels on few points and loses to
them on many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from matplotlib.ticker import NullFormatter
from torch import Tensor

from kdtheory.experiments import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, counts_axis, legend_above, panel_letter, points
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld
from kdtheory.recipe import Recipe
from kdtheory.risk import (
    distilled_losses,
    excess_risk,
    one_hot_variance,
    population_risk,
    teacher_bias_variance,
)
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = ("teacher_error_is_variance_plus_squared_bias",)
CONFIG = {
    "sizes": (16, 64, 256, 1024, 4096),
    "fixed_size": 256,
    "temperatures": tuple(round(2 ** (step / 6), 3) for step in range(-12, 13)),
    "shown": (0.7, 0.9, 1.0, 1.1, 1.4),
    "mixtures": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "trials": 500,
    "training_size": 500,
}
SMALL = {
    "sizes": (16, 64, 256),
    "fixed_size": 64,
    "temperatures": (0.5, 1.0, 2.0),
    "shown": (0.5, 1.0, 2.0),
    "mixtures": (0.01, 0.1, 1.0),
    "trials": 200,
    "training_size": 100,
}
PANELS = 3

_DRAWS_AT_ONCE = 2**17
_TEMPERATURE_COLORS = ("purple", "orange", "black", "sky", "blue")
_PARTS = {  # colour, line, name
    "bound": ("gray", "-.", r"bound: variance + $C^2(E\|p^t-p^*\|_2)^2$"),
    "mean_squared_error": (PALETTE["black"], "-", r"$E(\tilde R-R)^2$"),
    "variance": (PALETTE["green"], "--", "variance"),
    "squared_bias": (PALETTE["orange"], "--", "squared bias"),
    "one_hot": (PALETTE["vermillion"], ":", r"drawn labels, $E(\hat R-R)^2$"),
}


def run(
    stream: Stream,
    *,
    sizes: Sequence[int],
    fixed_size: int,
    temperatures: Sequence[float],
    shown: Sequence[float],
    mixtures: Sequence[float],
    trials: int,
    training_size: int,
) -> list[dict[str, Any]]:
    """Rows: sweep, teacher, N; its error, exact in parts, bounded and measured; how good the teacher is."""
    world = relabelled_world(Run(stream))
    losses = _losses_of_a_net(world, training_size, stream.child("net"))
    plan = [("size", temperature, 0.0, n) for temperature in shown for n in sizes]
    plan += [("temperature", temperature, 0.0, fixed_size) for temperature in temperatures]
    plan += [("mixture", 1.0, mixture, fixed_size) for mixture in mixtures]
    atoms = {n: _atoms(world, n, trials, stream.child("trials", n)) for n in {*sizes, fixed_size}}
    rows = []
    for sweep, temperature, mixture, n in plan:
        probs = _teacher(world, temperature, mixture)
        facts = {"sweep": sweep, "temperature": temperature, "mixture": mixture, "n": n, "trials": trials}
        rows.append(
            facts
            | _quality(world, probs)
            | _exact(world, losses, probs, n)
            | _measured(world, losses, probs, atoms[n])
        )
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Error over N for some temperatures; its parts over the temperature and over the mixture."""
    _draw_sizes(axes[0], rows[rows["sweep"] == "size"])
    for ax, sweep in zip(axes[1:], ("temperature", "mixture"), strict=True):
        _draw_parts(ax, rows[rows["sweep"] == sweep].sort_values(sweep), sweep)
    axes[1].set_xlabel(r"temperature $\tau$ of the teacher $p^t \propto (p^*)^{1/\tau}$")
    axes[2].set_xlabel(r"share $\varepsilon$ of uniform labels, $p^t = (1-\varepsilon)p^* + \varepsilon/k$")
    fixed = rows.loc[rows["sweep"] == "mixture", "n"].iloc[0]
    panel_letter(axes[0], "a", "teachers of different temperature")
    panel_letter(axes[1], "b", f"the parts over the temperature, $N$ = {fixed:,}")
    panel_letter(axes[2], "c", f"the parts over the mixture, $N$ = {fixed:,}")
    legend_above(axes[1], columns=5)


def _draw_sizes(ax: Any, rows: pd.DataFrame) -> None:
    for color, (temperature, line) in zip(_TEMPERATURE_COLORS, rows.groupby("temperature"), strict=False):
        ax.plot(line["n"], line["mean_squared_error"], color=PALETTE[color], linewidth=1.2)
        interval = line["measured"], line["low"], line["high"]
        name = "Bayes" if temperature == 1 else "over-confident" if temperature < 1 else "over-smooth"
        label = rf"$\tau$ = {temperature:g}, {name}"
        points(ax, line["n"], *interval, color=PALETTE[color], label=label)
    color, style, _ = _PARTS["one_hot"]
    ax.plot(line["n"], line["one_hot"], style, color=color, linewidth=1.4)
    ax.set_yscale("log")
    ax.set_ylabel("mean squared error of the risk (nats²)")
    counts_axis(ax, rows["n"], label="sample size $N$")
    ax.set_ylim(bottom=1e-3 * ax.get_ylim()[0])  # the key stands below all points
    ax.legend(loc="lower left", fontsize="small")


def _draw_parts(ax: Any, rows: pd.DataFrame, sweep: str) -> None:
    for part, (color, style, label) in _PARTS.items():
        ax.plot(rows[sweep], rows[part], style, color=color, linewidth=1.4, label=label)
    points(ax, rows[sweep], rows["measured"], rows["low"], rows["high"], color=PALETTE["black"])
    ax.set_xscale("log")
    if sweep == "temperature":
        ax.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yscale("log")
    # A Bayes teacher has no bias, and so no place on a logarithmic axis.
    ax.set_ylim(rows["variance"].min() / 30, rows["bound"].max() * 3)
    ax.set_ylabel("error of the risk and its parts (nats²)")


def _losses_of_a_net(world: FiniteWorld, size: int, stream: Stream) -> Tensor:
    """ℓ(f(x))_y on all images, f one net fitted to drawn labels of a sample of its own."""
    sample = world.sample(size, stream.child("sample"))
    net = train(
        MLP((world.dim, 32, world.num_classes)),
        sample.inputs,
        sample.labels,
        loss=label_loss,
        members=1,
        stream=stream,
        recipe=Recipe(steps=300, learning_rate=0.01, weight_decay=0.01),
        device="cpu",
    )
    return log_loss(net.logits(world.inputs)[0].double())


def _teacher(world: FiniteWorld, temperature: float, mixture: float) -> Tensor:
    """(1 − ε)·softmax(ln p*/τ) + ε/k."""
    probs = (world.probs.log() / temperature).softmax(-1)
    return (1 - mixture) * probs + mixture / world.num_classes


def _quality(world: FiniteWorld, probs: Tensor) -> dict[str, float]:
    """How often the teacher's first choice is the drawn label, and E KL(p*‖p^t) in nats."""
    chosen = world.probs.gather(-1, probs.argmax(-1, keepdim=True))[..., 0]
    table = -probs.log(), -world.probs.log(), world.probs, world.weights
    return {
        "teacher_accuracy": float(world.expectation(chosen)),
        "teacher_excess_risk": float(excess_risk(*table)),
    }


def _exact(world: FiniteWorld, losses: Tensor, probs: Tensor, n: int) -> dict[str, float]:
    parts = teacher_bias_variance(losses, probs, world.probs, world.weights, n=n)
    names = ("variance", "squared_bias", "mean_squared_error", "bound")
    one_hot = one_hot_variance(losses, world.probs, world.weights, n=n)
    return {name: float(getattr(parts, name)) for name in names} | {"one_hot": float(one_hot)}


def _measured(world: FiniteWorld, losses: Tensor, probs: Tensor, atoms: Tensor) -> dict[str, float]:
    """The mean of (R̃ − R)² over the trials, with its Student interval."""
    risk = population_risk(losses, world.probs, world.weights)
    estimates = distilled_losses(losses, probs)[atoms].mean(-1)
    test = mean_test((estimates - risk).square().numpy())
    low, high = test.interval()
    return {"measured": test.mean, "standard_error": test.standard_error, "low": low, "high": high}


def _atoms(world: FiniteWorld, n: int, trials: int, stream: Stream) -> Tensor:
    """Which images stand in each trial's sample."""
    at_once, parts = max(1, _DRAWS_AT_ONCE // n), []
    for start in range(0, trials, at_once):
        parts.append(world.sample((min(at_once, trials - start), n), stream.child(start)).atoms)
    return torch.cat([part for part in parts if part is not None])
