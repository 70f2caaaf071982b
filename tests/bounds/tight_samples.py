"""Bounds by tests of fixed functions, and of classes by counting: where each is tight."""

from __future__ import annotations

import math

import torch
from naive import precise_binomial_limit
from tight import BITS, COIN, FIXED, POINTS, coin_radius, flips, radius, within

from kdtheory import bounds


@within("clopper34_holdout", 1 + 1e-12)
def _() -> tuple[float, float]:
    found = bounds.clopper34_holdout(flips(6, 60), delta=0.05, **FIXED)
    return float(precise_binomial_limit(6, 60, math.log(0.05))) * (1 - 1e-15), found.value


@within("hoeffding63_kl_holdout: a fair coin", 1.1)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.hoeffding63_kl_holdout(COIN, delta=1e-9, **FIXED))


@within("hoeffding63_kl_holdout: no error", 1 + 1e-12)
def _() -> tuple[float, float]:
    found = bounds.hoeffding63_kl_holdout(torch.zeros(50), delta=0.05, **FIXED)
    return -math.expm1(math.log(0.05) / 50) * (1 - 1e-15), found.value


@within("hoeffding63_holdout", 1.1)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.hoeffding63_holdout(COIN, delta=1e-9, **FIXED))


@within("maurer09_holdout: a fair coin", 1.15)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.maurer09_holdout(COIN, delta=1e-9, **FIXED))


@within("maurer09_holdout: no error", 2.5)
def _() -> tuple[float, float]:
    found = bounds.maurer09_holdout(torch.zeros(POINTS), delta=1e-9, **FIXED)
    return -math.expm1(math.log(1e-9) / POINTS), found.value


@within("maurer09_finite_class", 1.15)
def _() -> tuple[float, float]:
    found = bounds.maurer09_finite_class(COIN, class_size=2**BITS, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=BITS), radius(found)


@within("maurer09_covering", 3.8)
def _() -> tuple[float, float]:
    # √18 where a finite class has √2, and ln(10·2^b/δ); every function is a ball of its own.
    found = bounds.maurer09_covering(COIN, covering_number=2**BITS, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=BITS), radius(found)


@within("blum99_progressive", 1.1)
def _() -> tuple[float, float]:
    found = bounds.blum99_progressive(
        COIN,
        guess=0.5,
        delta=1e-9,
        each_fixed_before_its_point=True,
        guess_made_without_the_points=True,
        independent_draws=True,
    )
    return coin_radius(1e-9), radius(found)


@within("langford05_occam", 1.001)
def _() -> tuple[float, float]:
    found = bounds.langford05_occam(
        COIN, bits=BITS, delta=0.05, coded_beforehand=True, independent_draws=True
    )
    return coin_radius(0.05, bits=BITS), radius(found)


@within("langford05_occam_kl", 1.1)
def _() -> tuple[float, float]:
    found = bounds.langford05_occam_kl(
        COIN, bits=BITS, delta=0.05, coded_beforehand=True, independent_draws=True
    )
    return coin_radius(0.05, bits=BITS), radius(found)


@within("maurer04_pac_bayes_kl", 1.2)
def _() -> tuple[float, float]:
    # P uniform on 2^b independent coins, Q the one that looks best; ê_Q from a thousand rounds.
    found = bounds.maurer04_pac_bayes_kl(
        flips(200, 400).repeat(1000, 1),
        divergence=BITS * math.log(2),
        delta=0.04,
        delta_sampling=0.01,
        prior_fixed=True,
        fresh_draws=True,
        independent_draws=True,
    )
    return coin_radius(0.05, n=400, bits=BITS), found.value - 0.5


@within("vapnik71: capacity", 2.2)
def _() -> tuple[float, float]:
    # 2 is symmetrisation's; the deviation is small beside the capacity of 2^b coins.
    found = bounds.vapnik71(
        0.5,
        n=POINTS,
        log_growth=lambda _: 200 * math.log(2),
        delta=0.05,
        fixed_in_advance=True,
        independent_draws=True,
    )
    return coin_radius(0.05, bits=200), radius(found)


@within("vapnik71: one function", 1.1)
def _() -> tuple[float, float]:
    found = bounds.vapnik71(
        0.5, n=POINTS, log_growth=lambda _: 0.0, delta=1e-9, fixed_in_advance=True, independent_draws=True
    )
    return coin_radius(1e-9), radius(found)


@within("bartlett02_deviation: a class", 2.6)
def _() -> tuple[float, float]:
    # The coins shifted to ±½ have ‖h‖₂ = √n/2: symmetrisation costs 2, the deviation adds three of its kind.
    massart = math.sqrt(2 * 200 * math.log(2) / POINTS) / 2
    found = bounds.bartlett02_deviation(COIN, complexity=massart, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=200), radius(found)


@within("bartlett02_deviation: one function", 3.4)
def _() -> tuple[float, float]:
    found = bounds.bartlett02_deviation(COIN, complexity=0.0, delta=1e-9, **FIXED)
    return coin_radius(1e-9), radius(found)
