"""Small worlds in which every count is enumerated: the chance that a limit lies below the truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

from kdtheory.bounds.agreement import agreement_of_classes, gate_allows, points_needed
from kdtheory.bounds.few_labels import powered_upper_limit
from kdtheory.bounds.paired import difference_upper_limit, normal_upper_limit
from kdtheory.bounds.stratified import neyman_allocation, stratified_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit, targeted_upper_limit
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.inversion import binomial_upper_limit

DELTA = 0.05
_ROUNDING = 1e-12

PairLimit = Callable[[int, int, int], float]


def the_limit(agreeing: int, points: int) -> float:
    """The largest disagreement that is not ruled out."""
    return gate_allows(agreeing, points, delta=DELTA)


def the_share_seen(agreeing: int, points: int) -> float:
    """The gate's own share, taken for the truth."""
    return 1 - agreeing / points


def exact(gains: int, losses: int, trials: int) -> float:
    """The exact paired limit."""
    return difference_upper_limit(gains, losses, trials, delta=DELTA)


def normal(gains: int, losses: int, trials: int) -> float:
    """The limit of the central limit theorem."""
    return normal_upper_limit(gains, losses, trials, delta=DELTA)


def unpaired(gains: int, losses: int, trials: int) -> float:
    """The limit of the central limit theorem for two independent samples, of whose errors none is shared."""
    spread = sum(rate * (1 - rate) for rate in (gains / trials, losses / trials)) / trials
    return (gains - losses) / trials + float(stats.norm.isf(DELTA)) * math.sqrt(spread)


@experiment
def gates_of_agreement(run: Run, /, *, read: Callable[[int, int], float] = the_limit) -> Rows:
    """All counts of 20 and of 100 points at a grid of probabilities to differ: how often what is `read` off a
    gate "k of N agree" lies below, and how often so many agree, or more, where students differ so much; and,
    at the number of points that is said to be needed for 5 and 1 %, and at one fewer, how often a student
    passes that differs any more often.
    """
    missed, at_limit = [], []
    for points in (20, 100):
        counts = np.arange(points + 1)
        limits = np.array([read(points - int(k), points) for k in counts])
        missed += [stats.binom.pmf(counts, points, d)[limits < d].sum() for d in np.linspace(0.01, 0.99, 50)]
        at_limit.append(stats.binom.cdf(counts, points, np.minimum(limits, 1))[:-1])  # the last limit is 1
    beside = points_for_gates.rows(run)
    return Rows(
        missed=np.array(missed),
        at_limit=np.concatenate(at_limit),
        passes=beside.passes,
        one_fewer=beside.one_fewer,
        delta=DELTA,
    )


@experiment
def points_for_gates(run: Run, /) -> Rows:
    """The chance of at most 0, 1 and 5 disagreements of a student that differs a little more often than at 5
    and at 1 % of all points, from as many points as are said to be needed, and from one fewer.
    """
    goals = list(itertools.product((0.05, 0.01), (0, 1, 5)))
    needed = np.array([points_needed(most, delta=DELTA, flips=k) for most, k in goals])
    most, k = np.array(goals).T
    passes, one_fewer = (stats.binom.cdf(k, n, most * (1 + 1e-9)) for n in (needed, needed - 1))
    return Rows(passes=passes, one_fewer=one_fewer)


