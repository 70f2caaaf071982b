"""Excess risk of students over the sample size, for four kinds of labels.

Students of one shape, from the same initialisations and on the same points, minimise the log loss plus
λ‖θ‖²/2 on drawn labels (one-hot), on the Bayes probabilities p*, on those of a calibrated teacher that is
less accurate, and on those of an over-confident teacher: p* raised to a power, with the accuracy of the Bayes
classifier. Bands are 95 % Student intervals of the mean over all students of a point.

(a) Linear soft-max students of a linear truth, Gaussian inputs: p* lies in the students' class. λ = c/N makes
the penalty the log prior that the truth was drawn from. The calibrated teacher does not see the first
feature. Risks on held-out inputs. (b) Small tanh networks on relabelled digits, where they miss p*. Each kind
of label has, at each N, the λ = c/N of a grid that suits it best, by the true risk: labels are compared, not
penalties. The calibrated teacher is the mean of p* over clusters of images. Risks are exact sums over all
images. Dotted: the excess risk of the two imperfect teachers themselves.

To look at: Bayes labels beat one-hot labels at every N, and where p* lies in the class their excess falls
towards a rate of N^−2 against N^−1. In (a) imperfect teachers help on few points and hold their students up
on many; the over-confident one does more harm, though on few points the penalty hides its over-confidence. In
(b) the less accurate, calibrated teacher is the better one at every N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.experiments import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses.labelwise import log_loss, zero_one_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld, TeacherWorld, World, linear_teacher
from kdtheory.recipe import Recipe
from kdtheory.risk import excess_risk, population_risk
from kdtheory.stats import mean_test
from kdtheory.streams import Stream
from kdtheory.types import Sample

CLAIMS = (
    "students_of_bayes_labels_have_less_excess_risk",
    "weight_decay_decides_whether_bayes_labels_give_a_faster_rate",
    "accurate_overconfident_teacher_distils_worse_than_a_calibrated_one",
)
CONFIG = {
    "linear_sizes": (32, 64, 128, 256, 512, 1024, 2048),
    "digits_sizes": (32, 64, 128, 256, 512, 1024),
    "members": 200,
    "held_out": 4000,
    "stages": ((200, 0.05), (100, 0.005)),
    "decays": (0.1, 0.3, 1.0, 3.0),
}
SMALL = {
    "linear_sizes": (32, 128),
    "digits_sizes": (32, 128),
    "members": 8,
    "held_out": 1000,
    "stages": ((200, 0.05), (100, 0.005)),
    "decays": (0.1, 1.0),
}
PANELS = 2

_CONVERGED = 0.01
_POWER = 4.0
_CLUSTERS = 200
_HIDDEN = 8
_SCALE = 2.0
_STYLES = {
    "one-hot": (PALETTE["vermillion"], "o", "one-hot labels"),
    "Bayes": (PALETTE["blue"], "s", "Bayes probabilities $p^*$"),
    "calibrated": (PALETTE["green"], "^", "calibrated, less accurate teacher"),
    "over-confident": (PALETTE["purple"], "v", "over-confident, more accurate teacher"),
}


class _Arena(NamedTuple):
    """A world, the students in it, what they are taught by, and the points that their risk is a mean over."""

    world: World
    student: MLP
    decays: Sequence[float]
    teachers: dict[str, Callable[[Sample], Tensor]]
    judged: Sample


def run(
    stream: Stream,
    *,
    linear_sizes: Sequence[int],
    digits_sizes: Sequence[int],
    members: int,
    held_out: int,
    stages: Sequence[tuple[int, float]],
    decays: Sequence[float],
) -> list[dict[str, Any]]:
    """Rows: world, labels, N; mean excess risk and its interval, convergence, how good the teacher is."""
    linear = _linear_arena(held_out, stream.child("linear"))
    digits = _digits_arena(relabelled_world(Run(stream)), decays)
    plan = [("linear truth", linear, n) for n in linear_sizes]
    plan += [("relabelled digits", digits, n) for n in digits_sizes]
    rows = []
    for name, arena, n in plan:
        here = stream.child(name, n)
        sample = arena.world.sample((members, n), here.child("samples"))
        fit = partial(_students, arena, sample, stages, here.child("students"))
        facts = {"world": name, "n": n, "members": members, "judged_on": len(arena.judged.inputs)}
        rows += [
            facts | {"labels": kind} | _best(arena, fit, kind) | _quality(arena, kind) for kind in _STYLES
        ]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Excess risk over N, one line for each kind of label; the imperfect teachers' own as dotted lines."""
    for ax, letter, (world, part) in zip(axes, "ab", rows.groupby("world", sort=False), strict=True):
        for kind, (color, marker, label) in _STYLES.items():
            line = part[part["labels"] == kind].sort_values("n")
            interval = line["excess_risk"], line["low"], line["high"]
            band(ax, line["n"], *interval, color=color, marker=marker, label=label)
            if kind in ("calibrated", "over-confident"):
                ax.axhline(line["teacher_excess_risk"].iloc[0], color=color, linestyle=":", linewidth=1.2)
        if world == "linear truth":
            _note_slopes(ax, part)
        ax.set_yscale("log")
        ax.set_ylabel("excess risk of the students (nats)")
        counts_axis(ax, part["n"], label="sample size $N$")
        panel_letter(ax, letter, f"{world}\n{_accuracies(part)}")
    axes[0].plot([], [], color="0.4", linestyle=":", linewidth=1.2, label="the teacher itself")
    legend_above(axes[0], columns=4)


