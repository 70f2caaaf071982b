"""How often each certificate is violated, against the δ that it asks for.

Real images with redrawn labels, so that every risk is a sum over all images. Before the draws, a teacher f, a
student g distilled from it and 256 small classifiers are fixed; each draw brings 200 labelled and 200
unlabelled points. A certificate that holds for a whole class counts as violated if it fails for any of the
256, a PAC-Bayes bound if it fails for any of four Gibbs posteriors. Bars are exact 95 % intervals
(Clopper–Pearson), the points of a δ side by side to its right. Where a line has no violation it has no point:
the upper limit of its interval is the dotted line.

To look at: none lies above the diagonal, but the error that the best of the 256 makes on its own points,
certified as if they were a hold-out. The exact binomial limit lies on the diagonal, where nothing can be
gained; what is far below is loose by its constant or by its union bound, which is not the same for all lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from kdtheory.bounds import (
    bartlett02_deviation_radius,
    hoeffding63_radius,
    hsu21_distillation,
    massart00_finite_class,
    maurer04_kl_limit,
    maurer09_finite_class_radius,
    sum_upper_limit,
)
from kdtheory.bounds.occam import occam_log_delta
from kdtheory.experiments import Run
from kdtheory.experiments.bounds.tested_nets import atoms_of, classes_of, risks_of_classes, trained_on
from kdtheory.experiments.worlds import distilled_log_loss, relabelled_world
from kdtheory.inversion import binomial_upper_limits, kl_upper_inverse
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

CLAIMS = (
    "binomial_limit_is_attained",
    "occam_limits_cover_all_coded_classifiers",
    "pac_bayes_kl_covers_gibbs_posteriors",
    "disagreement_transfers_a_certificate",
    "distillation_bound_covers_the_teacher",
)
CONFIG = {"draws": 4000, "points": 200, "classifiers": 256, "deltas": (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)}
SMALL = {"draws": 200, "points": 200, "classifiers": 64, "deltas": (0.05, 0.2)}

_BETAS = (0.3, 1.0, 3.0, 30.0)
_STYLES = {
    "hold-out, exact": (PALETTE["black"], "o"),
    "hold-out, kl": (PALETTE["sky"], "s"),
    "hold-out, Hoeffding": (PALETTE["orange"], "D"),
    "hold-out, empirical Bernstein": (PALETTE["yellow"], "v"),
    "disagreement, two limits": (PALETTE["blue"], "P"),
    "disagreement, one limit": (PALETTE["blue"], "d"),
    "Occam, exact": (PALETTE["green"], "^"),
    "PAC-Bayes-kl": (PALETTE["purple"], "X"),
    "finite class, Rademacher": (PALETTE["vermillion"], "<"),
    "distillation": ("0.3", ">"),
    "training error as a hold-out": ("0.5", "*"),
}


def run(
    stream: Stream, *, data: Path | None, draws: int, points: int, classifiers: int, deltas: Sequence[float]
) -> list[dict[str, Any]]:
    """Rows: line, δ, draws, violations, their frequency and its exact 95 % interval."""
    within = Run(stream, data=data)
    world = relabelled_world(within)
    pair = _pair(within, stream.child("pair"))
    few = world.sample((classifiers, 40), stream.child("few"))
    table = classes_of(trained_on(world, few, stream.child("classifiers"), within, hidden=()), world)
    labelled = world.sample((draws, points), stream.child("labelled"))
    others = world.sample((draws, points), stream.child("unlabelled"))
    at, there = atoms_of(labelled), atoms_of(others)
    said = pair.argmax(-1)
    wrong = [table[:, places] != labels for places, labels in zip(at, labelled.labels, strict=True)]
    errors = torch.stack([each.sum(-1) for each in wrong]).double().numpy()
    seen = {
        "risks": risks_of_classes(table, world).numpy(),
        "errors": errors,
        "complexity": [massart00_finite_class(each.double()) for each in wrong],
        "f": (said[0][at] != labelled.labels).sum(-1).numpy(),
        "g": (said[1][at] != labelled.labels).sum(-1).numpy(),
        "apart": (said[0][there] != said[1][there]).sum(-1).numpy(),
        "risk": float(risks_of_classes(said[:1], world)),
    }
    rows = []
    for delta in deltas:
        violated = _violations(seen, points, delta)
        violated["distillation"] = _distillation(pair, labelled.labels, at, there, delta) < seen["risk"]
        rows += [_row(line, delta, violated[line]) for line in _STYLES]
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """Frequency of violation over δ, and the diagonal."""
    deltas = np.unique(rows["delta"])
    least = 0.5 / rows["draws"].max()
    ax.fill_between([deltas[0] / 2, 1], [deltas[0] / 2, 1], 1, color="0.92", zorder=0)
    ax.plot([least, 1], [least, 1], color="0.3", linewidth=1, linestyle="--", label="δ: too often above it")
    names, some = list(_STYLES), rows["violations"] > 0
    for name, (color, marker) in _STYLES.items():
        part = rows[(rows["line"] == name) & some]
        x = part["delta"] * 1.035 ** names.index(name)
        ax.vlines(x, part["low"], part["high"], color=color, linewidth=1.1)
        label = name if len(part) else f"{name}: never"
        ax.plot(x, part["frequency"], marker, color=color, markersize=5, label=label)
    if not some.all():
        label = f"upper limit of 0 in {rows['draws'].iloc[0]:,}"
        ax.axhline(rows["high"][~some].max(), color="0.3", linewidth=1, linestyle=":", label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(deltas[0] / 1.5, min(1, deltas[-1] * 1.6))
    ax.set_ylim(least, 1.3)
    ax.set_xticks(deltas, [f"{delta:g}" for delta in deltas])
    ax.minorticks_off()
    ax.set_xlabel("δ")
    ax.set_ylabel("share of draws in which it is violated")
    ax.set_title(f"{rows['draws'].iloc[0]:,} draws", loc="left")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False)


def _pair(within: Run, stream: Stream) -> Tensor:
    """The logits of f and of g, distilled from it, on all images [2, atoms, k]."""
    world = relabelled_world(within)
    sample = world.sample((1, 600), stream.child("training"))
    teacher = trained_on(world, sample, stream.child("teacher"), within)
    probs = teacher.logits(sample.inputs).softmax(-1)
    student = train(
        MLP((world.dim, world.num_classes)),
        sample.inputs,
        teacher_probs=probs,
        loss=distilled_log_loss,
        members=1,
        stream=stream.child("student"),
        recipe=Recipe(steps=100, learning_rate=0.05),
        device=within.device,
    )
    return torch.cat([net.logits(world.inputs).cpu().double() for net in (teacher, student)])


def _violations(seen: dict[str, Any], n: int, delta: float) -> dict[str, np.ndarray]:
    """Whether each line's limit lies below the risk that it should cover, in each draw."""
    level, f = -math.log(delta), seen["f"]
    errors, risks, size = seen["errors"], seen["risks"], len(seen["risks"])
    half = math.log(delta / 2)
    mean = torch.from_numpy(f / n)
    radius = maurer09_finite_class_radius(mean * (1 - mean) * n / (n - 1), n=n, class_size=1, delta=delta)
    transferred = binomial_upper_limits(seen["g"], n, log_delta=half)
    transferred = transferred + binomial_upper_limits(seen["apart"], n, log_delta=half)
    occam = binomial_upper_limits(
        errors, np.full_like(errors, n), log_delta=occam_log_delta(math.log2(size), delta=delta)
    )
    uniform = np.array([bartlett02_deviation_radius(c, n=n, delta=delta) for c in seen["complexity"]])
    best = errors.argmin(-1)
    least = binomial_upper_limits(errors.min(-1), n, log_delta=math.log(delta))
    return {
        "hold-out, exact": binomial_upper_limits(f, n, log_delta=math.log(delta)) < seen["risk"],
        "hold-out, kl": kl_upper_inverse(f / n, level / n) < seen["risk"],
        "hold-out, Hoeffding": f / n + hoeffding63_radius(n, delta=delta) < seen["risk"],
        "hold-out, empirical Bernstein": (mean + radius).numpy() < seen["risk"],
        "disagreement, two limits": transferred < seen["risk"],
        "disagreement, one limit": _joint(seen["g"], seen["apart"], n, delta) < seen["risk"],
        "Occam, exact": (occam < risks).any(-1),
        "PAC-Bayes-kl": _gibbs(errors, risks, n, delta),
        "finite class, Rademacher": (errors / n + uniform[:, None] < risks).any(-1),
        "training error as a hold-out": least < risks[best],
    }


