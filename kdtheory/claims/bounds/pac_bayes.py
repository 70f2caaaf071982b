"""Chapter 5.8: PAC-Bayes certificates, and what it costs that the data choose the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats

from kdtheory.bounds.pac_bayes import maurer04_kl_limit, maurer04_log_moment
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Inequality, Joint, WorstRatio
from kdtheory.inversion import bernoulli_kl, kl_upper_inverse

DELTA = 0.05
DRAWN = "The points are independent draws from one law."


def _no_moment(_n: int, /) -> float:
    return 0.0


def _moment_without_two(n: int, /) -> float:
    return math.log(n) / 2


@claim(
    section="5.8",
    formula=r"\sqrt n \le \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} \le 2\sqrt n \qquad (n \ge 8)",
    source="maurer2004note",
    assumes=("n ≥ 8 independent losses.",),
    control=Control("the n points are copies of one", points="copies"),
    uses=(maurer04_log_moment, bernoulli_kl),
    mutants=(
        Mutant("the moment is taken for 1", maurer04_log_moment, _no_moment),
        Mutant("√n for 2√n", maurer04_log_moment, _moment_without_two),
    ),
)
def kl_moment_is_of_order_root_n(setting: Setting, /, *, points: str = "independent") -> Evidence:
    """The exponential moment of n·kl between the rate seen and the true one is at most 2√n, whatever the
    rate, and not much less: this is what PAC-Bayes pays for letting the data choose the posterior.

    Exact sums over the n + 1 counts, n from 8 to 500, five rates; the ratio to 2√n must reach 0.62 (it tends
    to √(π/8) = 0.627). With copies of one point the count is 0 or n and the moment explodes.
    """
    lhs, rhs = [], []
    for n in (8, 20, 100, setting.size(quick=300, full=500)):
        for rate in (0.01, 0.1, 0.3, 0.5, 0.9):
            k = np.arange(n + 1)
            chance = stats.binom.logpmf(k, n, rate)
            if points == "copies":
                chance = np.where(k == 0, math.log1p(-rate), np.where(k == n, math.log(rate), -np.inf))
            lhs.append(np.logaddexp.reduce(chance + n * bernoulli_kl(k / n, rate)))
            rhs.append(maurer04_log_moment(n))
    ratio = float(np.exp(min(np.subtract(lhs, rhs).max(), 100.0)))
    parts = {
        "bound": Inequality.of(lhs, rhs),
        "tight": WorstRatio(attempts=len(lhs), ratio=ratio, must_reach=0.62),
    }
    return Joint(parts=parts)


def _divergence_forgotten(
    gibbs: object,
    _divergence: object,
    /,
    *,
    n: int,
    delta: float,
    _true: Callable[..., np.ndarray] = maurer04_kl_limit,
) -> np.ndarray:
    return _true(gibbs, 0.0, n=n, delta=delta)


def _divided_twice(
    gibbs: object,
    divergence: np.ndarray,
    /,
    *,
    n: int,
    delta: float,
    _true: Callable[..., np.ndarray] = maurer04_kl_limit,
) -> np.ndarray:
    return _true(gibbs, np.asarray(divergence) / n, n=n, delta=delta)


def _halved_kl(
    p: ArrayLike, level: ArrayLike, /, *, _true: Callable[..., np.ndarray] = kl_upper_inverse
) -> np.ndarray:
    return _true(p, np.asarray(level) / 2)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall Q:\ \mathrm{kl}(\hat e_Q \| e_Q) \le"
    r" \frac{\mathrm{KL}(Q\|P) + \ln(2\sqrt n/\delta)}{n}\Bigr] \ge 1-\delta",
    source="maurer2004note",
    assumes=(DRAWN, "The prior was fixed before the points were drawn.", "n ≥ 8."),
    control=Control("the prior was made after the points were seen", prior="made afterwards"),
    uses=(maurer04_kl_limit, kl_upper_inverse),
    mutants=(
        Mutant("KL(Q‖P) is forgotten", maurer04_kl_limit, _divergence_forgotten),
        Mutant("KL(Q‖P) is divided by n twice", maurer04_kl_limit, _divided_twice),
        Mutant("half the level", kl_upper_inverse, _halved_kl),
    ),
)
def pac_bayes_kl_covers_gibbs_posteriors(setting: Setting, /, *, prior: str = "fixed beforehand") -> Evidence:
    """With probability at least 1 − δ the PAC-Bayes-kl bound holds for all posteriors at once, so for those
    that concentrate on the classifiers that look best on the points.

    4,096 random labellings of 64 inputs, P uniform on them, labels by a fair coin: every risk is ½. Gibbs
    posteriors Q ∝ e^{−βk} in the number k of errors on n = 60 points, at four β, all to be covered;
    ê_Q and KL(Q‖P) are exact sums. A prior made afterwards is Q itself, at no divergence.
    """
    draws, n = setting.size(quick=400, full=4000), 60
    generator = setting.stream.child("draws").torch()
    classes = torch.randint(0, 2, (4096, 64), generator=generator).double() * 2 - 1
    atoms = torch.randint(0, 64, (draws, n), generator=generator)
    signs = torch.randint(0, 2, (draws, n), generator=generator).double() * 2 - 1
    margins = torch.zeros(draws, 64, dtype=torch.float64).scatter_add_(1, atoms, signs) @ classes.T
    errors = (n - margins) / 2
    least = np.ones(draws)
    for beta in (0.3, 1.0, 3.0, 30.0):
        log_q = (-beta * errors).log_softmax(-1)
        gibbs = (log_q.exp() * errors).sum(-1).numpy() / n
        nats = (log_q.exp() * log_q).sum(-1).numpy() + math.log(4096)
        nats = np.maximum(nats, 0) if prior == "fixed beforehand" else np.zeros(draws)
        least = np.minimum(least, maurer04_kl_limit(gibbs.clip(0, 1), nats, n=n, delta=DELTA))
    return Coverage.of(np.full(draws, 0.5), least, delta=DELTA, trivial=1.0)
