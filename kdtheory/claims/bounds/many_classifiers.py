"""Chapter 5.8: one certificate for all classifiers of a code, or for all posteriors, the data choosing."""

from __future__ import annotations

import math

import numpy as np

from kdtheory.bounds.occam import occam_log_delta
from kdtheory.bounds.pac_bayes import maurer04_kl_limit, maurer04_log_moment
from kdtheory.claims.bounds.wrong import kl_level, wald_limits
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import Wrong, arguments, constant, given, scaled, shifted
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.many_classifiers import (
    CODES,
    DELTA,
    moments_of_the_kl,
    occam_limits,
    of_copies_of_one_point,
    pac_bayes_limits,
)
from kdtheory.inversion import bernoulli_kl, binomial_upper_limits, kl_upper_inverse

DRAWN = "The points are independent draws from one law."


def _bits(share: float) -> Wrong:
    return arguments(lambda bits: share * bits)


def _nats(share: float) -> Wrong:
    return arguments(lambda gibbs, nats: (gibbs, share * np.asarray(nats)))


def _delta(power: float) -> Wrong:
    return given(delta=lambda delta: delta**power)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall g:\ e(g) \le"
    r" \sup\{q : P[\mathrm{Bin}(n,q) \le n\hat e(g)] \ge \delta 2^{-b(g)}\}\Bigr] \ge 1-\delta,"
    r"\qquad e(g) \le \mathrm{kl}^{-1}\Bigl(\hat e(g), \tfrac{b(g)\ln 2 + \ln 1/\delta}{n}\Bigr)",
    source="langford2005tutorial",
    place="the Occam's razor bound; tightness derived here",
    assumes=(DRAWN, "The code was fixed before the points were drawn."),
    experiment=occam_limits,
    control=Control("the code was made after the points were seen: it names the best in no bits", paid=0.0),
    mutants=(
        Mutant("b ln 2 is forgotten", occam_log_delta, _bits(0.0)),
        Mutant("b log₁₀ 2 for b ln 2", occam_log_delta, _bits(1 / math.log(10))),
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("0.9 b", occam_log_delta, _bits(0.9)),
        Mutant("0.9 ln(1/δ)", occam_log_delta, _delta(0.9)),
        Mutant("0.9 of the kl level", kl_upper_inverse, kl_level(0.9)),
    ),
    power=Scaled(occam_log_delta),
)
def occam_limits_cover_all_coded_classifiers(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the Occam limit holds for all classifiers of a prefix code at once, so
    for the one that looks best on the points too; and with many independent classifiers the union loses next
    to nothing: either limit, by its worst risk, is missed with probability at least 0.9 δ."""
    kinds = ("exact", "kl")
    covered = {
        name: Coverage.of(np.full(len(rows[name]), 0.5), rows[name], delta=DELTA)
        for name in (f"{code}, {kind}" for code in CODES for kind in kinds)
    }
    tight = {
        name: WorstRatio(attempts=len(rows[name]), ratio=float(rows[name].max()), must_reach=0.9)
        for name in (f"tight, {kind}" for kind in kinds)
    }
    return Joint(parts={**covered, **tight})


@claim(
    section="5.8",
    formula=r"\sqrt n \le \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} \le 2\sqrt n,\qquad"
    r" \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} / 2\sqrt n \to \sqrt{\pi/8}",
    source="maurer2004note",
    place="the bound of the exponential moment; its limit derived here",
    assumes=("n ≥ 8 independent losses of 0 and 1, neither certain.",),
    experiment=moments_of_the_kl,
    control=Control("the n points are copies of one", law=of_copies_of_one_point),
    mutants=(
        Mutant("the moment is taken for 1", maurer04_log_moment, constant(0.0)),
        Mutant("√n for 2√n", maurer04_log_moment, shifted(-math.log(2))),
        Mutant("0.9 of 2√n", maurer04_log_moment, shifted(math.log(0.9))),
        Mutant("1.1 of 2√n", maurer04_log_moment, shifted(math.log(1.1))),
        Mutant("2n^0.48 for 2√n", maurer04_log_moment, lambda n: math.log(2) + 0.48 * math.log(n)),
        Mutant("half the divergence", bernoulli_kl, scaled(0.5)),
    ),
    power=Scaled(maurer04_log_moment),
)
def kl_moment_is_of_order_root_n(rows: Rows, /) -> Evidence:
    """The exponential moment of n·kl between the rate seen and the true one lies between √n and 2√n, whatever
    the rate; 2√n is loose by √(8/π) = 1.596 for large n, and by no more: this is what PAC-Bayes pays for
    letting the data choose the posterior.

    The three rates give one number. With copies of one point the count is 0 or n and the moment explodes.
    """
    first = rows.moment[:, 0]
    return Joint(
        parts={
            "one for all rates": Identity.of(
                rows.moment, np.broadcast_to(first[:, None], rows.moment.shape), tolerance=1e-9
            ),
            "at least √n": Inequality.of(np.log(rows.n) / 2, first),
            "at most 2√n": Inequality.of(first, rows.limit),
            "√(π/8) of 2√n": Identity.of([rows.share], [math.sqrt(math.pi / 8)], tolerance=0.01),
        }
    )


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall Q:\ \mathrm{kl}(\hat e_Q \| e_Q) \le"
    r" \frac{\mathrm{KL}(Q\|P) + \ln(2\sqrt n/\delta)}{n}\Bigr] \ge 1-\delta",
    source="maurer2004note",
    place="the PAC-Bayes-kl theorem; tightness derived here",
    assumes=(DRAWN, "The prior was fixed before the points were drawn.", "n ≥ 8."),
    experiment=pac_bayes_limits,
    control=Control("the prior was made after the points were seen: it is Q, at no divergence", paid=0.0),
    mutants=(
        Mutant("KL(Q‖P) is forgotten", maurer04_kl_limit, _nats(0.0)),
        Mutant("0.9 KL(Q‖P)", maurer04_kl_limit, _nats(0.9)),
        Mutant("ln(1/δ) is forgotten", maurer04_kl_limit, _delta(1e-9)),
        Mutant("0.9 ln(1/δ)", maurer04_kl_limit, _delta(0.9)),
        Mutant("ln 2√n is forgotten", maurer04_log_moment, constant(0.0)),
        Mutant("0.9 of 2√n", maurer04_log_moment, shifted(math.log(0.9))),
        Mutant("0.9 of the level", kl_upper_inverse, kl_level(0.9)),
    ),
    power=Scaled(maurer04_kl_limit),
)
def pac_bayes_kl_covers_gibbs_posteriors(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the PAC-Bayes-kl bound holds for all posteriors at once, so for those
    that concentrate on the classifiers that look best on the points. For a posterior on the one of many
    independent classifiers that does not err at all, a miss has chance δ/(2√n): KL(Q‖P) and ln(1/δ) are both
    needed, ln 2√n is not, there.

    "Gibbs": the limits of all four posteriors are to hold.
    """
    risk = np.full(len(rows.limit), 0.5)
    return Joint(
        parts={
            "Gibbs": Coverage.of(risk, rows.limit, delta=DELTA, trivial=1.0),
            "at most δ": Inequality.of(rows.missed, rows.expected + rows.moment),
            "best of many": Identity.of(rows.missed, rows.expected, tolerance=0.03, effect=1.0),
        }
    )
