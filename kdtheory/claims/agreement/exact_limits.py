"""Limits of agreement and of what compression costs, from few labels: never below the truth more than δ."""

from __future__ import annotations

import math

import numpy as np

from kdtheory.bounds.agreement import agreement_of_classes, gate_allows, points_needed
from kdtheory.bounds.few_labels import powered_upper_limit
from kdtheory.bounds.paired import difference_upper_limit, normal_upper_limit
from kdtheory.bounds.stratified import stratified_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit, targeted_upper_limit
from kdtheory.claims.bounds.wrong import delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import scaled, shifted
from kdtheory.experiments import Rows
from kdtheory.experiments.agreement.limits import (
    agreement_in_two_classes,
    exact,
    few_labels_and_many_points,
    gates_of_agreement,
    labels_beside_endless_points,
    labels_where_they_differ,
    normal,
    pairs_on_labelled_points,
    strata_of_a_holdout,
    the_share_seen,
    unpaired,
)
from kdtheory.stats import holm_adjusted

DRAWN = "The points are independent draws from one law."
FIXED = "Student and teacher were fixed before the points were drawn."
ONE_LAW = "The points without labels are independent draws from the distribution of the labelled ones."
EXACT = "clopper1934use"
SLACK = 1e-9


def _share_seen(agreeing: int, points: int, /, *, delta: float) -> float:
    return 1 - agreeing / points


def _by_the_rate(most: float, /, *, delta: float, flips: int = 0) -> int:
    return math.ceil((flips + 1) / most)


def _covers(rows: Rows) -> Inequality:
    return Inequality.of(rows.missed, np.full(len(rows.missed), rows.delta), slack=SLACK)


def _attained(rows: Rows, share: float) -> Inequality:
    """In the worst world the limit is missed with that share of δ, or more."""
    return Inequality.of([share * rows.delta], [max(rows.missed)])


@claim(
    section="9.1",
    formula=r"\Pr\Bigl[\Pr[s \ne t] \le"
    r" \sup\{d : P[\mathrm{Bin}(N, d) \le K] \ge \delta\}\Bigr] \ge 1-\delta",
    source=EXACT,
    place="derived here",
    assumes=(DRAWN, FIXED),
    experiment=gates_of_agreement,
    control=Control("the gate's own share is taken for the truth", read=the_share_seen),
    mutants=(
        Mutant("the share that was seen", gate_allows, _share_seen),
        Mutant("1/ε points for every flip", points_needed, _by_the_rate),
        Mutant("one point more than is needed", points_needed, shifted(1)),
        Mutant("a hundredth more than the limit", gate_allows, scaled(1.01)),
    ),
    power=Scaled(gate_allows),
)
def agreement_is_certified_without_labels(rows: Rows, /) -> Evidence:
    """How often a student differs from its teacher has an exact limit from points without labels: a gate
    "19 of 20 agree" allows a fifth to differ at 95 %, and 59 points without a difference are the fewest
    that show 5 %.

    "attained": a student that differs as often as the limit says passes its gate with probability δ, to 1e-6
    of it. "enough": at the number of points that is said to be needed, a student that differs any more often
    passes with probability at most δ; "fewest": at one point fewer, with more.
    """
    delta = np.full(len(rows.passes), rows.delta)
    return Joint(
        parts={
            "covers": _covers(rows),
            "attained": Identity.of(rows.at_limit, np.full(len(rows.at_limit), rows.delta), tolerance=1e-6),
            "enough": Inequality.of(rows.passes, delta, slack=SLACK),
            "fewest": Inequality.of(delta, rows.one_fewer),
        }
    )


@claim(
    section="9.1",
    formula=r"\Pr\Bigl[\forall j:\ \Pr[s \ne t \mid t = j] \le"
    r" \sup\{d : P[\mathrm{Bin}(N_j, d) \le K_j] \ge \delta/k\}\Bigr] \ge 1-\delta",
    source=EXACT,
    place="derived here, by Bonferroni's inequality; with a level to show, Holm's steps have half of δ",
    assumes=(DRAWN, FIXED),
    experiment=agreement_in_two_classes,
    control=Control("each class has all of δ", families=2),
    mutants=(
        Mutant("1.1 δ", agreement_of_classes, delta_times(1.1)),
        Mutant("0.9 δ", agreement_of_classes, delta_times(0.9)),
        Mutant("each class is shown at its own p-value", holm_adjusted, list),
    ),
    loose="limits and what is shown are entries of what is returned, for each class its own",
)
def agreement_is_certified_in_every_class_at_once(rows: Rows, /) -> Evidence:
    """How often a student differs from its teacher on the points of each of the teacher's classes has exact
    limits that hold for all classes at once, missed with probability at most δ however often it differs
    where; so have limits and classes shown to differ less than a level, where each has half of δ.

    "attained": limits alone are missed with 0.95 of δ in the worst world. "beside": with a level they are
    missed with half of δ at most, and "shown": a class is shown wrongly with the other.
    """
    half = np.full(len(rows.missed), rows.delta / 2)
    return Joint(
        parts={
            "covers": _covers(rows),
            "attained": _attained(rows, 0.95),
            "beside": Inequality.of(rows.missed_beside, half, slack=SLACK),
            "shown": Inequality.of(rows.wrongly_shown, half, slack=SLACK),
        }
    )


