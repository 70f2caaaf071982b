"""One limit for the sum of two risks, and the chance that it is missed, by enumeration of the counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
from kdtheory.bounds.two_samples import sum_upper_limit
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run

DELTA = 0.05
Chances = tuple[np.ndarray, float]


def by_independence(k: int, other: int, size: int, /) -> float:
    """The limit for two risks that were fixed before both samples of one size."""
    return sum_upper_limit(k, size, other, size, delta=DELTA)


def by_the_product(k: int, other: int, size: int, /) -> float:
    """The limit by the product of the two p-values."""
    first, second = (RiskTail("errors", count / size, size, True, {"given": True}) for count in (k, other))
    return product_upper_limit(first, second, log_level=fisher32_log_level(DELTA))


def on_two_samples(p: float, q: float, size: int, /) -> Chances:
    """The chance of each pair of counts on two independent samples, and the sum of the risks."""
    first, second = (stats.binom.pmf(np.arange(size + 1), size, rate) for rate in (p, q))
    return np.outer(first, second), p + q


def on_one_sample(p: float, _q: float, size: int, /) -> Chances:
    """Both are counted on one sample, on which f leaves g wherever g errs."""
    return np.diag(stats.binom.pmf(np.arange(size + 1), size, p)), 2 * p


@experiment
def limits_of_sums(
    run: Run, /, *, limit: Callable[[int, int, int], float] = by_independence, quick: int = 15, full: int = 40
) -> Rows:
    """The limit of the sum of two risks for all counts on two samples of 15 (or so many) points, δ = 0.05."""
    size = run.size(quick=quick, full=full)
    limits = [[limit(k, other, size) for other in range(size + 1)] for k in range(size + 1)]
    return Rows(size=size, limit=np.array(limits))


@experiment
def chances_to_miss_a_sum(
    run: Run, /, *, samples: Callable[[float, float, int], Chances] = on_two_samples
) -> Rows:
    """P[limit < p + q] by enumeration of the counts on two samples of 15, at a grid of risks p, q up to
    0.7.
    """
    limits, missed = limits_of_sums.rows(run), []
    for p, q in itertools.product(np.linspace(0.02, 0.7, 35).tolist(), repeat=2):
        chance, risk = samples(p, q, limits.size)
        missed.append(float(chance[limits.limit < risk].sum()))
    return Rows(missed=missed)


@experiment
def chances_to_miss_an_informed_sum(
    run: Run, /, *, limit: Callable[[int, int, int], float] = by_the_product
) -> Rows:
    """max P[limit < p + q(k)] over all predictors that are chosen with the count k of the witness's errors in
    view, by enumeration of the counts on two samples of 8, at a grid of risks p up to 0.7. And, for all
    counts whose limit is below 1, the largest ln P₁(p′)P₂(q′) over a grid of p′ + q′ = the limit, beside
    ln c.
    """
    limits = limits_of_sums.given(limit=limit, quick=8, full=20).rows(run)
    counts, missed = np.arange(limits.size + 1), []
    for p in np.linspace(0.02, 0.7, 35):
        grid = np.broadcast_to(np.linspace(0, 1, 51), (len(counts), 51))
        q = np.clip(np.concatenate([limits.limit - p + 1e-9, grid], -1), 0, 1 - p)
        chance = stats.binom.pmf(counts, limits.size, q[..., None])
        worst = (chance * (limits.limit[:, None] < (p + q)[..., None])).sum(-1).max(-1)
        missed.append(float(stats.binom.pmf(counts, limits.size, p) @ worst))
    log_level = optimize.brentq(lambda log: log + math.log1p(-log) - math.log(DELTA), -100, math.log(DELTA))
    k, other = np.nonzero(limits.limit < 1)
    found = limits.limit[k, other]
    split = np.linspace(0, found, 2001)
    products = sum(stats.binom.logcdf(c, limits.size, at) for c, at in ((k, split), (other, found - split)))
    return Rows(missed=missed, largest=products.max(0), log_level=log_level)