def _joint(errors: np.ndarray, apart: np.ndarray, n: int, delta: float) -> np.ndarray:
    """The limit of the sum, once for each pair of counts."""
    pairs, where = np.unique(np.stack([errors, apart], -1), axis=0, return_inverse=True)
    limits = [sum_upper_limit(int(k), n, int(other), n, delta=delta) for k, other in pairs]
    return np.array(limits)[where.reshape(-1)]


def _gibbs(errors: np.ndarray, risks: np.ndarray, n: int, delta: float) -> np.ndarray:
    """Whether the bound fails for any of the Gibbs posteriors Q ∝ e^{−βk} around the uniform prior."""
    violated = np.zeros(len(errors), dtype=bool)
    for beta in _BETAS:
        log_q = torch.from_numpy(-beta * errors).log_softmax(-1)
        q = log_q.exp().numpy()
        nats = (q * log_q.numpy()).sum(-1) + math.log(len(risks))
        seen = ((q * errors).sum(-1) / n).clip(0, 1)
        violated |= maurer04_kl_limit(seen, nats.clip(0), n=n, delta=delta) < q @ risks
    return violated


def _distillation(pair: Tensor, labels: Tensor, at: Tensor, there: Tensor, delta: float) -> np.ndarray:
    """The distillation bound in each draw: both predictors fixed beforehand, so that no class is charged."""
    f, g = pair
    settings = {
        "gamma": 1.0,
        "delta": delta,
        "student_complexity": 0.0,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    values = [
        hsu21_distillation(g[a], y, g[b], f[b], **settings).value
        for a, b, y in zip(at, there, labels, strict=True)
    ]
    return np.array(values)


def _row(line: str, delta: float, violated: np.ndarray) -> dict[str, Any]:
    test = stats.binomtest(int(violated.sum()), len(violated))
    interval = test.proportion_ci(0.95, method="exact")
    return {
        "line": line,
        "delta": delta,
        "draws": len(violated),
        "violations": int(violated.sum()),
        "frequency": float(violated.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
    }
