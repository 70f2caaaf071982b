"""Chapters 9.1 and 9.2: how often student and teacher differ, and what that costs, by enumeration."""

from __future__ import annotations

import math

import numpy as np

from kdtheory.bounds.agreement import gate_allows, points_needed
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint
from kdtheory.claims.wrong import scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.agreement.exact_limits import (
    DELTA,
    gates_and_what_they_allow,
    limits_of_differences,
    normal_difference,
    share_seen,
)

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
    place="the one-sided limit",
    assumes=(DRAWN, FIXED),
    experiment=gates_and_what_they_allow,
    control=Control("the gate's own share is taken for the truth", limit=share_seen),
    mutants=(
        Mutant("the share that was seen", gate_allows, _share_seen),
        Mutant("1/ε points for every flip", points_needed, _by_the_rate),
    ),
)
def agreement_is_certified_without_labels(rows: Rows, /) -> Evidence:
    """How often a student differs from its teacher has an exact limit from points without labels: a gate
    "19 of 20 agree" allows a fifth to differ at 95 %, and 59 points without a difference are the fewest
    that show 5 %.

    "enough": with the points that are said to be needed a student that differs more often passes with
    probability at most δ.
    """
    return Joint(
        parts={
            "covers": Inequality.of(rows.missed, np.full(len(rows.missed), DELTA), slack=1e-9),
            "enough": Inequality.of(rows.passed, np.full(len(rows.passed), DELTA), slack=1e-9),
        }
    )


@claim(
    section="9.2",
    formula=r"\mathrm{err}(s) - \mathrm{err}(t) = p_+ - p_- \le \sup\Bigl\{r : \max_{q \in C} T(r, q) \ge"
    r" \delta - \beta\Bigr\}\quad\text{with probability } 1-\delta",
    source="clopper1934use",
    place="derived here",
    assumes=(DRAWN, FIXED),
    experiment=limits_of_differences,
    control=Control("the normal limit of a paired difference", limit=normal_difference),
    mutants=(
        Mutant("nine tenths of the limit", difference_upper_limit, scaled(0.9)),
        Mutant("a third more", difference_upper_limit, scaled(1.34)),
    ),
)
def what_compression_costs_has_an_exact_limit(rows: Rows, /) -> Evidence:
    """The difference of the errors of a student and its teacher has an exact limit from points at which both
    are tested, missed with probability at most δ whatever the chances of a loss and of a gain, and never
    wider than a limit for each of the two."""
    return Joint(
        parts={
            "covers": Inequality.of(rows.missed, np.full(len(rows.missed), DELTA), slack=1e-9),
            "no wider": Inequality.of(rows.limit, rows.two_limits, slack=1e-9),
        }
    )
