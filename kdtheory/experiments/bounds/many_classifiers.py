"""The classifier that looks best among many, coded or drawn from a posterior, and the limits of its risk."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory.bounds.occam import occam_log_delta
from kdtheory.bounds.pac_bayes import maurer04_kl_limit, maurer04_log_moment
from kdtheory.experiments.bounds.enumeration import log_any, log_misses
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.inversion import bernoulli_kl, binomial_upper_limits, kl_upper_inverse
from kdtheory.streams import Stream

DELTA = 0.05
CODES = {"10 bits each": np.full(11, 10.0), "gamma code": 2 * np.arange(11) + 1.0}
"""Bits of a classifier by the length of its number."""
_POINTS, _CODED = 32, 1024
_BETAS, _LABELLINGS, _TESTS = (0.3, 1.0, 3.0, 30.0), 4096, 60
Law = Callable[[np.ndarray, int, float], np.ndarray]


@experiment
def fewest_errors_of_coded_classifiers(run: Run, /) -> Rows:
    """1,024 random labellings of 64 inputs, labels by a fair coin, so that every risk is ½; 6,000 samples of
    n = 32: the fewest errors among the classifiers whose numbers in Elias's gamma code have one length.
    """
    draws = run.size(quick=6000, full=20_000)
    errors = _errors_of_labellings(run.stream, _CODED, draws, _POINTS)
    lengths = [2**power - 1 for power in range(11)]
    fewest = [errors[:, start : 2 * start + 1].amin(-1) for start in lengths]
    return Rows(fewest=torch.stack(fewest, -1).double().numpy())


@experiment
def occam_limits(run: Run, /, *, paid: float = 1.0) -> Rows:
    """The exact limit and the kl limit of the classifier whose limit is the least, in each of 6,000 samples,
    δ = 0.05, by a code of 10 bits for each and by Elias's gamma code of its number, of whose bits a share
    `paid` counts. The chance that a limit is missed by any of 1,024 independent classifiers of one risk just
    above it, over δ, for each count below n/2.
    """
    fewest, columns = fewest_errors_of_coded_classifiers.rows(run).fewest, {}
    for name, bits in CODES.items():
        levels = np.array([occam_log_delta(each, delta=DELTA) for each in (paid * bits).tolist()])
        rates = np.arange(_POINTS + 1) / _POINTS
        table = np.stack([kl_upper_inverse(rates, -level / _POINTS) for level in levels])
        best = table[np.arange(len(levels)), fewest.astype(int)].argmin(-1)
        count, level = fewest[np.arange(len(fewest)), best], levels[best]
        columns[f"{name}, exact"] = binomial_upper_limits(count, _POINTS, log_delta=level)
        columns[f"{name}, kl"] = kl_upper_inverse(count / _POINTS, -level / _POINTS)
    one, counts = occam_log_delta(paid * 10.0, delta=DELTA), np.arange(_POINTS // 2)
    limits = {
        "exact": binomial_upper_limits(counts, _POINTS, log_delta=one),
        "kl": kl_upper_inverse(counts / _POINTS, -one / _POINTS),
    }
    for name, limit in limits.items():
        missed = log_any(log_misses(limit, counts, _POINTS), math.log(_CODED))
        columns[f"tight, {name}"] = np.exp(missed) / DELTA
    return Rows(**columns)


def of_independent_points(k: np.ndarray, n: int, rate: float, /) -> np.ndarray:
    """ln P[Bin(n, rate) = k]."""
    chance: np.ndarray = stats.binom.logpmf(k, n, rate)
    return chance


def of_copies_of_one_point(k: np.ndarray, n: int, rate: float, /) -> np.ndarray:
    """ln P[k errors among n copies of one point]: none or n."""
    return np.where(k == 0, math.log1p(-rate), np.where(k == n, math.log(rate), -np.inf))


@experiment
def moments_of_the_kl(run: Run, /, *, law: Law = of_independent_points) -> Rows:
    """ln E e^{n·kl(k/n‖e)} by exact sums over the n + 1 counts, n from 8 to 300, e = 0.01, 0.3 and 0.9, and
    the limit ln 2√n; and the ratio of the two at n = 20,000, e = 0.3. Counts k follow `law`.
    """

    def log_moment(n: int, rate: float) -> float:
        k = np.arange(n + 1)
        return float(np.logaddexp.reduce(law(k, n, rate) + n * bernoulli_kl(k / n, rate)))

    sizes, many = (8, 20, 100, run.size(quick=300, full=500)), 20_000
    return Rows(
        n=sizes,
        moment=np.array([[log_moment(n, rate) for rate in (0.01, 0.3, 0.9)] for n in sizes]),
        limit=[maurer04_log_moment(n) for n in sizes],
        share=math.exp(min(log_moment(many, 0.3) - maurer04_log_moment(many), 100.0)),
    )


@experiment
def gibbs_posteriors(run: Run, /) -> Rows:
    """4,096 random labellings of 64 inputs, P uniform on them, labels by a fair coin: every risk is ½.
    Posteriors Q ∝ e^{−βk} in the number k of errors on n = 60 points, at four β, for 400 samples: ê_Q and
    KL(Q‖P), exact sums.
    """
    errors = _errors_of_labellings(run.stream, _LABELLINGS, run.size(quick=400, full=4000), _TESTS).double()
    means, nats = [], []
    for beta in _BETAS:
        log_q = (-beta * errors).log_softmax(-1)
        q = log_q.exp()
        means.append((q * errors).sum(-1) / _TESTS)
        nats.append((q * log_q).sum(-1) + math.log(_LABELLINGS))
    return Rows(mean=torch.stack(means).clamp(0, 1).numpy(), nats=torch.stack(nats).clamp_min(0).numpy())


@experiment
def pac_bayes_limits(run: Run, /, *, paid: float = 1.0) -> Rows:
    """The least of the limits at four β for each sample, a share `paid` of KL(Q‖P) counted, δ = 0.05. For the
    one of M independent classifiers that does not err at all, M = 1, 10³, e^{230}, n = 100 and 10⁴, δ from
    0.05 to 1e-100: ln P[miss] for the risk just above its limit, in closed form; ln(δ/2√n); and ln 2√n.
    """
    posteriors = gibbs_posteriors.rows(run)
    pairs = zip(posteriors.mean, paid * posteriors.nats, strict=True)
    limits = [maurer04_kl_limit(mean, nats, n=_TESTS, delta=DELTA) for mean, nats in pairs]
    rows = []
    for n in (100, 10_000):
        for delta in (DELTA, 1e-6, 1e-100):
            for log_members in (0.0, math.log(1000), 230.0):
                limit = maurer04_kl_limit(0.0, paid * log_members, n=n, delta=delta)
                one = log_misses(np.atleast_1d(limit), np.zeros(1), n)
                missed = max(float(log_any(one, log_members)[0]), -1e4)  # a limit of 1 is never missed
                rows.append((missed, math.log(delta) - math.log(4 * n) / 2, math.log(4 * n) / 2))
    missed, expected, moment = np.array(rows).T
    return Rows(limit=np.min(limits, axis=0), missed=missed, expected=expected, moment=moment)


def _errors_of_labellings(stream: Stream, size: int, draws: int, n: int) -> Tensor:
    """How many of n fair labels of random ones of 64 inputs each of `size` random labellings gets wrong."""
    generator = stream.torch()
    labellings = torch.randint(0, 2, (size, 64), generator=generator).float() * 2 - 1
    atoms = torch.randint(0, 64, (draws, n), generator=generator)
    signs = torch.randint(0, 2, (draws, n), generator=generator).float() * 2 - 1
    return (n - torch.zeros(draws, 64).scatter_add_(1, atoms, signs) @ labellings.T) / 2