@claim(
    section="9.2",
    formula=r"\mathrm{err}(s) - \mathrm{err}(t) = p_+ - p_- \le \sup\Bigl\{r : \max_{q \in C} T(r, q) \ge"
    r" \delta - \beta\Bigr\}\quad\text{with probability } 1-\delta",
    source=EXACT,
    place="derived here",
    assumes=(DRAWN, FIXED),
    experiment=pairs_on_labelled_points,
    control=(
        Control("the normal limit of a paired difference", limit=normal),
        Control("the normal limit of two samples that are not paired", limit=unpaired),
    ),
    mutants=(
        Mutant("nine tenths of the limit", difference_upper_limit, scaled(0.9)),
        Mutant("a third more", difference_upper_limit, scaled(1.34)),
        Mutant("1.1 δ", difference_upper_limit, delta_times(1.1)),
        Mutant("0.9 δ", difference_upper_limit, delta_times(0.9)),
    ),
)
def what_compression_costs_has_an_exact_limit(rows: Rows, /) -> Evidence:
    """The difference of the errors of a student and its teacher has an exact limit from points at which both
    are tested, missed with probability at most δ whatever the chances of a loss and of a gain, with nearly
    that much in the worst world, and never wider than a limit for each of the two.

    "attained": with 0.95 of δ.
    """
    no_wider = Inequality.of(rows.limit, rows.two_limits, slack=SLACK)
    return Joint(parts={"covers": _covers(rows), "attained": _attained(rows, 0.95), "no wider": no_wider})


@claim(
    section="9.3",
    formula=r"\mathrm{err}(s) - \mathrm{err}(t) = d\,(w - l) \le \sup\Bigl\{R : \max_{\theta \in C_1, q \in"
    r" C_2} T(\theta, R/\theta, q) \ge \delta - \beta\Bigr\}\quad\text{with probability } 1-\delta",
    source=EXACT,
    place="derived here",
    assumes=(DRAWN, FIXED, "The points to label are random ones of those where the two differ."),
    experiment=labels_where_they_differ,
    control=Control("the points to label are those that the teacher is surest of", surest=1.0),
    mutants=(
        Mutant("nine tenths of the limit", planned_upper_limit, scaled(0.9)),
        Mutant("a tenth more", targeted_upper_limit, scaled(1.1)),
        Mutant("1.2 δ", planned_upper_limit, delta_times(1.2)),
        Mutant("0.9 δ", planned_upper_limit, delta_times(0.9)),
    ),
    power=Scaled(planned_upper_limit, towards="less"),
    cost=3,
)
def labels_where_two_networks_differ_say_what_the_student_costs(rows: Rows, /) -> Evidence:
    """The cost of a student depends on the points where it differs from its teacher alone, and has an exact
    limit from labels of random ones of these: a hundred of them are worth two thousand labels at random.

    "attained": missed with 0.85 of δ in the worst world; a tenth is kept for plans that ask for more labels
    than there are such points. "worth": where the two differ at 0.04 of all points, the teacher right at 0.6
    of them and the student at 0.3, at the counts that are expected.
    """
    return Joint(
        parts={
            "covers": _covers(rows),
            "attained": _attained(rows, 0.85),
            "worth": Inequality.of([rows.targeted], [rows.at_random]),
        },
        notes={"100 where they differ": rows.targeted, "2,000 at random": rows.at_random},
    )


