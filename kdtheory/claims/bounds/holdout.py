"""Chapter 5.8: upper limits of one predictor's risk from a hold-out, and how near they are to attained."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from kdtheory.bounds.deviation import hoeffding63_radius
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.claims.bounds.wrong import kl_inverse_at, scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.experiments.bounds.enumeration import LOG_TINY, exponent_left, log_misses, some_counts
from kdtheory.experiments.bounds.tested_nets import adversary, atoms_of, risks_of_classes, trained_on
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.inversion import bernoulli_kl, binomial_upper_limits, kl_upper_inverse

__all__ = ["attained", "bernstein_terms", "wald_limits"]

DELTA = 0.05
DRAWN = "The points are independent draws from one law."
FIXED = "The predictor was fixed before the points were drawn."


def wald_limits(successes: ArrayLike, trials: ArrayLike, /, *, log_delta: ArrayLike) -> np.ndarray:
    """The normal approximation, a mutant of the exact limits."""
    rate = np.asarray(successes) / np.asarray(trials)
    limit: np.ndarray = rate + stats.norm.isf(np.exp(log_delta)) * np.sqrt(
        rate * (1 - rate) / np.asarray(trials)
    )
    return limit


def _two_sided(
    successes: ArrayLike,
    trials: ArrayLike,
    /,
    *,
    log_delta: ArrayLike,
    _true: Callable[..., np.ndarray] = binomial_upper_limits,
) -> np.ndarray:
    return _true(successes, trials, log_delta=np.asarray(log_delta) - math.log(2))


def _one_error_less(
    successes: ArrayLike,
    trials: ArrayLike,
    /,
    *,
    log_delta: ArrayLike,
    _true: Callable[..., np.ndarray] = binomial_upper_limits,
) -> np.ndarray:
    return _true(np.maximum(np.asarray(successes) - 1, 0), trials, log_delta=log_delta)


def _kl_swapped(p: ArrayLike, level: ArrayLike, /) -> np.ndarray:
    """sup{q : kl(q‖p) ≤ c}, by bisection."""
    seen, level = np.broadcast_arrays(np.asarray(p, float), np.asarray(level, float))
    low, high = seen.copy(), np.ones_like(seen)
    for _ in range(60):
        middle = (low + high) / 2
        inside = bernoulli_kl(middle, seen) <= level
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def bernstein_terms(first: float, second: float) -> Callable[..., Tensor]:
    """The empirical Bernstein radius with its two terms multiplied."""

    def wrong(
        variance: Tensor,
        /,
        *,
        _true: Callable[..., Tensor] = maurer09_finite_class_radius,
        **settings: object,
    ) -> Tensor:
        rest = _true(torch.zeros_like(variance), **settings)
        return first * (_true(variance, **settings) - rest) + second * rest

    return wrong


@claim(
    section="5.8",
    formula=r"\Pr\bigl[e(g) \le \bar q(\hat e, \delta)\bigr] \ge 1-\delta,\quad"
    r" \bar q = \sup\{q : P[\mathrm{Bin}(n,q) \le n\hat e] \ge \delta\},"
    r"\ \mathrm{kl}^{-1}\bigl(\hat e, \tfrac{\ln 1/\delta}{n}\bigr),"
    r"\ \hat e + \sqrt{\tfrac{\ln 1/\delta}{2n}},"
    r"\ \hat e + \sqrt{\tfrac{2\hat V \ln 2/\delta}{n}} + \tfrac{7 \ln 2/\delta}{3(n-1)}",
    source="langford2005tutorial",
    assumes=(DRAWN, FIXED),
    control=Control(
        "the predictor saw the hold-out, and errs wherever it did not", predictor="saw the hold-out"
    ),
    uses=(binomial_upper_limits, kl_upper_inverse, hoeffding63_radius, maurer09_finite_class_radius),
    mutants=(
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("kl with its arguments swapped", kl_upper_inverse, _kl_swapped),
        Mutant("0.9 ln(1/δ) in the kl limit", kl_upper_inverse, kl_inverse_at(0.9)),
        Mutant("0.9 of Hoeffding's radius", hoeffding63_radius, scaled(hoeffding63_radius, 0.9)),
        Mutant("0.9 of Bernstein's root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of Bernstein's 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("Bernstein's root alone", maurer09_finite_class_radius, bernstein_terms(1.0, 0.0)),
        Mutant("Bernstein's 7/3 alone", maurer09_finite_class_radius, bernstein_terms(0.0, 1.0)),
    ),
    power=Scaled(hoeffding63_radius),
)
def holdout_limits_cover(setting: Setting, /, *, predictor: str = "fixed beforehand") -> Evidence:
    """The exact binomial limit, the kl limit, Hoeffding's and the empirical Bernstein limit each fall below
    the risk of a predictor, fixed before the hold-out was drawn, with probability at most δ; no constant in
    front of ln(1/δ) can be smaller, but for Bernstein's 7/3, which is 7/3 of what points without an error
    need.

    "images": eight networks on real images with redrawn labels, risks summed over all images, n = 20; "rare":
    a predictor that errs on a hundredth of its points, n = 40; δ = 0.05. "attained": P[miss] for the worst
    risk by enumeration of the counts at δ from 0.05 to e^{−600}, which must be at most δ and at least
    δ^{1/0.97}. The control's predictor says the hold-out's own labels there, and errs wherever else it can.
    """
    world = relabelled_world(setting)
    draws, stream = setting.size(quick=4000, full=40_000), setting.stream
    holdout = world.sample((draws, 20), stream.child("hold-out"))
    nets = trained_on(world, world.sample((8, 100), stream.child("training")), stream.child("nets"), setting)
    table = nets.logits(world.inputs).argmax(-1).cpu()[torch.arange(draws) % 8]
    rare, share = stream.child("rare").numpy().random((draws, 40)) < 0.01, 0.01
    if predictor == "saw the hold-out":
        table = adversary(world, holdout, holdout.labels)
        rare, share = np.zeros_like(rare), 1.0
    wrong = table.gather(-1, atoms_of(holdout)) != holdout.labels
    parts = _covered("images", wrong.double(), risks_of_classes(table, world).numpy())
    parts |= _covered("rare", torch.from_numpy(rare).double(), np.full(draws, share))
    return Joint(parts={**parts, **attained()})


def _limits(errors: np.ndarray, n: int, log_delta: float) -> dict[str, np.ndarray]:
    """The four limits of so many errors among n points."""
    mean, delta = errors / n, math.exp(log_delta)
    variance = torch.from_numpy(errors * (n - errors) / (n * (n - 1.0)))
    radius = maurer09_finite_class_radius(variance, n=n, class_size=1, delta=delta).numpy()
    limits = {"exact": binomial_upper_limits(errors, n, log_delta=log_delta)} if n < 10**6 else {}
    return limits | {
        "kl": kl_upper_inverse(mean, -log_delta / n),
        "Hoeffding": mean + hoeffding63_radius(n, delta=delta),
        "Bernstein": mean + radius,
    }


def _covered(name: str, wrong: Tensor, risk: np.ndarray) -> dict[str, Evidence]:
    limits = _limits(wrong.sum(-1).numpy(), wrong.shape[-1], math.log(DELTA))
    return {f"{name}, {bound}": Coverage.of(risk, limit, delta=DELTA) for bound, limit in limits.items()}


def attained() -> dict[str, Evidence]:
    """How much of ln δ the worst risk leaves each limit, and Bernstein's radius where nobody errs."""
    cases = [(n, log_delta) for n in (20, 2000, 10**8) for log_delta in (math.log(DELTA), -100.0, LOG_TINY)]
    ratios: dict[str, list[float]] = {}
    for n, log_delta in cases:
        counts = some_counts(n)
        for name, limit in _limits(counts, n, log_delta).items():
            ratios.setdefault(name, []).append(exponent_left(log_misses(limit, counts, n), log_delta))
    n = cases[-1][0]
    none = float(_limits(np.zeros(1), n, LOG_TINY)["Bernstein"][0]) / -math.expm1(LOG_TINY / n)
    return {
        **{
            f"attained, {name}": WorstRatio(
                attempts=len(cases), ratio=max(found), slack=1e-6, must_reach=0.97
            )
            for name, found in ratios.items()
        },
        "Bernstein's 7/3": Identity.of([none], [7 / 3], tolerance=0.01),
    }