@experiment
def agreement_in_two_classes(run: Run, /, *, families: int = 1) -> Rows:
    """All counts of disagreements among 3 and 8 points of a teacher's two classes, each class with its
    own probability to differ, on a grid and just above limits: how often one limit or more lies below, where
    `families` times δ is given out. And where a level of 0.71 is to be shown too: how often one lies below
    then, and how often a class is said to differ less than that which does not.
    """
    sizes, most, delta = (3, 8), 0.71, families * DELTA
    teacher, shape = np.repeat(np.arange(2), sizes), tuple(n + 1 for n in sizes)
    place = np.concatenate([np.arange(n) for n in sizes])  # of each point in its class
    found = np.empty((2, *shape, 2)), np.empty((*shape, 2), dtype=bool)
    for counts in np.ndindex(*shape):
        student = np.where(place < np.array(counts)[teacher], 1 - teacher, teacher)
        alone, both = (
            agreement_of_classes(student, teacher, classes=2, delta=delta, most=level)
            for level in (None, most)
        )
        found[0][:, *counts] = [[one[j].limit for j in range(2)] for one in (alone, both)]
        found[1][counts] = [both[j].shown for j in range(2)]
    (limits, with_level), shown = found
    above = [[_just_above(some[..., j])[:2] for some in (limits, with_level)] for j in range(2)]
    grids = [np.array([0.05, 0.6, most + 1e-9, *np.concatenate(some)]) for some in above]
    told = []
    for rates in itertools.product(*grids):
        laws = [stats.binom.pmf(np.arange(n + 1), n, rate) for n, rate in zip(sizes, rates, strict=True)]
        mass = np.outer(*laws)
        events = limits < rates, with_level < rates, shown & (np.array(rates) > most)
        told.append([mass[event.any(-1)].sum() for event in events])
    missed, beside, said = np.array(told).T
    return Rows(missed=missed, missed_beside=beside, wrongly_shown=said, delta=DELTA)


@experiment
def pairs_on_labelled_points(run: Run, /, *, limit: PairLimit = exact) -> Rows:
    """All counts of 7 points (12 at the full tier) at which one of two errs, at a grid of both chances and at
    differences just above each limit: how often the limit lies below their difference; each limit beside the
    sum of a limit for either.
    """
    n = run.size(quick=7, full=12)
    seen = _pairs(n)
    found = np.array([limit(b, c, n) for b, c, _ in seen.tolist()])
    missed = []
    grid = itertools.product(np.linspace(0, 1, 21), repeat=2)
    for p, q in (*grid, *_chances_of(_just_above(found), totals=5)):
        if p + q <= 1 + _ROUNDING:
            mass = stats.multinomial.pmf(seen, n, [p, q, max(0.0, 1 - p - q)])
            missed.append(mass[found < p - q - _ROUNDING].sum())
    either = limits_for_either.rows(run).limit
    two = either[seen[:, 0]] - (1 - either[n - seen[:, 1]])
    return Rows(missed=np.array(missed), limit=found, two_limits=two, delta=DELTA)


@experiment
def limits_for_either(run: Run, /) -> Rows:
    """The exact upper limit at δ/2 from every count of 7 points (12 at the full tier)."""
    n = run.size(quick=7, full=12)
    return Rows(limit=np.array([binomial_upper_limit(k, n, delta=DELTA / 2) for k in range(n + 1)]))


@experiment
def labels_where_they_differ(run: Run, /, *, surest: float = 0.0) -> Rows:
    """One label (two at the full tier) of 4 points at random, among those where two networks differ, and all
    that 4 points may show, at a grid of chances and, where they differ everywhere, at costs just above each
    limit: how often the limit of err(s) − err(t) lies below. Where a share `surest` of the labels is of the
    points that the teacher is surest of, these are ones that the student has right. Beside it, at what is
    expected at d = 0.04, w = 0.6, l = 0.3, the limit from 100 such labels and from 2,000 at random.
    """
    others, wanted = 4, run.size(quick=1, full=2)
    limits = {
        (b, c, far): planned_upper_limit(b, c, min(wanted, far), wanted, far, others, delta=DELTA)
        for far in range(others + 1)
        for b, c, _ in _pairs(min(wanted, far)).tolist()
    }
    grid = itertools.product((0.2, 0.5, 0.8, 1.0), (0.0, 0.3, 0.6, 0.95), (0.0, 0.5, 1.0))
    worlds = [(d, w, part * (1 - w)) for d, w, part in grid]
    worlds += [(1.0, w, lost) for w, lost in _chances_of(_just_above(list(limits.values())), totals=3)]
    missed = []
    for d, w, lost in worlds:
        truth = d * (w - lost)
        there = [w * (1 - surest), lost + surest * (1 - lost)]
        cells, chance = [*there, max(0.0, 1 - sum(there))], 0.0
        for far in range(others + 1):
            seen = _pairs(min(wanted, far))
            below = np.array([limits[b, c, far] < truth - _ROUNDING for b, c, _ in seen.tolist()])
            mass = stats.multinomial.pmf(seen, min(wanted, far), cells)
            chance += stats.binom.pmf(far, others, d) * mass[below].sum()
        missed.append(chance)
    return Rows(
        missed=np.array(missed),
        targeted=targeted_upper_limit(60, 30, 100, 2000, 50_000, delta=DELTA),
        at_random=difference_upper_limit(48, 24, 2000, delta=DELTA),
        delta=DELTA,
    )


