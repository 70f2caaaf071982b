"""Limits of a risk from points that nobody has learned from, in draws and by enumeration of the counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory.bounds.deviation import hoeffding63_radius
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.holdout import hoeffding63_kl_holdout, progressive_limit
from kdtheory.experiments.bounds.enumeration import LOG_TINY, exponent_left, log_misses, some_counts
from kdtheory.experiments.bounds.tested_nets import (
    classes_of,
    errors_of,
    fixed_beforehand,
    part_of,
    risks_of_classes,
    trained_on,
    with_shared_points,
)
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.inversion import binomial_upper_limits, kl_upper_inverse
from kdtheory.problems import FiniteWorld
from kdtheory.types import Sample

DELTA = 0.05
LIMITS = ("exact", "kl", "Hoeffding", "Bernstein")
Predictor = Callable[[FiniteWorld, Sample, Tensor, Tensor], Tensor]
_BLOCK = 20


@experiment
def holdouts_and_their_limits(run: Run, /, *, predictor: Predictor = fixed_beforehand) -> Rows:
    """4,000 hold-outs, the risk of a predictor and its limits at δ = 0.05. "images": eight networks on real
    images with redrawn labels, risks summed over all images, n = 20; "rare": a predictor that errs on a
    hundredth of its points, n = 40. `predictor` is what becomes of it when the hold-out is there.
    """
    images, draws = relabelled_world(run), run.size(quick=4000, full=40_000)
    training = images.sample((8, 100), run.stream.child("training"))
    nets = trained_on(images, training, run.stream.child("nets"), run)
    atoms = torch.arange(100)
    right = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(100, 2)
    flat = FiniteWorld(atoms[:, None].double(), torch.full((100,), 0.01, dtype=torch.float64), right)
    cases = {"images": (images, classes_of(nets, images), 20), "rare": (flat, (atoms < 1).long()[None], 40)}
    columns = {}
    for name, (world, table, n) in cases.items():
        seen = world.sample((draws, n), run.stream.child(name))
        said = predictor(world, seen, seen.labels, table[torch.arange(draws) % len(table)])
        errors = errors_of(said, seen).sum(-1).double().numpy()
        columns[f"{name}, risk"] = risks_of_classes(said, world).numpy()
        columns |= {f"{name}, {limit}": found for limit, found in _limits(errors, n, math.log(DELTA)).items()}
    return Rows(**columns)


@experiment
def exponents_left_by_limits(run: Run, /) -> Rows:
    """ln δ/ln P[miss] for the worst risk, by enumeration of the counts, n = 20, 2,000 and 10⁸, ln δ =
    ln 0.05, −100 and −600; and the empirical Bernstein radius where nobody errs over what points without an
    error need, n = 10⁸.
    """
    cases = [(n, log_delta) for n in (20, 2000, 10**8) for log_delta in (math.log(DELTA), -100.0, LOG_TINY)]
    ratios: dict[str, list[float]] = {}
    for n, log_delta in cases:
        counts = some_counts(n)
        for name, limit in _limits(counts, n, log_delta).items():
            ratios.setdefault(name, []).append(exponent_left(log_misses(limit, counts, n), log_delta))
    none = float(_limits(np.zeros(1), 10**8, LOG_TINY)["Bernstein"][0]) / -math.expm1(LOG_TINY / 10**8)
    return Rows(**ratios, none=none)


@experiment
def binomial_and_kl_limits(run: Run, /, *, share: float = 1.0) -> Rows:
    """All counts k < n for n up to 150, δ from 1/10 to 1e-6, no sampling: P[Bin(n, q) ≤ k] over δ at q a hair
    above the exact limit at `share` of δ, by scipy; and how far that limit and the kl limit at δ lie above
    the rate seen.
    """
    chances, exact, chernoff = [], [], []
    for n in (1, 2, 5, 20, 80, run.size(quick=150, full=300)):
        for delta in (0.1, 0.05, 1e-3, 1e-6):
            k = np.arange(n)
            limit = binomial_upper_limits(k, n, log_delta=math.log(share * delta))
            chances.append(stats.binom.cdf(k, n, np.minimum(limit * (1 + 1e-12), 1)) / delta)
            exact.append(limit - k / n)
            chernoff.append(kl_upper_inverse(k / n, -math.log(delta) / n) - k / n)
    chance, above, kl_above = (np.concatenate(rows) for rows in (chances, exact, chernoff))
    return Rows(chance=chance, exact=above, kl=kl_above)


@experiment
def averaged_witnesses(run: Run, /, *, predictor: Predictor = fixed_beforehand) -> Rows:
    """Five networks that start alike and are trained on the same points in part, so that they err together:
    their mean risk on real images with redrawn labels, and its limits from 700 hold-outs of 100 points at δ =
    0.05. For five that never err on the hold-out, ln δ/ln P[miss] of the kl limit.
    """
    world, stream, draws = relabelled_world(run), run.stream, run.size(quick=700, full=4000)
    training = with_shared_points(world.sample((5, 100), stream.child("training")), share=90)
    seen = world.sample((draws, 100), stream.child("hold-out"))
    nets = trained_on(world, training, stream.child("nets"), run, start_alike=True)
    table = predictor(world, seen, seen.labels, classes_of(nets, world)[:, None])
    witnesses = table.reshape(-1, *table.shape[-2:])  # each on all draws, or a table a draw for all of them
    losses = torch.stack([errors_of(one.expand(draws, -1), seen) for one in witnesses]).double().mean(0)
    radius = maurer09_finite_class_radius(losses.var(-1), n=100, class_size=1, delta=DELTA)
    none = log_misses(np.array([_kl_limit(torch.zeros(100))]), np.zeros(1), 100)
    return Rows(
        risk=torch.stack([risks_of_classes(one, world) for one in witnesses]).mean(0).expand(draws),
        kl=_kl_limits(losses),
        bernstein=losses.mean(-1) + radius,
        exponent=exponent_left(none, math.log(DELTA)),
    )


@experiment
def linear_maps_on_the_first_points(run: Run, /, *, blocks: int = 1) -> Rows:
    """Linear maps trained on the first so many times 20 of 80 real images with redrawn labels, 250 draws:
    whether they err at each of the 80, and their risk.
    """
    world, draws = relabelled_world(run), run.size(quick=250, full=4000)
    sample = world.sample((draws, 4 * _BLOCK), run.stream.child("draws"))
    learned, stream = part_of(sample, 0, blocks * _BLOCK), run.stream.child("nets", blocks)
    table = classes_of(trained_on(world, learned, stream, run, hidden=()), world)
    return Rows(wrong=errors_of(table, sample), risk=risks_of_classes(table, world))


@experiment
def progressive_tests(run: Run, /, *, own: int = 0) -> Rows:
    """Linear maps trained on 20, 40 and 60 points, each tested by the 20 that follow, of which `own` times 20
    are among those that it was trained on: their mean risk, and its limit for a guessed loss of 0.5, δ = 0.1.
    """
    maps = [linear_maps_on_the_first_points.given(blocks=blocks + own).rows(run) for blocks in (1, 2, 3)]
    tests = [one.wrong[:, _BLOCK * place : _BLOCK * (place + 1)] for place, one in enumerate(maps, start=1)]
    mean = torch.cat(tests, -1).double().mean(-1).tolist()
    return Rows(
        risk=torch.stack([one.risk for one in maps]).mean(0),
        limit=[progressive_limit(value, 0.5, 3 * _BLOCK, 0.1) for value in mean],
    )


@experiment
def exponents_left_by_progressive_limits(run: Run, /) -> Rows:
    """ln δ/ln P[miss] for predictors of one risk, by enumeration of the counts at three guesses, n = 2,000, δ
    = e^{−600}.
    """
    guesses, n, exponents = (0.0, 0.1, 0.5), 2000, []
    for guess in guesses:
        counts = np.unique(np.r_[some_counts(n, 100), round(guess * n)])
        limits = [progressive_limit(count / n, guess, n, math.exp(LOG_TINY)) for count in counts]
        exponents.append(exponent_left(log_misses(np.array(limits), counts, n), LOG_TINY))
    return Rows(guess=guesses, exponent=exponents)


def _limits(errors: np.ndarray, n: int, log_delta: float) -> dict[str, np.ndarray]:
    """The four limits of so many errors among n points; the exact one for n that can be summed over."""
    mean, delta = errors / n, math.exp(log_delta)
    variance = torch.from_numpy(errors * (n - errors) / (n * (n - 1.0)))
    radius = maurer09_finite_class_radius(variance, n=n, class_size=1, delta=delta).numpy()
    limits = {"exact": binomial_upper_limits(errors, n, log_delta=log_delta)} if n < 10**6 else {}
    return limits | {
        "kl": kl_upper_inverse(mean, -log_delta / n),
        "Hoeffding": mean + hoeffding63_radius(n, delta=delta),
        "Bernstein": mean + radius,
    }


def _kl_limits(losses: Tensor) -> np.ndarray:
    """The limit of each row's mean, one for all rows of one mean."""
    _, first, place = np.unique(losses.mean(-1).numpy().round(9), return_index=True, return_inverse=True)
    limits: np.ndarray = np.array([_kl_limit(losses[row]) for row in first.tolist()])[place]
    return limits


def _kl_limit(losses: Tensor) -> float:
    return hoeffding63_kl_holdout(losses, delta=DELTA, fixed_in_advance=True, independent_draws=True).value
