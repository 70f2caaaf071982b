"""Chapter 4.2: empirical Bernstein bounds on one-hot and on Bayes-distilled risks (Maurer & Pontil, 2009)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdtheory.bounds.empirical_bernstein import maurer09_covering_radius, maurer09_finite_class_radius
from kdtheory.claims.bounds.wrong import bernstein_terms, delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, MeanInequality, WorstRatio
from kdtheory.claims.wrong import Wrong, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.risk.empirical_bernstein import (
    DELTA,
    after_the_sample,
    bounds_of_a_finite_class,
    bounds_of_a_segment,
    one_end_after_the_sample,
)
from kdtheory.risk.empirical import distilled_losses, one_hot_losses

BOUNDED = "The loss lies in [0, 1]."
FIXED = "The class was fixed before the sample was drawn."


def _standard_error_alone(variance: Tensor, /, *, n: int, **_: float) -> Tensor:
    return (variance / n).sqrt()


def _members(share: float) -> Wrong:
    """The radius with ln(2|F|^share/δ)."""
    return given(class_size=lambda size: max(1, round(size**share)))


def _variance_over_n_squared(variance: Tensor, /, *, n: int, class_size: int, delta: float) -> Tensor:
    log = math.log(2) + math.log(class_size) - math.log(delta)
    return (2 * variance * log).sqrt() / n


def _covered(rows: Rows) -> dict[str, Evidence]:
    covered = {
        name: Coverage.of(rows.risk[kind], rows.bound[kind], delta=DELTA, trivial=1.0)
        for kind, name in enumerate(("one-hot", "distilled"))
    }
    return {**covered, "distilled is tighter": MeanInequality.of(rows.radius[1], rows.radius[0])}


@claim(
    section="4.2",
    formula=r"\Pr\Bigl[\forall f\in F:\ R(f) \le \hat R_*(f) + \sqrt{2\hat V_*(f)\ln(2|F|/\delta)/N}"
    r" + \tfrac{7\ln(2|F|/\delta)}{3(N-1)}\Bigr] \ge 1-\delta",
    source="maurer2009empirical",
    place="Theorem 4",
    assumes=(BOUNDED, FIXED),
    experiment=bounds_of_a_finite_class,
    control=Control("the class is a memoriser of the sample", chosen=after_the_sample),
    mutants=(
        Mutant("only the standard error is left", maurer09_finite_class_radius, _standard_error_alone),
        Mutant("√V̂/N for √(V̂/N)", maurer09_finite_class_radius, _variance_over_n_squared),
        Mutant("ln |F| is forgotten", maurer09_finite_class_radius, _members(0.0)),
        Mutant("0.9 ln |F|", maurer09_finite_class_radius, _members(0.9)),
        Mutant("0.9 of the root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("ln(|F|/δ) for ln(2|F|/δ)", maurer09_finite_class_radius, delta_times(2)),
        Mutant("half the one-hot losses", one_hot_losses, scaled(0.5)),
        Mutant("half the distilled losses", distilled_losses, scaled(0.5)),
    ),
    power=Scaled(maurer09_finite_class_radius),
)
def empirical_bernstein_bound_covers_a_finite_class(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the empirical Bernstein bound holds for all predictors of a finite
    class at once, from one-hot labels and from Bayes labels; and with Bayes labels it is the tighter one on
    average. Neither ln|F| nor the factor of the root can be smaller; 7/3 is 7/3 of what members without an
    error need.

    A draw violates if any member does. "as printed": the radius of three at δ = ½, where the 2 in the
    logarithm counts.
    """
    log, few = math.log(12), torch.tensor(0.1, dtype=torch.float64)
    radius = float(maurer09_finite_class_radius(few, n=20, class_size=3, delta=0.5))
    printed = math.sqrt(2 * 0.1 * log / 20) + 7 * log / (3 * 19)
    attained = WorstRatio(attempts=rows.attempts, ratio=rows.exponent, slack=1e-6, must_reach=0.95)
    without_error = Identity.of([rows.no_error], [7 / 3], tolerance=0.01)
    told = Identity.of([radius], [printed], tolerance=1e-9)
    return Joint(parts={**_covered(rows), "attained": attained, "7/3": without_error, "as printed": told})


@claim(
    section="4.2",
    formula=r"\Pr\Bigl[\forall f:\ R(f) \le \hat R_*(f) + \sqrt{18\hat V_*(f)\ln(M/\delta)/N}"
    r" + \tfrac{15\ln(M/\delta)}{N-1}\Bigr] \ge 1-\delta,\quad M = 10\,\mathcal N_\infty(1/N, H, 2N)",
    source="maurer2009empirical",
    place="Theorem 6",
    assumes=(BOUNDED, FIXED, "N ≥ 16."),
    experiment=bounds_of_a_segment,
    control=Control("one end of the segment is a memoriser of the sample", chosen=one_end_after_the_sample),
    mutants=(
        Mutant("only the standard error is left", maurer09_covering_radius, _standard_error_alone),
        Mutant("0.9 of the root", maurer09_covering_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of the second term", maurer09_covering_radius, bernstein_terms(1.0, 0.9)),
        Mutant("no second term", maurer09_covering_radius, bernstein_terms(1.0, 0.0)),
        Mutant("5 for 10 in M", maurer09_covering_radius, delta_times(2)),
        Mutant("half the one-hot losses", one_hot_losses, scaled(0.5)),
    ),
    power=Scaled(maurer09_covering_radius),
)
def empirical_bernstein_bound_covers_a_segment(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the covering form of the empirical Bernstein bound holds for all
    mixtures (1−a)ℓ(f) + aℓ(g) of two predictors' losses at once, 0 ≤ a ≤ 1; with Bayes labels it is tighter
    on average. Its constants are loose: the root is three times what one function needs at δ/M, the second
    term fifteen times.

    No violation is expected. "as printed": the radius of a covering number of three at δ = ½, where the 10 in
    M counts.
    """
    log, few = math.log(60), torch.tensor(0.1, dtype=torch.float64)
    radius = float(maurer09_covering_radius(few, n=20, covering_number=3, delta=0.5))
    printed = math.sqrt(18 * 0.1 * log / 20) + 15 * log / 19
    told = Identity.of([radius], [printed], tolerance=1e-9)
    three = Identity.of([rows.root], [3.0], tolerance=0.02)
    fifteen = Identity.of([rows.second_term], [15.0], tolerance=0.02)
    loose = {"three times": three, "fifteen times": fifteen}
    return Joint(parts={**_covered(rows), **loose, "as printed": told})
