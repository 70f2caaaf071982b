"""Chapter 5.8: the two terms of a disagreement transfer under one limit: by independence, by the product."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
from kdtheory.bounds.two_samples import sum_upper_limit
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import scaled, shifted
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.two_samples import (
    DELTA,
    by_independence,
    chances_to_miss_a_sum,
    chances_to_miss_an_informed_sum,
    on_one_sample,
)
from kdtheory.inversion import binomial_upper_limit


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
    place="derived here, for a sum",
    assumes=(
        "f and g were fixed before both samples, which are independent, their points independent draws.",
    ),
    experiment=chances_to_miss_a_sum,
    control=Control("both risks are read off the same points", samples=on_one_sample),
    mutants=(
        Mutant("the normal approximation", sum_upper_limit, _wald),
        Mutant("a limit for each at δ/2", sum_upper_limit, _two_limits),
    ),
)
def one_limit_covers_the_sum_of_two_risks(rows: Rows, /) -> Evidence:
    """The errors of a witness and its disagreement with f, seen on two independent samples, have one exact
    limit for their sum: missed with probability at most δ whatever the two risks, and with nearly that much
    for the worst; a limit for each at δ/2 gives half of δ away and more."""
    return Joint(
        parts={
            "covers": Inequality.of(rows.missed, np.full(len(rows.missed), DELTA), slack=1e-9),
            "no less": Inequality.of([0.8 * DELTA], [max(rows.missed)]),
        }
    )


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[p + q \le \sup\{p' + q' : P_1(p')\,P_2(q') \ge c\}\Bigr] \ge 1-\delta,"
    r"\quad c(1 - \ln c) = \delta",
    source="fisher1932statistical",
    place="derived here, one-sided",
    assumes=("The unlabelled points were drawn after f and g were fixed, the labelled ones after g.",),
    experiment=chances_to_miss_an_informed_sum,
    control=Control("the limit for an f that was fixed beforehand", limit=by_independence),
    mutants=(
        Mutant("a product below δ is called as rare as δ", fisher32_log_level, math.log),
        Mutant("the normal approximation", product_upper_limit, _wald_of_tails),
        Mutant("c is a tenth larger", fisher32_log_level, shifted(math.log(1.1))),
        Mutant("a fiftieth more", product_upper_limit, scaled(1.02)),
    ),
    power=Scaled(product_upper_limit),
)
def the_product_of_two_p_values_covers_whatever_the_predictor_has_seen(rows: Rows, /) -> Evidence:
    """A predictor that was chosen with the labelled points in view, as badly as possible, has a risk above
    the limit of the product with probability at most δ.

    The control puts the limit for two fixed risks to the same test. "as stated": of all risks that add up to
    the limit the p-values have the product c at most, and reach it; to a thousandth of ln c.
    """
    largest = Identity.of(rows.largest, np.full(len(rows.largest), rows.log_level), tolerance=1e-3)
    covers = Inequality.of(rows.missed, np.full(len(rows.missed), DELTA), slack=1e-9)
    return Joint(parts={"covers": covers, "as stated": largest})
