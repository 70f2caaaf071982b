"""Chapter 5.8: one hold-out for the mean of several predictors, and points that test before they train."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.holdout import hoeffding63_kl_holdout, progressive_limit
from kdtheory.claims.bounds.holdout import attained, bernstein_terms
from kdtheory.claims.bounds.wrong import kl_inverse_at
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Joint, WorstRatio
from kdtheory.experiments.bounds.enumeration import LOG_TINY, exponent_left, log_misses, some_counts
from kdtheory.experiments.bounds.tested_nets import (
    adversary,
    atoms_of,
    errors_on,
    part_of,
    risks_of,
    risks_of_classes,
    trained_on,
    with_shared_points,
)
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.inversion import kl_upper_inverse

DELTA = 0.05
DRAWN = "The points are independent draws from one law."


def _points_counted_five_times(
    values: torch.Tensor, /, *, _true: Callable[..., object] = hoeffding63_kl_holdout, **settings: object
) -> object:
    return _true(values.repeat(5), **settings)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1w\sum_j e(g_j) \le \mathrm{kl}^{-1}\Bigl("
    r"\tfrac1n\sum_i \tfrac1w\sum_j \ell(g_j; x_i, y_i),\ \tfrac{\ln 1/\delta}{n}\Bigr)\Bigr] \ge 1-\delta",
    source="hoeffding1963probability",
    place="Theorem 1",
    assumes=(DRAWN, "The witnesses were fixed before the points were drawn."),
    control=Control(
        "the witnesses saw the hold-out, and err wherever they did not", witnesses="saw the hold-out"
    ),
    uses=(hoeffding63_kl_holdout, kl_upper_inverse, maurer09_finite_class_radius),
    mutants=(
        Mutant("five witnesses make 5n points", hoeffding63_kl_holdout, _points_counted_five_times),
        Mutant("0.9 ln(1/δ)", kl_upper_inverse, kl_inverse_at(0.9)),
        Mutant("0.9 of Bernstein's root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of Bernstein's 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("a fifth of Bernstein's radius", maurer09_finite_class_radius, bernstein_terms(0.2, 0.2)),
    ),
    power=Scaled(hoeffding63_kl_holdout),
)
def averaged_witnesses_share_a_holdout(
    setting: Setting, /, *, witnesses: str = "fixed beforehand"
) -> Evidence:
    """The mean risk of several witnesses is bounded from one hold-out at one δ, by kl inversion and by the
    empirical Bernstein radius of their mean losses: no share of δ is lost to their number, and where they
    always agree the limits are those of one predictor, whose constants cannot be smaller (7/3 excepted).

    Five networks that start alike and are trained on the same points in part, so that they err together; n =
    100, δ = 0.05. "attained": for five that never err on the hold-out the kl limit is missed with
    probability δ, exactly. The control's five say the hold-out's labels there, and err wherever else they
    can.
    """
    world, stream = relabelled_world(setting), setting.stream
    shared = with_shared_points(world.sample((5, 100), stream.child("training")), share=90)
    draws = setting.size(quick=700, full=4000)
    holdout = world.sample((draws, 100), stream.child("hold-out"))
    nets = trained_on(world, shared, stream.child("nets"), setting, start_alike=True)
    tables = nets.logits(world.inputs).argmax(-1).cpu()[:, None].expand(-1, draws, -1)
    if witnesses == "saw the hold-out":
        tables = adversary(world, holdout, holdout.labels).expand(5, -1, -1)
    said = tables.gather(-1, atoms_of(holdout).expand(5, -1, -1))
    losses = (said != holdout.labels).double().mean(0)
    risk = torch.stack([risks_of_classes(table, world) for table in tables]).mean(0)
    chernoff = [_kl_limit(row) for row in losses]
    radius = maurer09_finite_class_radius(losses.var(-1), n=100, class_size=1, delta=DELTA)
    none = log_misses(np.array([_kl_limit(torch.zeros(100))]), np.zeros(1), 100)
    constants = attained()
    return Joint(
        parts={
            "kl": Coverage.of(risk, chernoff, delta=DELTA, trivial=1.0),
            "Bernstein": Coverage.of(risk, losses.mean(-1) + radius, delta=DELTA, trivial=1.0),
            "attained, kl": WorstRatio(
                attempts=1, ratio=exponent_left(none, math.log(DELTA)), slack=1e-6, must_reach=0.999
            ),
            **{name: constants[name] for name in ("attained, Bernstein", "Bernstein's 7/3")},
        }
    )


def _kl_limit(losses: torch.Tensor) -> float:
    return hoeffding63_kl_holdout(losses, delta=DELTA, fixed_in_advance=True, independent_draws=True).value


def _risk_as_seen(mean: float, _guess: float, _n: int, _delta: float) -> float:
    return mean


def _nine_tenths(
    mean: float, guess: float, n: int, delta: float, _true: Callable[..., float] = progressive_limit
) -> float:
    return _true(mean, guess, n, delta**0.9)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\tfrac1n\sum_i e(g_i) \le"
    r" \frac{1 - e^{-\lambda\hat e - \ln(1/\delta)/n}}{1 - e^{-\lambda}}\Bigr] \ge 1-\delta",
    source="blum1999beating",
    place="constants derived here",
    assumes=(DRAWN, "Each predictor was fixed before its own point was drawn, and λ before all."),
    control=Control("each predictor was trained on its own points too", trained="on their points too"),
    uses=(progressive_limit,),
    mutants=(
        Mutant("the mean loss itself", progressive_limit, _risk_as_seen),
        Mutant("0.9 ln(1/δ)", progressive_limit, _nine_tenths),
    ),
    power=Scaled(progressive_limit),
    cost=5,
)
def progressive_validation_covers(setting: Setting, /, *, trained: str = "on the points before") -> Evidence:
    """The mean risk of a sequence of predictors, each trained on the points before those that test it, is
    bounded from all the tests at once, although later predictors depend on earlier tests; and ln(1/δ) can be
    no smaller.

    Linear maps trained on 20, 40 and 60 real images with redrawn labels, each tested by the 20 that follow;
    λ for a guessed loss of 0.5; δ = 0.1. "attained": for predictors of one risk, by enumeration of the counts
    at three guesses, P[miss] is at most δ and at least δ^{1/0.97} for the worst risk, δ = e^{−600}.
    """
    world, stream, block, delta = relabelled_world(setting), setting.stream, 20, 0.1
    draws = setting.size(quick=250, full=4000)
    sample = world.sample((draws, 4 * block), stream.child("draws"))
    losses, risks = [], []
    for blocks in (1, 2, 3):
        end = block * (blocks + (trained == "on their points too"))
        nets = trained_on(world, part_of(sample, 0, end), stream.child("nets", blocks), setting, hidden=())
        losses.append(errors_on(nets, world, part_of(sample, block * blocks, block * (blocks + 1))).double())
        risks.append(risks_of(nets, world))
    mean = torch.cat(losses, -1).mean(-1).tolist()
    limits = [progressive_limit(value, 0.5, 3 * block, delta) for value in mean]
    parts: dict[str, Evidence] = {
        "images": Coverage.of(torch.stack(risks).mean(0), limits, delta=delta, trivial=1.0)
    }
    for guess in (0.0, 0.1, 0.5):
        ratio = _exponent_at(guess, n=2000)
        parts[f"attained, guess {guess:g}"] = WorstRatio(
            attempts=100, ratio=ratio, slack=1e-6, must_reach=0.97
        )
    return Joint(parts=parts)


def _exponent_at(guess: float, *, n: int) -> float:
    counts = np.unique(np.r_[some_counts(n, 100), round(guess * n)])
    limits = [progressive_limit(count / n, guess, n, math.exp(LOG_TINY)) for count in counts]
    return exponent_left(log_misses(np.array(limits), counts, n), LOG_TINY)