def _accuracies(rows: pd.DataFrame) -> str:
    of = rows.groupby("labels")["teacher_accuracy"].first()
    return f"right: calibrated {of['calibrated']:.1%}, the other {of['over-confident']:.1%}"


def _note_slopes(ax: Any, rows: pd.DataFrame) -> None:
    """The slopes of ln excess on ln N through the last three sizes."""
    slopes = {}
    for kind in ("one-hot", "Bayes"):
        line = rows[rows["labels"] == kind].sort_values("n").tail(3)
        slopes[kind] = np.polyfit(np.log(line["n"]), np.log(line["excess_risk"]), 1)[0]
    since = f"slope from $N$ = {line['n'].iloc[0]:,} on"
    text = f"{since}:\none-hot {slopes['one-hot']:.2f}, Bayes {slopes['Bayes']:.2f}"
    ax.text(0.04, 0.05, text.replace("-", "−").replace("one−hot", "one-hot"), transform=ax.transAxes)


def _linear_arena(held_out: int, stream: Stream) -> _Arena:
    world = linear_teacher(stream.child("truth"), dim=16, num_classes=4, scale=_SCALE)
    student = MLP((world.dim, world.num_classes), bias=False)
    teachers = _teachers(world, lambda sample: _without_the_first_feature(world, sample.inputs))
    # W_cj ~ N(0, scale²/d), so that λ = d/(N·scale²) makes the penalty its log prior.
    return _Arena(
        world, student, (world.dim / _SCALE**2,), teachers, world.sample(held_out, stream.child("held out"))
    )


def _digits_arena(world: FiniteWorld, decays: Sequence[float]) -> _Arena:
    student = MLP((world.dim, _HIDDEN, world.num_classes), activation="tanh")
    means = _cluster_means(world)
    images = Sample(world.inputs, world.probs.argmax(-1), world.probs, torch.arange(world.num_atoms))
    return _Arena(world, student, decays, _teachers(world, lambda sample: means[sample.atoms]), images)


def _teachers(world: World, calibrated: Callable[[Sample], Tensor]) -> dict[str, Callable[[Sample], Tensor]]:
    """The targets that each kind of label gives to the points of a sample."""
    return {
        "one-hot": lambda sample: one_hot(sample.labels, world.num_classes).double(),
        "Bayes": lambda sample: sample.probs,
        "calibrated": calibrated,
        "over-confident": lambda sample: (_POWER * sample.probs.log()).softmax(-1),
    }


