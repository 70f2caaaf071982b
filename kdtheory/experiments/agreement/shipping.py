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
    counts = np.arange(n + 1)
    limits = np.array([binomial_upper_limit(int(k), n, delta=share) for k in counts])
    level = fisher32_log_level(share)
    risks = 0.05, min(float(limits[20]) + 1e-9, 1.0)
    for witness, distilled, together in itertools.product(risks, risks, (0.0, 0.9)):
        mass = stats.binom.pmf(counts, n, witness)
        tail = stats.binom.logcdf(counts, n, witness)
        teacher = np.array([_worst_teacher(float(one), n, level) for one in tail])
        least = int((limits < distilled).sum())
        both = together * min(witness, distilled) + (1 - together) * witness * distilled
        kept = 1 - labels_learned
        fails = [
            _fewer(int(k), n, least, kept * both / witness, kept * (distilled - both) / (1 - witness))
            for k in counts
        ]
        fine = (limits >= witness) * (1 - teacher) * (1 - np.array(fails))
        missed.append(1 - (mass * fine).sum())
        each.append([float((mass * one).sum()) for one in (limits < witness, fails, teacher)])
    agreed = RiskTail("disagreement", 0.0, n, True, {"drawn": True})
    teachers = [
        product_upper_limit(replace(agreed, mean=k / n), agreed, log_level=level) for k in range(0, 51, 10)
    ]
    return Rows(
        missed=np.array(missed),
        each=np.array(each),
        of_witness=limits[:51:10],
        of_teacher=np.array(teachers),
        delta=DELTA,
    )


def _worst_teacher(log_tail: float, points: int, level: float) -> float:
    """The largest chance, over Pr[f ≠ g], that both p-values have a product below the level."""
    most = stats.binom.ppf(np.exp(np.minimum(level - log_tail, 0.0)), points, _LEAVES)
    chance = stats.binom.cdf(most, points, _LEAVES)
    low = np.log(np.maximum(chance, 1e-300)) + log_tail < level
    return float(np.where(low, chance, stats.binom.cdf(most - 1, points, _LEAVES)).max())


def _fewer(errors: int, points: int, least: int, where_wrong: float, where_right: float) -> float:
    """P[X + Y < least], X ~ Bin(k, ·) and Y ~ Bin(n − k, ·)."""
    if least <= 0:
        return 0.0
    first = np.arange(min(errors, least - 1) + 1)
    mass = stats.binom.pmf(first, errors, min(where_wrong, 1.0))
    return math.fsum(mass * stats.binom.cdf(least - 1 - first, points - errors, min(where_right, 1.0)))
