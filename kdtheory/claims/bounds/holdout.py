"""Chapter 5.8: certificates by inversion, of one predictor, of the mean of several and of a sequence."""

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
from kdtheory.bounds.holdout import hoeffding63_kl_holdout, progressive_limit
from kdtheory.claims.bounds.tested_nets import (
    atoms_of,
    errors_on,
    part_of,
    repeated,
    risks_of,
    trained_on,
    with_shared_points,
)
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Inequality, Joint
from kdtheory.claims.worlds import relabelled_world
from kdtheory.inversion import bernoulli_kl, binomial_upper_limits, kl_upper_inverse

__all__ = ["wald_limits"]

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


@claim(
    section="5.8",
    formula=r"\Pr\bigl[e(g) \le \bar q(\hat e, \delta)\bigr] \ge 1-\delta,\quad"
    r" \bar q = \sup\{q : P[\mathrm{Bin}(n,q) \le n\hat e] \ge \delta\},"
    r"\ \mathrm{kl}^{-1}\bigl(\hat e, \tfrac{\ln 1/\delta}{n}\bigr),"
    r"\ \hat e + \sqrt{\tfrac{\ln 1/\delta}{2n}}",
    source="langford2005tutorial",
    assumes=(DRAWN, FIXED),
    control=Control("the predictor was trained on the hold-out", trained="on the hold-out"),
    uses=(binomial_upper_limits, kl_upper_inverse, hoeffding63_radius, maurer09_finite_class_radius),
    mutants=(
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("kl with its arguments swapped", kl_upper_inverse, _kl_swapped),
    ),
)
def holdout_limits_cover(setting: Setting, /, *, trained: str = "on other points") -> Evidence:
    """The exact binomial limit, the kl limit, Hoeffding's and the empirical Bernstein limit each fall below
    the risk of a predictor, fixed before the hold-out was drawn, with probability at most δ.

    Eight networks on real images with redrawn labels, whose risks are sums over all images, and one predictor
    that errs on a hundredth of its points, where approximations fail. n = 20 and 40: small, so that the exact
    limit, which can only take n + 1 values, is below δ by more than the draws blur. The control trains a
    network on each hold-out.
    """
    world = relabelled_world(setting)
    draws, stream = setting.size(quick=4000, full=40_000), setting.stream
    if trained == "on the hold-out":
        draws = setting.size(quick=300, full=1000)
        holdout = world.sample((draws, 20), stream.child("hold-out"))
        nets = trained_on(world, holdout, stream.child("nets"), setting)
        wrong, risk = errors_on(nets, world, holdout), risks_of(nets, world)
    else:
        holdout = world.sample((draws, 20), stream.child("hold-out"))
        nets = trained_on(
            world, world.sample((8, 100), stream.child("training")), stream.child("nets"), setting
        )
        table = nets.logits(world.inputs).argmax(-1).cpu()
        net = torch.arange(draws) % 8
        wrong = table[net[:, None], atoms_of(holdout)] != holdout.labels
        risk = risks_of(nets, world)[net]
    rare = stream.child("rare").numpy().random((draws, 40)) < 0.01
    parts = _covered("images", wrong.double(), risk.numpy())
    return Joint(parts={**parts, **_covered("rare", torch.from_numpy(rare).double(), np.full(draws, 0.01))})


def _covered(name: str, wrong: Tensor, risk: np.ndarray) -> dict[str, Evidence]:
    n, mean = wrong.shape[-1], wrong.mean(-1)
    level = -math.log(DELTA) / n
    radius = maurer09_finite_class_radius(wrong.var(-1), n=n, class_size=1, delta=DELTA)
    limits = {
        "exact": binomial_upper_limits(wrong.sum(-1).numpy(), n, log_delta=math.log(DELTA)),
        "kl": kl_upper_inverse(mean.numpy(), level),
        "Hoeffding": mean.numpy() + hoeffding63_radius(n, delta=DELTA),
        "Bernstein": (mean + radius).numpy(),
    }
    return {f"{name}, {bound}": Coverage.of(risk, limit, delta=DELTA) for bound, limit in limits.items()}


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


