"""Chapter 5.8: PAC-Bayes certificates, and what it costs that the data choose the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

from kdtheory.bounds.pac_bayes import maurer04_kl_limit, maurer04_log_moment
from kdtheory.claims.bounds.wrong import kl_inverse_at, scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint
from kdtheory.experiments.bounds.enumeration import log_any, log_misses
from kdtheory.inversion import bernoulli_kl, kl_upper_inverse

DELTA = 0.05
DRAWN = "The points are independent draws from one law."


def _no_moment(_n: int, /) -> float:
    return 0.0


def _moment_without_two(n: int, /) -> float:
    return math.log(n) / 2


def _moment_times(factor: float) -> Callable[[int], float]:
    def wrong(n: int, /, *, _true: Callable[[int], float] = maurer04_log_moment) -> float:
        return _true(n) + math.log(factor)

    return wrong


def _moment_of_a_lower_power(n: int, /) -> float:
    return math.log(2) + 0.48 * math.log(n)


@claim(
    section="5.8",
    formula=r"\sqrt n \le \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} \le 2\sqrt n,\qquad"
    r" \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} / 2\sqrt n \to \sqrt{\pi/8}",
    source="maurer2004note",
    assumes=("n ≥ 8 independent losses of 0 and 1, neither certain.",),
    control=Control("the n points are copies of one", points="copies"),
    uses=(maurer04_log_moment, bernoulli_kl),
    mutants=(
        Mutant("the moment is taken for 1", maurer04_log_moment, _no_moment),
        Mutant("√n for 2√n", maurer04_log_moment, _moment_without_two),
        Mutant("0.9 of 2√n", maurer04_log_moment, _moment_times(0.9)),
        Mutant("1.1 of 2√n", maurer04_log_moment, _moment_times(1.1)),
        Mutant("2n^0.48 for 2√n", maurer04_log_moment, _moment_of_a_lower_power),
        Mutant("half the divergence", bernoulli_kl, scaled(bernoulli_kl, 0.5)),
    ),
    power=Scaled(maurer04_log_moment),
)
def kl_moment_is_of_order_root_n(setting: Setting, /, *, points: str = "independent") -> Evidence:
    """The exponential moment of n·kl between the rate seen and the true one lies between √n and 2√n, whatever
    the rate; 2√n is loose by √(8/π) = 1.596 for large n, and by no more: this is what PAC-Bayes pays for
    letting the data choose the posterior.

    Exact sums over the n + 1 counts, n from 8 to 500; the rates 0.01, 0.3 and 0.9 give one number. At n =
    20,000 its ratio to 2√n is √(π/8) to one per cent. With copies of one point the count is 0 or n and the
    moment explodes.
    """
    sizes = (8, 20, 100, setting.size(quick=300, full=500))
    moments = np.array([[_log_moment(n, rate, points) for rate in (0.01, 0.3, 0.9)] for n in sizes])
    first, most = moments[:, 0], [maurer04_log_moment(n) for n in sizes]
    many = 20_000
    share = math.exp(min(_log_moment(many, 0.3, points) - maurer04_log_moment(many), 100.0))
    return Joint(
        parts={
            "one for all rates": Identity.of(moments, np.repeat(first[:, None], 3, 1), tolerance=1e-9),
            "at least √n": Inequality.of(np.log(sizes) / 2, first),
            "at most 2√n": Inequality.of(first, most),
            "√(π/8) of 2√n": Identity.of([share], [math.sqrt(math.pi / 8)], tolerance=0.01),
        }
    )


def _log_moment(n: int, rate: float, points: str) -> float:
    """ln E e^{n·kl(k/n‖rate)}, k ~ Bin(n, rate), or n times a single outcome."""
    k = np.arange(n + 1)
    chance = stats.binom.logpmf(k, n, rate)
    if points == "copies":
        chance = np.where(k == 0, math.log1p(-rate), np.where(k == n, math.log(rate), -np.inf))
    return float(np.logaddexp.reduce(chance + n * bernoulli_kl(k / n, rate)))


def _charged(share: float, *, delta_power: float = 1.0) -> Callable[..., np.ndarray]:
    """The limit with a share of KL(Q‖P), and δ to a power."""

    def wrong(
        gibbs: object,
        divergence: object,
        /,
        *,
        n: int,
        delta: float,
        _true: Callable[..., np.ndarray] = maurer04_kl_limit,
    ) -> np.ndarray:
        return _true(gibbs, share * np.asarray(divergence), n=n, delta=delta**delta_power)

    return wrong


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall Q:\ \mathrm{kl}(\hat e_Q \| e_Q) \le"
    r" \frac{\mathrm{KL}(Q\|P) + \ln(2\sqrt n/\delta)}{n}\Bigr] \ge 1-\delta",
    source="maurer2004note",
    assumes=(DRAWN, "The prior was fixed before the points were drawn.", "n ≥ 8."),
    control=Control("the prior was made after the points were seen", prior="made afterwards"),
    uses=(maurer04_kl_limit, kl_upper_inverse, maurer04_log_moment),
    mutants=(
        Mutant("KL(Q‖P) is forgotten", maurer04_kl_limit, _charged(0.0)),
        Mutant("0.9 KL(Q‖P)", maurer04_kl_limit, _charged(0.9)),
        Mutant("ln(1/δ) is forgotten", maurer04_kl_limit, _charged(1.0, delta_power=1e-9)),
        Mutant("0.9 ln(1/δ)", maurer04_kl_limit, _charged(1.0, delta_power=0.9)),
        Mutant("ln 2√n is forgotten", maurer04_log_moment, _no_moment),
        Mutant("ln 2√n less a tenth", maurer04_log_moment, _moment_times(0.9)),
        Mutant("0.9 of the level", kl_upper_inverse, kl_inverse_at(0.9)),
    ),
    power=Scaled(maurer04_kl_limit),
)
def pac_bayes_kl_covers_gibbs_posteriors(setting: Setting, /, *, prior: str = "fixed beforehand") -> Evidence:
    """With probability at least 1 − δ the PAC-Bayes-kl bound holds for all posteriors at once, so for those
    that concentrate on the classifiers that look best on the points. For a posterior on the one of many
    independent classifiers that does not err at all, a miss has chance δ/(2√n): KL(Q‖P) and ln(1/δ) are both
    needed, ln 2√n is not, there.

    "Gibbs": 4,096 random labellings of 64 inputs, P uniform on them, labels by a fair coin: every risk is ½.
    Posteriors Q ∝ e^{−βk} in the number k of errors on n = 60 points, at four β, all to be covered; ê_Q and
    KL(Q‖P) are exact sums. "best of many": M = 1, 10³, e^{230} classifiers, n = 100 and 10⁴, δ from 0.05 to
    1e-100, chances in closed form. A prior made afterwards is Q itself, at no divergence.
    """
    charge = 1.0 if prior == "fixed beforehand" else 0.0
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
        charged = charge * np.maximum(nats, 0)
        least = np.minimum(least, maurer04_kl_limit(gibbs.clip(0, 1), charged, n=n, delta=DELTA))
    missed, expected = _best_of_many(charge)
    return Joint(
        parts={
            "Gibbs": Coverage.of(np.full(draws, 0.5), least, delta=DELTA, trivial=1.0),
            "at most δ": Inequality.of(missed, expected + np.log(2 * np.sqrt(_SIZES))),
            "best of many": Identity.of(missed, expected, tolerance=0.03, effect=1.0),
        }
    )


_SIZES = np.array([100, 10_000]).repeat(9)


def _best_of_many(charge: float) -> tuple[np.ndarray, np.ndarray]:
    """ln P[the limit of the best of M is missed] for the risk just above the limit of no error; ln(δ/2√n)."""
    missed, expected = [], []
    for n in np.unique(_SIZES):
        for delta in (DELTA, 1e-6, 1e-100):
            for log_members in (0.0, math.log(1000), 230.0):
                limit = maurer04_kl_limit(0.0, charge * log_members, n=int(n), delta=delta)
                one = log_misses(np.atleast_1d(limit), np.zeros(1), int(n))
                missed.append(float(log_any(one, log_members)[0]))
                expected.append(math.log(delta) - math.log(4 * n) / 2)
    return np.maximum(missed, -1e4), np.array(expected)  # a limit of 1 is never missed