@claim(
    section="9.4",
    formula=r"\mathrm{err}(s) = \Pr[s \ne t] + \mathbb E D \le \sup\Bigl\{e :"
    r" \max_{\theta \in C_1, q \in C_2} T(\theta, e - \theta, q) \ge \delta - \beta\Bigr\}"
    r"\quad\text{with probability } 1-\delta",
    source="angelopoulos2023prediction",
    place="derived here",
    assumes=(DRAWN, FIXED, ONE_LAW),
    experiment=few_labels_and_many_points,
    control=Control("points without labels are of another law: the two differ half as often there",
                    sees_the_student=0.5),
    mutants=(
        Mutant("nine tenths of the limit", powered_upper_limit, scaled(0.9)),
        Mutant("an eighth more", powered_upper_limit, scaled(1.125)),
        Mutant("1.1 δ", powered_upper_limit, delta_times(1.1)),
        Mutant("0.9 δ", powered_upper_limit, delta_times(0.9)),
    ),
    power=Scaled(powered_upper_limit),
    cost=3,
)  # fmt: skip
def few_labels_and_a_better_teacher_have_an_exact_joint_limit(rows: Rows, /) -> Evidence:
    """A student's error has an exact limit from few labels and many points without, by how often it leaves
    a teacher that is nearly always right, missed with probability at most δ in every world, and shorter than
    that of the labels alone.

    "attained": with 0.9 of δ in the worst world. "shorter": from 1,000 labels, where the student errs at 0.05
    and the teacher at 0.01.
    """
    shorter = Inequality.of([rows.joint], [rows.labels_alone])
    return Joint(
        parts={"covers": _covers(rows), "attained": _attained(rows, 0.9), "shorter": shorter},
        notes={"joint": rows.joint, "labels alone": rows.labels_alone},
    )


@claim(
    section="9.4",
    formula=r"\Pr\Bigl[\mathrm{err}(s) \le \hat\theta + \bar D + z_\delta\sqrt{\hat v}\Bigr] \ge 1-\delta",
    source="angelopoulos2023prediction",
    place="the interval of the central limit theorem; its coverage is derived here",
    assumes=(DRAWN, FIXED, ONE_LAW),
    experiment=labels_beside_endless_points,
    control=Control("the exact limit", limit=exact),
    mutants=(Mutant("a point of a hundred is added", normal_upper_limit, shifted(0.01)),),
    expect=Verdict.REFUTED,
    reading="1 − δ is read as the coverage at the sizes at hand, and not as that of endless samples",
    cost=2,
    loose="It misses far more often than it says: a width wrong by a quarter leaves that so.",
)
def central_limit_interval_of_few_labels_covers(rows: Rows, /) -> Evidence:
    """The interval of prediction-powered inference by the central limit theorem holds with probability 1 − δ
    from 200 and from 500 labels.
    """
    return Inequality.of(
        np.full(len(rows.covered), 1 - rows.delta),
        rows.covered,
        slack=SLACK,
        notes={f"coverage of {n} labels": float(c) for n, c in zip(rows.n, rows.covered, strict=True)},
    )


@claim(
    section="9.5",
    formula=r"\mathrm{err} \le \max_{W \in C}\ \sup\{W p_1 + (1-W) p_2 : P_1(p_1) P_2(p_2) \ge c\},\quad"
    r" c(1 - \ln c) = \delta - \beta",
    source="fisher1932statistical",
    place="derived here",
    assumes=(DRAWN, ONE_LAW, "Strata and rule of allocation were fixed before a label was seen."),
    experiment=strata_of_a_holdout,
    control=Control("the points without labels are of another law, the first stratum rarer", law_moves=0.5),
    mutants=(
        Mutant("nine tenths of the limit", stratified_upper_limit, scaled(0.9)),
        Mutant("a twentieth more", stratified_upper_limit, scaled(1.05)),
        Mutant("1.1 δ", stratified_upper_limit, delta_times(1.1)),
        Mutant("0.9 δ", stratified_upper_limit, delta_times(0.9)),
    ),
    cost=3,
)
def stratified_holdout_pays_where_errors_are_in_one_stratum(rows: Rows, /) -> Evidence:
    """A hold-out in two strata of known weights has an exact limit, shorter than that of as many labels at
    random where nearly all errors are in a stratum that has most of the labels, and longer where the strata
    are alike. From 1,000 labels either difference is small (the notes have the limits).

    "as stated": three limits are the largest risk that the formula leaves, on a grid, to a thousandth.
    """
    return Joint(
        parts={
            "covers": _covers(rows),
            "as stated": Identity.of(rows.limit, rows.largest, tolerance=1e-3, effect=1.0),
            "pays": Inequality.of(rows.strata[:1], rows.at_random[:1]),
            "does not": Inequality.of(rows.at_random[1:], rows.strata[1:]),
        },
        notes={"strata": rows.strata.tolist(), "at random": rows.at_random.tolist()},
    )
