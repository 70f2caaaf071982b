"""Variance of the one-hot and of the Bayes-distilled risk over the sample size.

A net f is trained on one sample and judged on fresh ones: R̂ reads the loss of the drawn labels, R̂_* the
mean loss under the Bayes probabilities p*. Both estimate the same risk. Points are variances measured over
repeated samples, with 95 % intervals; lines are the law of total variance: exact sums over all images on the
relabelled digits, sums over a large reference sample in the Gaussian mixture. The shaded gap between the two
risks is the label noise (1/N) E_x Var_{y|x} ℓ(f(x))_y; the table has it measured too, as the paired
difference of the squared deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.experiments import Run
from kdtheory.experiments.worlds import relabelled_world, three_gaussians
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, counts_axis, legend_above, panel_letter, points
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld, World
from kdtheory.risk import (
    bayes_log_risk,
    distilled_risk,
    distilled_variance,
    label_noise_variance,
    one_hot_risk,
    one_hot_variance,
    population_risk,
)
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "distilled_risk_has_no_larger_variance",
    "variance_gap_is_the_label_noise_on_trained_networks",
    "variance_gap_is_the_label_noise_on_a_gaussian_mixture",
)
CONFIG = {"sizes": (16, 64, 256, 1024, 4096), "trials": 500, "training_size": 500, "reference_size": 500_000}
SMALL = {"sizes": (16, 64, 256), "trials": 200, "training_size": 100, "reference_size": 20_000}
PANELS = 2

_DRAWS_AT_ONCE = 2**17
_RISKS = ("one-hot", "Bayes-distilled", "gap")
_STYLES = {
    "one-hot": (PALETTE["vermillion"], "o", r"one-hot risk $\hat R$"),
    "Bayes-distilled": (PALETTE["blue"], "s", r"Bayes-distilled risk $\hat R_*$"),
}
_NOISE = r"label noise $\frac{1}{N}\,E_x\,\mathrm{Var}_{y|x}\,\ell(f(x))_y$"


def run(
    stream: Stream, *, sizes: Sequence[int], trials: int, training_size: int, reference_size: int
) -> list[dict[str, Any]]:
    """Rows: world, risk, N; expected and measured variance with its 95 % interval; how good the net is."""
    digits, gaussians = relabelled_world(Run(stream)), three_gaussians()
    worlds: dict[str, tuple[World, FiniteWorld]] = {
        "relabelled digits": (digits, digits),
        "Gaussian mixture": (gaussians, _reference(gaussians, reference_size, stream.child("reference"))),
    }
    rows = []
    for name, (world, truth) in worlds.items():
        here = stream.child(name)
        net = _trained(world, training_size, here.child("net"))
        facts = {"world": name} | _facts(net, truth) | {"trials": trials}
        for n in sizes:
            expected = _expected(net, truth, n)
            measured = _measured(net, world, n, trials, here.child("trials", n))
            rows += [facts | {"risk": risk, "n": n, **expected[risk], **measured[risk]} for risk in _RISKS]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Expected variances as lines, measured ones as points; the gap between the two risks shaded."""
    for ax, letter, (world, part) in zip(axes, "ab", rows.groupby("world", sort=False), strict=True):
        _draw_world(ax, {risk: line.sort_values("n") for risk, line in part.groupby("risk")})
        counts_axis(ax, part["n"], label="sample size $N$")
        panel_letter(ax, letter, world)
    axes[0].plot([], [], color="gray", linewidth=1.2, label="law of total variance")
    legend_above(axes[0], columns=4)