@claim(
    section="5.8",
    formula=r"\sup_q P_q[\bar q(K) < q] = \delta,\qquad"
    r" \bar q - \hat e \le \mathrm{kl}^{-1}\bigl(\hat e, \tfrac{\ln 1/\delta}{n}\bigr) - \hat e"
    r" \le \tfrac53 (\bar q - \hat e)",
    source="clopper1934use",
    assumes=("δ ≤ 1/10, for the factor 5/3.",),
    control=Control("δ is split as for a two-sided interval", sides=2),
    uses=(binomial_upper_limits, kl_upper_inverse),
    mutants=(
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("P[K < k] for P[K ≤ k]", binomial_upper_limits, _one_error_less),
        Mutant("δ/2 for δ", binomial_upper_limits, _two_sided),
        Mutant("kl with its arguments swapped", kl_upper_inverse, _kl_swapped),
    ),
    power=Scaled(binomial_upper_limits),
)
def binomial_limit_is_attained(setting: Setting, /, *, sides: int = 1) -> Evidence:
    """The exact binomial limit is missed with probability δ, no less, by the risk just above it, whatever the
    count; and the kl limit never lies lower, nor more than 5/3 as far above the rate seen.

    All counts k < n for n up to 300, δ from 1/10 to 1e-6, no sampling: P[Bin(n, q) ≤ k] at q a hair above the
    limit, by scipy.
    """
    shares, exact, chernoff = [], [], []
    for n in (1, 2, 5, 20, 80, setting.size(quick=150, full=300)):
        for delta in (0.1, 0.05, 1e-3, 1e-6):
            k = np.arange(n)
            limit = binomial_upper_limits(k, n, log_delta=math.log(delta / sides))
            shares.append(stats.binom.cdf(k, n, np.minimum(limit * (1 + 1e-12), 1)) / delta)
            exact.append(limit - k / n)
            chernoff.append(kl_upper_inverse(k / n, -math.log(delta) / n) - k / n)
    share, low, high = (np.concatenate(rows) for rows in (shares, exact, chernoff))
    return Joint(
        parts={
            "at most δ": Inequality.of(share, np.ones_like(share), slack=1e-6),
            "no less": Inequality.of(np.full_like(share, 0.999), share),
            "kl is no lower": Inequality.of(low, high, slack=1e-12),
            "kl is close": Inequality.of(high, 5 / 3 * low),
        }
    )