@experiment
def few_labels_and_many_points(run: Run, /, *, sees_the_student: float = 1.0) -> Rows:
    """All counts of 2 labelled points and 3 without labels (3 and 4 at the full tier) at a grid of chances,
    and of chances that make err(s) lie just above each limit: how often the joint limit of err(s) lies below.
    Where `sees_the_student` is less than one, that share of
    the disagreements is seen among the points without labels. Beside it, at what is expected of 1,000 labels
    and 50,000 points without where err(s) = 0.05 and err(t) = 0.01, the joint limit and that of the labels
    alone.
    """
    n, others = run.size(quick=2, full=3), run.size(quick=3, full=4)
    seen = np.array([(*row, far) for row in _pairs(n).tolist() for far in range(others + 1)])
    found = np.array(
        [powered_upper_limit(b, c, n, far, others, delta=DELTA) for b, c, _, far in seen.tolist()]
    )
    grid, missed = np.linspace(0, 1, 9), []
    worlds = [*itertools.product(grid, repeat=3)]
    for theta in grid:
        pairs = _chances_of(_just_above(found) - theta, totals=5)
        worlds += [(plus, minus, theta) for plus, minus in pairs]
    for plus, minus, theta in worlds:
        if minus <= theta and plus <= 1 - theta:
            mass = stats.multinomial.pmf(seen[:, :3], n, [plus, minus, max(0.0, 1 - plus - minus)])
            mass = mass * stats.binom.pmf(seen[:, 3], others, sees_the_student * theta)
            missed.append(mass[found < theta + plus - minus - _ROUNDING].sum())
    return Rows(
        missed=np.array(missed),
        joint=powered_upper_limit(6, 3, 1000, 2350, 50_000, delta=DELTA),
        labels_alone=binomial_upper_limit(50, 1000, delta=DELTA),
        delta=DELTA,
    )


@experiment
def labels_beside_endless_points(run: Run, /, *, limit: PairLimit = normal) -> Rows:
    """err(s) = 0.05 with a teacher that errs at 0.01, both alike at 0.006, s right alone at 0.003: the
    chance, over the counts of 200 and of 500 labelled points that have one above 3e-5, that the limit of
    err(s) is at least that.
    Points without labels are endless, so that Pr[s ≠ t] is known.
    """
    plus, minus, covered = 0.006, 0.003, []
    for n in (200, 500):
        b, c = (part.ravel() for part in np.meshgrid(np.arange(25), np.arange(20)))
        mass = stats.multinomial.pmf(np.column_stack([b, c, n - b - c]), n, [plus, minus, 1 - plus - minus])
        kept = mass > 3e-5
        found = np.array([limit(int(i), int(j), n) for i, j in zip(b[kept], c[kept], strict=True)])
        covered.append(mass[kept][found >= plus - minus].sum() / mass[kept].sum())
    return Rows(n=np.array([200, 500]), covered=np.array(covered), delta=DELTA)