def _draw_world(ax: Any, lines: dict[str, pd.DataFrame]) -> None:
    for risk, (color, marker, label) in _STYLES.items():
        line = lines[risk]
        ax.plot(line["n"], line["expected"], color=color, linewidth=1.2)
        interval = line["measured"], line["low"], line["high"]
        points(ax, line["n"], *interval, color=color, marker=marker, label=label)
    low, high = (lines[risk]["expected"].to_numpy() for risk in ("Bayes-distilled", "one-hot"))
    n = lines["gap"]["n"]
    ax.fill_between(n, low, high, color=PALETTE["yellow"], alpha=0.3, linewidth=0, label=_NOISE)
    ratio = rf"Var $\hat R$ / Var $\hat R_*$ = {high[0] / low[0]:.2f} at every $N$"
    ax.text(0.04, 0.05, ratio, transform=ax.transAxes)
    ax.set_yscale("log")
    ax.set_ylabel("variance of the risk (nats²)")


def _reference(world: World, size: int, stream: Stream) -> FiniteWorld:
    """A large sample, taken for the law of x."""
    sample = world.sample(size, stream)
    return FiniteWorld(sample.inputs, torch.full((size,), 1 / size, dtype=torch.float64), sample.probs)


def _trained(world: World, size: int, stream: Stream) -> Population:
    """One net, fitted to drawn labels of a sample of its own."""
    sample = world.sample(size, stream.child("sample"))
    return train(
        MLP((world.dim, 32, world.num_classes)),
        sample.inputs,
        sample.labels,
        loss=label_loss,
        members=1,
        stream=stream,
        steps=300,
        learning_rate=0.01,
        weight_decay=0.01,
        device="cpu",
    )


def _losses(net: Population, inputs: Tensor) -> Tensor:
    return log_loss(net.logits(inputs.flatten(0, -2))[0].double()).unflatten(0, inputs.shape[:-1])


def _facts(net: Population, truth: FiniteWorld) -> dict[str, float | int]:
    """How far the net is from the Bayes predictor, and how many points the expectations are sums over."""
    risk = population_risk(_losses(net, truth.inputs), truth.probs, truth.weights)
    least = bayes_log_risk(truth.probs, truth.weights)
    return {"net_risk": float(risk), "bayes_risk": float(least), "reference_points": truth.num_atoms}


def _expected(net: Population, truth: FiniteWorld, n: int) -> dict[str, dict[str, float]]:
    table = _losses(net, truth.inputs), truth.probs, truth.weights
    variances = {
        "one-hot": one_hot_variance,
        "Bayes-distilled": distilled_variance,
        "gap": label_noise_variance,
    }
    return {risk: {"expected": float(variance(*table, n=n))} for risk, variance in variances.items()}


def _measured(
    net: Population, world: World, n: int, trials: int, stream: Stream
) -> dict[str, dict[str, float]]:
    """Variances over the trials: the mean of the squared deviations, with its Student interval."""
    one_hot, distilled = _risks(net, world, n, trials, stream)
    squares = {"one-hot": _squared_deviations(one_hot), "Bayes-distilled": _squared_deviations(distilled)}
    squares["gap"] = squares["one-hot"] - squares["Bayes-distilled"]
    tests = {risk: mean_test(values) for risk, values in squares.items()}
    return {
        risk: {"measured": test.mean, "standard_error": test.standard_error}
        | dict(zip(("low", "high"), test.interval(), strict=True))
        for risk, test in tests.items()
    }


def _risks(
    net: Population, world: World, n: int, trials: int, stream: Stream
) -> tuple[np.ndarray, np.ndarray]:
    """R̂ and R̂_* of every trial, both on the same points."""
    at_once, one_hot, distilled = max(1, _DRAWS_AT_ONCE // n), [], []
    for start in range(0, trials, at_once):
        sample = world.sample((min(at_once, trials - start), n), stream.child(start))
        losses = _losses(net, sample.inputs)
        one_hot.append(one_hot_risk(losses, sample.labels))
        distilled.append(distilled_risk(losses, sample.probs))
    return torch.cat(one_hot).numpy(), torch.cat(distilled).numpy()


def _squared_deviations(values: np.ndarray) -> np.ndarray:
    """Their mean is the unbiased variance."""
    return (values - values.mean()) ** 2 * len(values) / (len(values) - 1)
