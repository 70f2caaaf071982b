"""Chapter 5.8: the two terms of a disagreement transfer under one limit: by independence, by the product."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import stats

from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
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


def _wald_of_tails(first: RiskTail, second: RiskTail, /, *, log_level: float) -> float:
    counts = first.events, first.points, second.events, second.points
    return _wald(*counts, delta=math.exp(log_level))


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[p + q \le \sup\bigl\{p' + q' :"
    r" P_{p',q'}\bigl[\tfrac Kn + \tfrac Lm \le \hat p + \hat q\bigr] \ge \delta\bigr\}\Bigr] \ge 1-\delta",
    source="clopper1934use",
    assumes=(
        "f and g were fixed before both samples, which are independent, their points independent draws.",
    ),
    control=Control("both risks are read off the same points", samples="one"),
    uses=(sum_upper_limit,),
    mutants=(
        Mutant("the normal approximation", sum_upper_limit, _wald),
        Mutant("a limit for each at δ/2", sum_upper_limit, _two_limits),
    ),
    cost=5,
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


def _informed_failure(limits: np.ndarray, p: float) -> float:
    """max P[limit < p + q(k)] over all f chosen with the labelled points in view."""
    sizes = [range(size) for size in limits.shape]
    seen, worst = stats.binom.pmf(sizes[0], len(limits) - 1, p), []
    for row in limits:
        q = np.clip(np.concatenate([row - p + 1e-9, np.linspace(0, 1, 51)]), 0, 1 - p)[:, None]
        chance = stats.binom.pmf(sizes[1], len(row) - 1, q)
        worst.append(float((chance * (row < p + q)).sum(-1).max()))
    return float(seen @ worst)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[p + q \le \sup\{p' + q' : P_1(p')\,P_2(q') \ge c\}\Bigr] \ge 1-\delta,"
    r"\quad c(1 - \ln c) = \delta",
    source="fisher1932statistical",
    assumes=("The unlabelled points were drawn after f and g were fixed, the labelled ones after g.",),
    control=Control("the limit for an f that was fixed beforehand", limit="independent"),
    uses=(product_upper_limit, fisher32_log_level),
    mutants=(
        Mutant("a product below δ is called as rare as δ", fisher32_log_level, math.log),
        Mutant("the normal approximation", product_upper_limit, _wald_of_tails),
    ),
    cost=3,
)
def the_product_of_two_p_values_covers_whatever_the_predictor_has_seen(
    setting: Setting, /, *, limit: str = "product"
) -> Evidence:
    """A predictor that was chosen with the labelled points in view, as badly as possible, has a risk above
    the limit of the product with probability at most δ.

    Enumeration of all counts of two samples at a grid of risks of the witness, the predictor's
    disagreement with it being any function of the labelled points; δ = 0.05. The control puts the limit
    for two fixed risks to the same test.
    """
    size = setting.size(quick=10, full=20)
    counts = range(size + 1)
    tails = [RiskTail("errors", k / size, size, True, {"given": True}) for k in counts]
    level = fisher32_log_level(DELTA)

    def one(k: int, other: int) -> float:
        if limit == "independent":
            return sum_upper_limit(k, size, other, size, delta=DELTA)
        return product_upper_limit(tails[k], tails[other], log_level=level)

    limits = np.array([[one(k, other) for other in counts] for k in counts])
    failures = [_informed_failure(limits, p) for p in np.linspace(0.02, 0.7, 35)]
    return Inequality.of(failures, np.full(len(failures), DELTA), slack=1e-9)
