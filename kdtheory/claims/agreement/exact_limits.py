"""Chapters 9.1 and 9.2: how often student and teacher differ, and what that costs, by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import stats

from kdtheory.bounds.agreement import gate_allows, points_needed
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint
from kdtheory.inversion import binomial_upper_limit

DELTA = 0.05
DRAWN = "The points are independent draws from one law."
FIXED = "Student and teacher were fixed before the points were drawn."


def _share_seen(agreeing: int, points: int, /, *, delta: float) -> float:
    return 1 - agreeing / points


def _by_the_rate(most: float, /, *, delta: float, flips: int = 0) -> int:
    return math.ceil((flips + 1) / most)


@claim(
    section="9.1",
    formula=r"\Pr\Bigl[\Pr[s \ne t] \le"
    r" \sup\{d : P[\mathrm{Bin}(N, d) \le K] \ge \delta\}\Bigr] \ge 1-\delta",
    source="clopper1934use",
    assumes=(DRAWN, FIXED),
    control=Control("the gate's own share is taken for the truth", read="as an estimate"),
    uses=(gate_allows, points_needed),
    mutants=(
        Mutant("the share that was seen", gate_allows, _share_seen),
        Mutant("1/ε points for every flip", points_needed, _by_the_rate),
    ),
)
def agreement_is_certified_without_labels(setting: Setting, /, *, read: str = "as a limit") -> Evidence:
    """How often a student differs from its teacher has an exact limit from points without labels: a gate
    "19 of 20 agree" allows a fifth to differ at 95 %, and 59 points without a difference are the fewest
    that show 5 %.

    Enumeration of the counts of 20 and of 100 points at a grid of probabilities; "enough": at the number of
    points that is said to be needed, a student that differs any more often passes with probability at most δ.
    """
    missed = []
    for points in (20, 100):
        counts = np.arange(points + 1)
        allowed = [gate_allows(points - int(k), points, delta=DELTA) for k in counts]
        limits = np.array(allowed) if read == "as a limit" else counts / points
        missed += [stats.binom.pmf(counts, points, d)[limits < d].sum() for d in np.linspace(0.01, 0.99, 50)]
    cases = list(itertools.product((0.05, 0.01), (0, 1, 5)))
    passes = [
        stats.binom.cdf(k, points_needed(most, delta=DELTA, flips=k), most * (1 + 1e-9)) for most, k in cases
    ]
    return Joint(
        parts={
            "covers": Inequality.of(missed, np.full(len(missed), DELTA), slack=1e-9),
            "enough": Inequality.of(passes, np.full(len(passes), DELTA), slack=1e-9),
        }
    )


def _normal(gains: int, losses: int, trials: int) -> float:
    difference = (gains - losses) / trials
    variance = max((gains + losses) / trials - difference**2, 0.0)
    return difference + float(stats.norm.isf(DELTA)) * math.sqrt(variance / trials)


def _two_limits(gains: int, losses: int, trials: int) -> float:
    lower = 1 - binomial_upper_limit(trials - losses, trials, delta=DELTA / 2)
    return binomial_upper_limit(gains, trials, delta=DELTA / 2) - lower


@claim(
    section="9.2",
    formula=r"\mathrm{err}(s) - \mathrm{err}(t) = p_+ - p_- \le \sup\Bigl\{r : \max_{q \in C} T(r, q) \ge"
    r" \delta - \beta\Bigr\}\quad\text{with probability } 1-\delta",
    source="clopper1934use",
    place="derived here",
    assumes=(DRAWN, FIXED),
    control=Control("the normal limit of a paired difference", limit="normal"),
    uses=(difference_upper_limit,),
    mutants=(
        Mutant("nine tenths of the limit", difference_upper_limit, scaled(difference_upper_limit, 0.9)),
        Mutant("a third more", difference_upper_limit, scaled(difference_upper_limit, 1.34)),
    ),
)
def what_compression_costs_has_an_exact_limit(setting: Setting, /, *, limit: str = "exact") -> Evidence:
    """The difference of the errors of a student and its teacher has an exact limit from points at which both
    are tested, missed with probability at most δ whatever the chances of a loss and of a gain, and never
    wider than
    a limit for each of the two.

    Enumeration of all counts at a grid of both chances; δ = 0.05.
    """
    n = setting.size(quick=7, full=12)
    seen = np.array([(b, c, n - b - c) for b in range(n + 1) for c in range(n + 1 - b)])
    counts = [(int(b), int(c), n) for b, c, _ in seen]
    found = np.array(
        [difference_upper_limit(*one, delta=DELTA) if limit == "exact" else _normal(*one) for one in counts]
    )
    missed = []
    for p, q in itertools.product(np.linspace(0, 1, 21), repeat=2):
        if p + q <= 1 + 1e-12:
            mass = stats.multinomial.pmf(seen, n, [p, q, max(0.0, 1 - p - q)])
            missed.append(mass[found < p - q - 1e-12].sum())
    return Joint(
        parts={
            "covers": Inequality.of(missed, np.full(len(missed), DELTA), slack=1e-9),
            "no wider": Inequality.of(found, [_two_limits(*one) for one in counts], slack=1e-9),
        }
    )
