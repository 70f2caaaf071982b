"""Chapter 5.8: upper limits of risks from points that nobody has learned from, and how near they are to
attained."""

from __future__ import annotations

import math

import numpy as np
import torch

from kdtheory.bounds.deviation import hoeffding63_radius
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.holdout import hoeffding63_kl_holdout, progressive_limit
from kdtheory.claims.bounds.wrong import bernstein_terms, delta_times, kl_level, kl_swapped, wald_limits
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.holdout import (
    DELTA,
    LIMITS,
    averaged_witnesses,
    binomial_and_kl_limits,
    exponents_left_by_limits,
    exponents_left_by_progressive_limits,
    holdouts_and_their_limits,
    progressive_tests,
)
from kdtheory.experiments.bounds.tested_nets import fitted_afterwards
from kdtheory.inversion import binomial_upper_limits, kl_upper_inverse

DRAWN = "The points are independent draws from one law."
FIXED = "The predictor was fixed before the points were drawn."


def _attained(rows: Rows, *names: str) -> dict[str, Evidence]:
    """P[miss] for the worst risk, which must be at most δ and at least δ^{1/0.97}; and Bernstein's 7/3."""
    ratios = {
        f"attained, {name}": WorstRatio(
            attempts=len(rows[name]), ratio=max(rows[name]), slack=1e-6, must_reach=0.97
        )
        for name in names
    }
    return {**ratios, "Bernstein's 7/3": Identity.of([rows.none], [7 / 3], tolerance=0.01)}