def _without_the_first_feature(world: TeacherWorld, inputs: Tensor) -> Tensor:
    """E[p*(x) | x_2, …, x_d], the mean over x_1 ~ N(0, 1) by Gauss–Hermite quadrature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(32)
    weights = torch.from_numpy(masses / masses.sum())
    total = torch.zeros(*inputs.shape[:-1], world.num_classes, dtype=torch.float64)
    for node, weight in zip(nodes, weights, strict=True):
        seen = inputs.clone()
        seen[..., 0] = node
        total += weight * world.posterior(seen)
    return total


def _cluster_means(world: FiniteWorld) -> Tensor:
    """E[p*(x) | cluster of x], for all images."""
    clusters = KMeans(_CLUSTERS, n_init=1, random_state=0).fit_predict(world.inputs.numpy())
    members = one_hot(torch.from_numpy(clusters).long()).double() * world.weights[:, None]
    means = (members.T @ world.probs) / members.sum(0)[:, None]
    return means[clusters]


def _students(
    arena: _Arena,
    sample: Sample,
    stages: Sequence[tuple[int, float]],
    stream: Stream,
    kind: str,
    decay: float,
) -> Population:
    """One student for each row of the sample, trained by Adam in stages of falling step size."""
    targets, initial = arena.teachers[kind](sample), None
    for steps, rate in stages:
        students = train(
            arena.student,
            sample.inputs,
            teacher_probs=targets,
            loss=_cross_entropy,
            members=len(sample.inputs),
            stream=stream,
            recipe=Recipe(steps=steps, learning_rate=rate, weight_decay=decay / sample.inputs.shape[1]),
            initial=initial,
        )
        initial = students.params
    return students


def _cross_entropy(logits: Tensor, teacher_probs: Tensor, _labels: Tensor | None) -> Tensor:
    return -(teacher_probs * logits.log_softmax(-1)).sum(-1)


def _best(arena: _Arena, fit: Callable[[str, float], Population], kind: str) -> dict[str, float]:
    """The students at the weight decay of the grid with the least mean excess risk."""
    return min(
        (_judged(arena, fit(kind, decay), decay) for decay in arena.decays),
        key=lambda row: row["excess_risk"],
    )


def _judged(arena: _Arena, students: Population, decay: float) -> dict[str, float]:
    excess = _excess(arena, students.logits(arena.judged.inputs).cpu().double())
    test = mean_test(excess.numpy())
    low, high = test.interval()
    return {
        "excess_risk": test.mean,
        "low": low,
        "high": high,
        "median_excess_risk": float(excess.median()),
        "weight_decay_times_n": decay,
        "converged": float(students.converged(_CONVERGED).double().mean()),
        "largest_gradient_norm": float(students.gradient_norm.max()),
    }


def _excess(arena: _Arena, logits: Tensor) -> Tensor:
    probs = arena.judged.probs
    return excess_risk(log_loss(logits), log_loss(probs.log()), probs, _evenly(len(probs)))


def _quality(arena: _Arena, kind: str) -> dict[str, float]:
    """Accuracy, excess risk and calibration of the teacher; drawn labels have no teacher."""
    judged, names = arena.judged, ("teacher_accuracy", "teacher_excess_risk", "teacher_calibration_error")
    if kind == "one-hot":
        return dict.fromkeys(names, float("nan"))
    probs = arena.teachers[kind](judged)
    error = population_risk(zero_one_loss(probs.log()), judged.probs, _evenly(len(probs)))
    values = 1 - float(error), float(_excess(arena, probs.log())), _calibration_error(probs, judged.probs)
    return dict(zip(names, values, strict=True))


def _calibration_error(probs: Tensor, truth: Tensor, bins: int = 15) -> float:
    """Σ_bins |E[p^t(x)_ŷ − p*(x)_ŷ; p^t(x)_ŷ in the bin]|, ŷ the teacher's choice (Guo et al. 2017)."""
    confidence, choice = probs.max(-1)
    gap = confidence - truth.gather(-1, choice[:, None])[:, 0]
    place = (confidence * bins).long().clamp_max(bins - 1)
    return float(torch.zeros(bins, dtype=torch.float64).index_add(0, place, gap).abs().sum() / len(gap))


def _evenly(count: int) -> Tensor:
    return torch.full((count,), 1 / count, dtype=torch.float64)
