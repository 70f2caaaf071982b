"""Chapter 4.4: students of one-hot, of Bayes and of imperfect teachers' labels (Menon et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, MeanInequality, OutOfScope, Rate
from kdtheory.claims.wrong import arguments, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.risk.students import (
    TOLERANCE,
    kernel,
    linear_students_over_the_sample_size,
    students_of_two_teachers,
    students_over_the_sample_size,
)
from kdtheory.experiments.worlds import bayes, scrambled
from kdtheory.risk.empirical import distilled_losses
from kdtheory.risk.population import excess_risk, population_risk

CONVERGED = "The students have converged: gradient norm at most 0.1."
ORDER = "An order is claimed and no constant; both excess risks are measured alike."


def _by_the_argmax(losses: Tensor, teacher_probs: Tensor, /) -> Tensor:
    return losses.gather(-1, teacher_probs.argmax(-1, keepdim=True)).squeeze(-1)


BY_THE_ARGMAX = Mutant("the teacher's argmax for its probabilities", distilled_losses, _by_the_argmax)
UPSIDE_DOWN = Mutant("the excess has the wrong sign", excess_risk, scaled(-1.0))


def _if_converged(evidence: Evidence, gradient: float) -> Evidence:
    if gradient > TOLERANCE:
        return OutOfScope(assumption=CONVERGED, because=f"the largest gradient norm is {gradient:.2g}")
    return evidence


@claim(
    section="4.4",
    formula=r"\mathbb E\,R(\hat f_{\text{Bayes}}) < \mathbb E\,R(\hat f_{\text{one-hot}})\text{ at every } N",
    source="menon2021statistical",
    place="derived here",
    assumes=(CONVERGED,),
    experiment=students_over_the_sample_size,
    control=Control("the teacher's rows p*(x) are given to the wrong x", teacher=scrambled),
    mutants=(
        Mutant(
            "each point is given the teacher of another",
            distilled_losses,
            arguments(lambda losses, probs: (losses, probs.roll(1, -2))),
        ),
        UPSIDE_DOWN,
    ),
    power=Scaled(excess_risk),
    loose=ORDER,
    cost=4,
)
def students_of_bayes_labels_have_less_excess_risk(rows: Rows, /) -> Evidence:
    """At every sample size a network trained on the Bayes probabilities of N points has less excess risk than
    the same network trained on one-hot labels of the same points.
    """
    parts = {
        f"N = {n}": MeanInequality.of(
            rows.taught[at], rows.one_hot[at],
            notes={"error, one-hot": rows.one_hot_error[at], "error, Bayes": rows.taught_error[at]},
        )
        for at, n in enumerate(rows.n)
    }  # fmt: skip
    notes = {"largest gradient norm": rows.gradient}
    return _if_converged(Joint(parts=parts, notes=notes), rows.gradient)


@claim(
    section="4.4",
    formula=r"\frac{R(\hat f_{\text{Bayes}}) - R^*}{R(\hat f_{\text{one-hot}}) - R^*} \sim \lambda_N^2\,N:"
    r"\quad N^{-1} \text{ for } \lambda_N = 1/N,\ N \text{ for } \lambda_N = \lambda",
    source="menon2021statistical",
    place="rates derived here",
    assumes=(CONVERGED, "p* lies in the class of the students, which are linear."),
    experiment=linear_students_over_the_sample_size,
    control=Control("p* lies outside the students' class", truth=kernel),
    mutants=(
        BY_THE_ARGMAX,
        Mutant("the root of the excess", excess_risk, value(lambda excess: excess.clamp_min(0).sqrt())),
    ),
    power=Scaled(excess_risk),
    loose="A factor common to all excess risks does not change a rate; an exponent half as large is noticed.",
    cost=4,
)
def weight_decay_decides_whether_bayes_labels_give_a_faster_rate(rows: Rows, /) -> Evidence:
    """Where p* lies in the students' class, the excess risk of students of Bayes labels over that of students
    of one-hot labels goes like λ²N in the weight decay λ: it falls like 1/N if λ = 1/N, and grows like N if λ
    is constant. Bayes labels give a faster rate only where the decay falls faster than N^{−1/2}.

    Bayes labels leave the bias of the decay alone, an excess of order λ²; one-hot labels add a variance of
    order 1/N. The slope of the log ratio on log N, one for each pair, within 0.35 of −1 and +1. With p*
    outside the class both stall at one bias.
    """
    parts = {}
    for name, column, slope in (("decay 1/N", "falling", -1.0), ("constant decay", "constant", 1.0)):
        means = dict(zip(map(str, rows.n), rows[column].mean(0).tolist(), strict=True))
        parts[name] = Rate.of(
            torch.tensor(rows.n), rows[column], expected=slope, margin=0.35, notes={"mean ratio": means}
        )
    return _if_converged(Joint(parts=parts), rows.gradient)


@claim(
    section="4.4",
    formula=r"\text{accuracy}(p^A) > \text{accuracy}(p^B)\ \text{ and }\ "
    r"\mathbb E\,R(\hat f_A) > \mathbb E\,R(\hat f_B)",
    source="menon2021statistical",
    place="derived here",
    assumes=(CONVERGED,),
    experiment=students_of_two_teachers,
    control=Control("the accurate teacher is calibrated too", accurate=bayes),
    mutants=(
        BY_THE_ARGMAX,
        UPSIDE_DOWN,
        Mutant("accuracy for error", population_risk, value(lambda risk: 1 - risk)),
    ),
    power=Scaled(excess_risk),
    loose=ORDER,
    cost=2,
)
def accurate_overconfident_teacher_distils_worse_than_a_calibrated_one(rows: Rows, /) -> Evidence:
    """A teacher with the accuracy of the Bayes classifier but over-confident probabilities distils worse, in
    log loss, than a less accurate teacher that is calibrated.

    A is p* to the power 3, normalised. Log loss, on which calibration counts: the students' errors are noted
    beside.
    """
    notes = {
        f"{name}: {column.replace('_', ' ')}": rows[column][at]
        for at, name in enumerate("AB")
        for column in ("accuracy", "confidence", "calibration_error", "students_error")
    }
    parts = {
        "B is less accurate": Inequality.of(rows.accuracy[1:], [rows.accuracy[0] - 0.001]),
        "A distils worse": MeanInequality.of(rows.excess[1], rows.excess[0]),
    }
    return _if_converged(Joint(parts=parts, notes=notes), rows.gradient)
