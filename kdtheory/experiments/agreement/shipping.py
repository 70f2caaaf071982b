"""A teacher, its witness, and a network distilled from that, tested by one hold-out: exact chances."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from scipy import stats

from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.inversion import binomial_upper_limit

DELTA = 0.05
_LEAVES = np.linspace(0.01, 0.5, 50)


@experiment
def three_networks_on_one_holdout(run: Run, /, *, labels_learned: float = 0.0) -> Rows:
    """100 labels in the hold-out and 100 points without, δ/3 for each of three limits: the error of the
    witness, that of a network distilled from it, and, by the product of two p-values, that of a teacher which
    has seen the labels and leaves the witness as often as serves it best. Errors of witness and distilled
    network of 0.05 or just above the limit from 20 errors, apart or together; the chance, by enumeration,
    that one of the three limits lies below, and that each does. Or the distilled network has learned a share
    `labels_learned` of the labels that test it. Beside it, at 0 to 50 errors of the witness, its limit, and
    that of a teacher who never leaves it.
    """
    n, share, missed, each = 100, DELTA / 3, [], []
    counts, level = np.arange(n + 1), fisher32_log_level(share)
    beside = limits_of_witness_and_teacher.rows(run)
    limits = beside.of_witness
    risks = 0.05, min(float(limits[20]) + 1e-9, 1.0)
    for witness, distilled, together in itertools.product(risks, risks, (0.0, 0.9)):
        mass = stats.binom.pmf(counts, n, witness)
        tail = stats.binom.logcdf(counts, n, witness)
        teacher = _worst_teachers(tail, n, level)
        least = int((limits < distilled).sum())
        both = together * min(witness, distilled) + (1 - together) * witness * distilled
        kept = 1 - labels_learned
        fails = _fewer(counts, n, least, kept * both / witness, kept * (distilled - both) / (1 - witness))
        fine = (limits >= witness) * (1 - teacher) * (1 - fails)
        missed.append(1 - (mass * fine).sum())
        each.append([float((mass * one).sum()) for one in (limits < witness, fails, teacher)])
    return Rows(
        missed=np.array(missed),
        each=np.array(each),
        of_witness=limits[:51:10],
        of_teacher=beside.of_teacher,
        delta=DELTA,
    )


@experiment
def limits_of_witness_and_teacher(run: Run, /) -> Rows:
    """Exact limits at δ/3 from every count of 100 labels, and, at 0 to 50 errors of the witness, those of a
    teacher who never leaves it at 100 points without labels.
    """
    n, share = 100, DELTA / 3
    agreed = RiskTail("disagreement", 0.0, n, True, {"drawn": True})
    level = fisher32_log_level(share)
    teachers = [
        product_upper_limit(replace(agreed, mean=k / n), agreed, log_level=level) for k in range(0, 51, 10)
    ]
    limits = [binomial_upper_limit(k, n, delta=share) for k in range(n + 1)]
    return Rows(of_witness=np.array(limits), of_teacher=np.array(teachers))


def _worst_teachers(log_tails: np.ndarray, points: int, level: float) -> np.ndarray:
    """The largest chance, over Pr[f ≠ g], that both p-values have a product below the level."""
    tails = log_tails[:, None]
    most = stats.binom.ppf(np.exp(np.minimum(level - tails, 0.0)), points, _LEAVES)
    chance = stats.binom.cdf(most, points, _LEAVES)
    low = np.log(np.maximum(chance, 1e-300)) + tails < level
    worst: np.ndarray = np.where(low, chance, stats.binom.cdf(most - 1, points, _LEAVES)).max(1)
    return worst


def _fewer(errors: np.ndarray, points: int, least: int, where_wrong: float, where_right: float) -> np.ndarray:
    """P[X + Y < least], X ~ Bin(k, ·) and Y ~ Bin(n − k, ·), for each k."""
    first, number = np.arange(least), errors[:, None]
    mass = stats.binom.pmf(first, number, min(where_wrong, 1.0))
    rest = stats.binom.cdf(least - 1 - first, points - number, min(where_right, 1.0))
    return np.array([math.fsum(row) for row in mass * rest])
