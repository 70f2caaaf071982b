"""Chapter 5.8: the two terms of a disagreement transfer under one limit."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import stats

from kdtheory.bounds.two_samples import sum_upper_limit
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint
from kdtheory.inversion import binomial_upper_limit

DELTA = 0.05


def _wald(k: int, n: int, other: int, m: int, /, *, delta: float) -> float:
    variance = k / n * (1 - k / n) / n + other / m * (1 - other / m) / m
    return k / n + other / m + float(stats.norm.isf(delta)) * math.sqrt(variance)


def _two_limits(k: int, n: int, other: int, m: int, /, *, delta: float) -> float:
    return binomial_upper_limit(k, n, delta=delta / 2) + binomial_upper_limit(other, m, delta=delta / 2)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[p + q \le \sup\bigl\{p' + q' :"
    r" P_{p',q'}\bigl[\tfrac Kn + \tfrac Lm \le \hat p + \hat q\bigr] \ge \delta\bigr\}\Bigr] \ge 1-\delta",
    source="clopper1934use",
    assumes=("The two samples are independent, the points of each independent draws.",),
    control=Control("both risks are read off the same points", samples="one"),
    uses=(sum_upper_limit,),
    mutants=(
        Mutant("the normal approximation", sum_upper_limit, _wald),
        Mutant("a limit for each at δ/2", sum_upper_limit, _two_limits),
    ),
)
def one_limit_covers_the_sum_of_two_risks(setting: Setting, /, *, samples: str = "two") -> Evidence:
    """The errors of a witness and its disagreement with f, seen on two independent samples, have one exact
    limit for their sum: missed with probability at most δ whatever the two risks, and with nearly that much
    for the worst; a limit for each at δ/2 gives half of δ away and more.

    Enumeration of all counts of two samples at a grid of risks; δ = 0.05, constants derived here. The control
    counts both on one sample, on which f leaves g wherever g errs.
    """
    size = setting.size(quick=20, full=40)
    counts = range(size + 1)
    limits = np.array(
        [[sum_upper_limit(k, size, other, size, delta=DELTA) for other in counts] for k in counts]
    )
    missed = []
    for p, q in itertools.product(np.linspace(0.02, 0.7, 35), repeat=2):
        first, second = (stats.binom.pmf(counts, size, rate) for rate in (p, q))
        chance = np.outer(first, second)
        if samples == "one":
            q, chance = p, np.diag(first)
        missed.append(chance[limits < p + q].sum())
    return Joint(
        parts={
            "covers": Inequality.of(missed, np.full(len(missed), DELTA), slack=1e-9),
            "no less": Inequality.of([0.8 * DELTA], [float(max(missed))]),
        }
    )