@experiment
def strata_of_a_holdout(run: Run, /, *, law_moves: float = 0.0) -> Rows:
    """All counts of one labelled point in each of two strata and 2 without labels (2 and 3 at the full tier)
    at a grid of shares and rates: how often the limit lies below the risk. Where the law of the points
    without labels has moved, the share of the first stratum is lower there by `law_moves`. Three limits from
    tens of labels, beside the largest risk on a grid whose p-values have the product c. And 1,000 labels by
    Neyman's rule, and Clopper and Pearson's limit of 1,000 at random, where all errors are in a tenth of the
    points and where both strata are alike.
    """
    size, others = run.size(quick=1, full=2), run.size(quick=2, full=3)
    counts = list(itertools.product(range(size + 1), range(size + 1), range(others + 1)))
    found = np.array(
        [stratified_upper_limit((k, j), (size, size), m, others, delta=DELTA) for k, j, m in counts]
    )
    first, second, inside = np.array(counts).T
    grid, missed = np.linspace(0, 1, 9), []
    of_first, of_second = (stats.binom.pmf(count, size, grid[:, None]) for count in (first, second))
    of_inside = stats.binom.pmf(inside, others, np.maximum(0.0, grid - law_moves)[:, None])
    for (i, share), (j, p), (k, q) in itertools.product(enumerate(grid), repeat=3):
        mass = of_first[j] * of_second[k] * of_inside[i]
        missed.append(mass[found < share * p + (1 - share) * q - _ROUNDING].sum())
    cases = (((0, 3), (12, 20), 30, 100), ((2, 5), (30, 10), 4000, 10_000), ((1, 0), (8, 40), 700, 1000))
    few, rest = neyman_allocation(1000, 0.9, (0.001, 0.25))
    apart = stratified_upper_limit((0, rest // 4), (few, rest), 900_000, 10**6, delta=DELTA)
    alike = stratified_upper_limit((25, 25), (500, 500), 500_000, 10**6, delta=DELTA)
    return Rows(
        missed=np.array(missed),
        limit=np.array([stratified_upper_limit(*case, delta=DELTA) for case in cases]),
        largest=np.array([_largest_of_strata(*case) for case in cases]),
        strata=np.array([apart, alike]),
        at_random=np.array([binomial_upper_limit(k, 1000, delta=DELTA) for k in (25, 50)]),
        delta=DELTA,
    )


def _largest_of_strata(wrong: tuple[int, int], labelled: tuple[int, int], first: int, others: int) -> float:
    """max W·p₁ + (1 − W)·p₂ over both ends of an interval of W at δ/200 and P₁(p₁)·P₂(p₂) = c, on a grid."""
    rest = DELTA * (1 - 1 / 200)
    log_c = optimize.brentq(lambda log: log + math.log1p(-log) - math.log(rest), -100, math.log(rest))
    tail = DELTA / 400
    ends = (
        stats.beta.ppf(tail, first, others - first + 1),
        stats.beta.isf(tail, first + 1, others - first),
    )
    share = np.linspace(0, 1, 4001)
    one, two = (
        stats.beta.isf(np.exp(log_c * part), k + 1, n - k)
        for part, k, n in zip((share, 1 - share), wrong, labelled, strict=True)
    )
    return max(float((end * one + (1 - end) * two).max()) for end in ends)


def _just_above(limits: Sequence[float] | np.ndarray) -> np.ndarray:
    """Truths that are missed wherever the limit is one of these, or less."""
    return np.unique(np.asarray(limits)[np.asarray(limits) < 1]) + 1e-9


def _chances_of(differences: np.ndarray, *, totals: int) -> list[tuple[float, float]]:
    """p and q with p − q = each difference, where p + q is the least possible, 1, or between."""
    return [
        (max(0.0, (total + r) / 2), max(0.0, (total - r) / 2))
        for r in differences[np.abs(differences) <= 1].tolist()
        for total in np.linspace(abs(r), 1, totals).tolist()
    ]


def _pairs(n: int) -> np.ndarray:
    """Every b, c and n − b − c."""
    return np.array([(b, c, n - b - c) for b in range(n + 1) for c in range(n + 1 - b)])