@claim(
    section="5.8",
    formula=r"\Pr\bigl[e(g) \le \bar q(\hat e, \delta)\bigr] \ge 1-\delta,\quad"
    r" \bar q = \sup\{q : P[\mathrm{Bin}(n,q) \le n\hat e] \ge \delta\},"
    r"\ \mathrm{kl}^{-1}\bigl(\hat e, \tfrac{\ln 1/\delta}{n}\bigr),"
    r"\ \hat e + \sqrt{\tfrac{\ln 1/\delta}{2n}},"
    r"\ \hat e + \sqrt{\tfrac{2\hat V \ln 2/\delta}{n}} + \tfrac{7 \ln 2/\delta}{3(n-1)}",
    source="langford2005tutorial",
    place="the test-set bound; tightness derived here",
    assumes=(DRAWN, FIXED),
    experiment=(holdouts_and_their_limits, exponents_left_by_limits),
    control=Control(
        "the predictor saw the hold-out, and errs wherever it did not", predictor=fitted_afterwards
    ),
    mutants=(
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("kl with its arguments swapped", kl_upper_inverse, kl_swapped),
        Mutant("0.9 ln(1/δ) in the kl limit", kl_upper_inverse, kl_level(0.9)),
        Mutant("0.9 of Hoeffding's radius", hoeffding63_radius, scaled(0.9)),
        Mutant("0.9 of Bernstein's root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of Bernstein's 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("Bernstein's root alone", maurer09_finite_class_radius, bernstein_terms(1.0, 0.0)),
        Mutant("Bernstein's 7/3 alone", maurer09_finite_class_radius, bernstein_terms(0.0, 1.0)),
        Mutant("ln(1/δ) for Bernstein's ln(2/δ)", maurer09_finite_class_radius, delta_times(2)),
        Mutant("ln(1/2δ) for Hoeffding's ln(1/δ)", hoeffding63_radius, delta_times(2)),
    ),
    power=Scaled(hoeffding63_radius),
)
def holdout_limits_cover(rows: Rows, exponents: Rows, /) -> Evidence:
    """The exact binomial limit, the kl limit, Hoeffding's and the empirical Bernstein limit each fall below
    the risk of a predictor, fixed before the hold-out was drawn, with probability at most δ; no constant in
    front of ln(1/δ) can be smaller, but for Bernstein's 7/3, which is 7/3 of what points without an error
    need.

    "attained": P[miss] must be at most δ and at least δ^{1/0.97}. "as printed": both radii at δ = ½, where
    the factors in the logarithms count.
    """
    two = math.log(2)
    bernstein = maurer09_finite_class_radius(torch.tensor(0.1), n=20, class_size=1, delta=0.5)
    radii = [hoeffding63_radius(20, delta=0.5), float(bernstein)]
    printed = [math.sqrt(two / 40), math.sqrt(2 * 0.1 * 2 * two / 20) + 7 * 2 * two / (3 * 19)]
    covered = {
        f"{name}, {limit}": Coverage.of(rows[f"{name}, risk"], rows[f"{name}, {limit}"], delta=DELTA)
        for name in ("images", "rare")
        for limit in LIMITS
    }
    told = {"as printed": Identity.of(radii, printed, tolerance=1e-6)}
    return Joint(parts={**covered, **_attained(exponents, *LIMITS), **told})


@claim(
    section="5.8",
    formula=r"\sup_q P_q[\bar q(K) < q] = \delta,\qquad"
    r" \bar q - \hat e \le \mathrm{kl}^{-1}\bigl(\hat e, \tfrac{\ln 1/\delta}{n}\bigr) - \hat e"
    r" \le \tfrac53 (\bar q - \hat e)",
    source="clopper1934use",
    place="the one-sided limit; the factor 5/3 found here",
    assumes=("δ ≤ 1/10, for the factor 5/3.",),
    experiment=binomial_and_kl_limits,
    control=Control("δ is split as for a two-sided interval", share=0.5),
    mutants=(
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant(
            "P[K < k] for P[K ≤ k]",
            binomial_upper_limits,
            arguments(lambda k, n: (np.maximum(np.asarray(k) - 1, 0), n)),
        ),
        Mutant(
            "δ/2 for δ", binomial_upper_limits, given(log_delta=lambda log: np.asarray(log) - math.log(2))
        ),
        Mutant("kl with its arguments swapped", kl_upper_inverse, kl_swapped),
    ),
    power=Scaled(binomial_upper_limits),
)
def binomial_limit_is_attained(rows: Rows, /) -> Evidence:
    """The exact binomial limit is missed with probability δ, no less, by the risk just above it, whatever the
    count; and the kl limit never lies lower, nor more than 5/3 as far above the rate seen."""
    return Joint(
        parts={
            "at most δ": Inequality.of(rows.chance, np.ones_like(rows.chance), slack=1e-6),
            "no less": Inequality.of(np.full_like(rows.chance, 0.999), rows.chance),
            "kl is no lower": Inequality.of(rows.exact, rows.kl, slack=1e-12),
            "kl is close": Inequality.of(rows.kl, 5 / 3 * rows.exact),
        }
    )


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1w\sum_j e(g_j) \le \mathrm{kl}^{-1}\Bigl("
    r"\tfrac1n\sum_i \tfrac1w\sum_j \ell(g_j; x_i, y_i),\ \tfrac{\ln 1/\delta}{n}\Bigr)\Bigr] \ge 1-\delta",
    source="hoeffding1963probability",
    place="Theorem 1",
    assumes=(DRAWN, "The witnesses were fixed before the points were drawn."),
    experiment=(averaged_witnesses, exponents_left_by_limits),
    control=Control(
        "the witnesses saw the hold-out, and err wherever they did not", predictor=fitted_afterwards
    ),
    mutants=(
        Mutant(
            "five witnesses make 5n points",
            hoeffding63_kl_holdout,
            arguments(lambda losses: losses.repeat(5)),
        ),
        Mutant("0.9 ln(1/δ)", kl_upper_inverse, kl_level(0.9)),
        Mutant("0.9 of Bernstein's root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of Bernstein's 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("a fifth of Bernstein's radius", maurer09_finite_class_radius, scaled(0.2)),
    ),
    power=Scaled(hoeffding63_kl_holdout),
)
def averaged_witnesses_share_a_holdout(rows: Rows, exponents: Rows, /) -> Evidence:
    """The mean risk of several witnesses is bounded from one hold-out at one δ, by kl inversion and by the
    empirical Bernstein radius of their mean losses: no share of δ is lost to their number, and where they
    always agree the limits are those of one predictor, whose constants cannot be smaller (7/3 excepted).

    "attained": for five that never err on the hold-out the kl limit is missed with probability δ, exactly.
    """
    attained = WorstRatio(attempts=1, ratio=rows.exponent, slack=1e-6, must_reach=0.999)
    return Joint(
        parts={
            "kl": Coverage.of(rows.risk, rows.kl, delta=DELTA, trivial=1.0),
            "Bernstein": Coverage.of(rows.risk, rows.bernstein, delta=DELTA, trivial=1.0),
            "attained, kl": attained,
            **_attained(exponents, "Bernstein"),
        }
    )


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1n\sum_i e(g_i) \le"
    r" \frac{1 - e^{-\lambda\hat e - \ln(1/\delta)/n}}{1 - e^{-\lambda}}\Bigr] \ge 1-\delta",
    source="blum1999beating",
    place="constants derived here",
    assumes=(DRAWN, "Each predictor was fixed before its own point was drawn, and λ before all."),
    experiment=(progressive_tests, exponents_left_by_progressive_limits),
    control=Control("each predictor was trained on its own points too", own=1),
    mutants=(
        Mutant("the mean loss itself", progressive_limit, lambda mean, _guess, _n, _delta: mean),
        Mutant(
            "0.9 ln(1/δ)", progressive_limit, arguments(lambda mean, guess, n, d: (mean, guess, n, d**0.9))
        ),
    ),
    power=Scaled(progressive_limit),
    cost=2,
)
def progressive_validation_covers(rows: Rows, exponents: Rows, /) -> Evidence:
    """The mean risk of a sequence of predictors, each trained on the points before those that test it, is
    bounded from all the tests at once, although later predictors depend on earlier tests; and ln(1/δ) can be
    no smaller.

    "attained": P[miss] is at most δ and at least δ^{1/0.97} for the worst risk.
    """
    attained = {
        f"attained, guess {guess:g}": WorstRatio(attempts=100, ratio=ratio, slack=1e-6, must_reach=0.97)
        for guess, ratio in zip(exponents.guess, exponents.exponent, strict=True)
    }
    return Joint(parts={"images": Coverage.of(rows.risk, rows.limit, delta=0.1, trivial=1.0), **attained})