def _points_counted_five_times(
    values: Tensor, /, *, _true: Callable[..., object] = hoeffding63_kl_holdout, **settings: object
) -> object:
    return _true(values.repeat(5), **settings)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1w\sum_j e(g_j) \le \mathrm{kl}^{-1}\Bigl("
    r"\tfrac1n\sum_i \tfrac1w\sum_j \ell(g_j; x_i, y_i),\ \tfrac{\ln 1/\delta}{n}\Bigr)\Bigr] \ge 1-\delta",
    source="hoeffding1963probability",
    place="Theorem 1",
    assumes=(DRAWN, "The witnesses were fixed before the points were drawn."),
    control=Control("the witnesses were trained on the hold-out", trained="on the hold-out"),
    uses=(hoeffding63_kl_holdout, kl_upper_inverse, maurer09_finite_class_radius),
    mutants=(Mutant("five witnesses make 5n points", hoeffding63_kl_holdout, _points_counted_five_times),),
)
def averaged_witnesses_share_a_holdout(setting: Setting, /, *, trained: str = "on other points") -> Evidence:
    """The mean risk of several witnesses is bounded from one hold-out at one δ, by kl inversion and by the
    empirical Bernstein radius of their mean losses: no share of δ is lost to their number.

    Five networks that start alike and are trained on the same points in part, so that they err together;
    n = 100, δ = 0.05. The control trains each draw's five on its hold-out.
    """
    world, stream = relabelled_world(setting), setting.stream
    others = world.sample((5, 100), stream.child("training"))
    shared = with_shared_points(others, share=90)
    if trained == "on the hold-out":
        draws = setting.size(quick=60, full=300)
        holdout = world.sample((draws, 100), stream.child("hold-out"))
        nets = trained_on(world, repeated(holdout, 5), stream.child("nets"), setting)
        losses = errors_on(nets, world, repeated(holdout, 5)).double().unflatten(0, (draws, 5)).mean(1)
        risk = risks_of(nets, world).unflatten(0, (draws, 5)).mean(1)
    else:
        draws = setting.size(quick=600, full=4000)
        holdout = world.sample((draws, 100), stream.child("hold-out"))
        nets = trained_on(world, shared, stream.child("nets"), setting, start_alike=True)
        said = nets.logits(world.inputs).argmax(-1).cpu()
        losses = (said[:, atoms_of(holdout)] != holdout.labels).double().mean(0)
        risk = risks_of(nets, world).mean().expand(draws)
    chernoff = [
        hoeffding63_kl_holdout(row, delta=DELTA, fixed_in_advance=True, independent_draws=True).value
        for row in losses
    ]
    radius = maurer09_finite_class_radius(losses.var(-1), n=100, class_size=1, delta=DELTA)
    return Joint(
        parts={
            "kl": Coverage.of(risk, chernoff, delta=DELTA, trivial=1.0),
            "Bernstein": Coverage.of(risk, losses.mean(-1) + radius, delta=DELTA, trivial=1.0),
        }
    )


def _risk_as_seen(mean: float, _guess: float, _n: int, _delta: float) -> float:
    return mean


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1n\sum_i e(g_i) \le"
    r" \frac{1 - e^{-\lambda\hat e - \ln(1/\delta)/n}}{1 - e^{-\lambda}}\Bigr] \ge 1-\delta",
    source="blum1999beating",
    assumes=(DRAWN, "Each predictor was fixed before its own point was drawn, and λ before all."),
    control=Control("each predictor was trained on its own points too", trained="on their points too"),
    uses=(progressive_limit,),
    mutants=(Mutant("the mean loss itself", progressive_limit, _risk_as_seen),),
)
def progressive_validation_covers(setting: Setting, /, *, trained: str = "on the points before") -> Evidence:
    """The mean risk of a sequence of predictors, each trained on the points before those that test it, is
    bounded from all the tests at once, although later predictors depend on earlier tests.

    Linear maps trained on 30, 60 and 90 real images with redrawn labels, each tested by the 30 that follow;
    λ for a guessed loss of 0.5; δ = 0.05.
    """
    world, stream, block = relabelled_world(setting), setting.stream, 30
    draws = setting.size(quick=600, full=4000)
    sample = world.sample((draws, 4 * block), stream.child("draws"))
    losses, risks = [], []
    for blocks in (1, 2, 3):
        end = block * (blocks + (trained == "on their points too"))
        nets = trained_on(world, part_of(sample, 0, end), stream.child("nets", blocks), setting, hidden=())
        losses.append(errors_on(nets, world, part_of(sample, block * blocks, block * (blocks + 1))).double())
        risks.append(risks_of(nets, world))
    mean = torch.cat(losses, -1).mean(-1).tolist()
    limits = [progressive_limit(value, 0.5, 3 * block, DELTA) for value in mean]
    return Coverage.of(torch.stack(risks).mean(0), limits, delta=DELTA, trivial=1.0)
