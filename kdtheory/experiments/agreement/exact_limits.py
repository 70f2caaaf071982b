"""How often student and teacher differ, and what that costs: chances that a limit is missed, by
enumeration.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from kdtheory.bounds.agreement import gate_allows, points_needed
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.inversion import binomial_upper_limit

DELTA = 0.05


def exact_share(differing: int, points: int, /) -> float:
    """The exact limit of how often the two differ."""
    return gate_allows(points - differing, points, delta=DELTA)


def share_seen(differing: int, points: int, /) -> float:
    """How often they differ at the points seen."""
    return differing / points


@experiment
def gates_and_what_they_allow(run: Run, /, *, limit: Callable[[int, int], float] = exact_share) -> Rows:
    """P[limit < Pr[s ≠ t]] by enumeration of the counts of 20 and of 100 points, at 50 probabilities; and the
    chance to pass of a student that differs any more often than 5 or 1 per cent, at the number of points that
    is said to be needed for 0, 1 or 5 differences, δ = 0.05.
    """
    missed = []
    for points in (20, 100):
        counts = np.arange(points + 1)
        limits = np.array([limit(differing, points) for differing in counts.tolist()])
        missed += [stats.binom.pmf(counts, points, d)[limits < d].sum() for d in np.linspace(0.01, 0.99, 50)]
    passed = [
        stats.binom.cdf(flips, points_needed(most, delta=DELTA, flips=flips), most * (1 + 1e-9))
        for most, flips in itertools.product((0.05, 0.01), (0, 1, 5))
    ]
    return Rows(missed=missed, passed=passed)


def exact_difference(gains: int, losses: int, trials: int, /) -> float:
    """The exact limit of a difference of errors."""
    return difference_upper_limit(gains, losses, trials, delta=DELTA)


def normal_difference(gains: int, losses: int, trials: int, /) -> float:
    """The normal limit of a paired difference."""
    difference = (gains - losses) / trials
    variance = max((gains + losses) / trials - difference**2, 0.0)
    return difference + float(stats.norm.isf(DELTA)) * math.sqrt(variance / trials)


@experiment
def limits_of_differences(run: Run, /, *, limit: Callable[[int, int, int], float] = exact_difference) -> Rows:
    """The limit of err(s) − err(t) for all counts of 7 points, beside a limit for each of its two chances;
    and P[limit < difference] by enumeration at a grid of both chances, δ = 0.05.
    """
    n = run.size(quick=7, full=12)
    seen = [(plus, minus, n - plus - minus) for plus in range(n + 1) for minus in range(n + 1 - plus)]
    limits = np.array([limit(plus, minus, n) for plus, minus, _ in seen])
    missed = []
    for p, q in itertools.product(np.linspace(0, 1, 21), repeat=2):
        if p + q <= 1 + 1e-12:
            mass = stats.multinomial.pmf(seen, n, [p, q, max(0.0, 1 - p - q)])
            missed.append(mass[limits < p - q - 1e-12].sum())
    two_limits = [_two_limits(plus, minus, n) for plus, minus, _ in seen]
    return Rows(limit=limits, two_limits=two_limits, missed=missed)


def _two_limits(gains: int, losses: int, trials: int) -> float:
    lower = 1 - binomial_upper_limit(trials - losses, trials, delta=DELTA / 2)
    return binomial_upper_limit(gains, trials, delta=DELTA / 2) - lower
