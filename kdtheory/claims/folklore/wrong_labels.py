"""Chapter 10.7, 10.9 and 10.10: wrong labels, and what students, ensembles and rounds make of them."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, MeanInequality
from kdtheory.claims.folklore.wrong import NEXT_TEACHER, NO_CONSTANT
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.folklore.wrong_labels import (
    EARLY,
    LONG,
    SHORT,
    calibration_of_ensembles,
    calibration_of_their_students,
    new_images,
    rounds_of_students,
    students_of_wrong_labels,
)
from kdtheory.risk import accuracy, top_label_calibration_error

WRONG = "A fifth of the labels are wrong, and the teacher has learned them by heart."
_ROUND = 60


@claim(
    section="10.7",
    formula=r"\mathbb E\Pr[f(x) = \tilde y \mid \tilde y \ne y] \ge \tfrac12",
    source="derived here",
    place="as it is repeated",
    assumes=(WRONG,),
    experiment=students_of_wrong_labels.given(steps=SHORT),
    control=Control("the student is trained to the end", steps=LONG),
    mutants=(Mutant("labels that are not repeated are counted", accuracy, value(lambda found: 1 - found)),),
    expect=Verdict.REFUTED,
    reading="it is read as said of students that are stopped early, too",
    loose=NO_CONSTANT,
    cost=2,
)
def a_student_repeats_the_wrong_labels_of_its_teacher(rows: Rows, /) -> Evidence:
    """A student that is stopped early repeats at least half of the wrong labels that its teacher knows.

    The guess was that this is a statement about when to stop: refuted after a few steps, true in the long
    run. So it came out: what is common to many points is learned first, and the wrong labels of single ones
    last.
    """
    half = torch.full_like(rows.repeated, 0.5)  # of many students all or nothing: no spread for Student's t
    return MeanInequality.of(half, rows.repeated, bounded=(-0.5, 0.5))


@claim(
    section="10.7",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student, stopped early}) \ge"
    r" \mathbb E\,\mathrm{acc}(\text{teacher}) + 0.02",
    source="derived here",
    place="found on images",
    assumes=(WRONG,),
    experiment=students_of_wrong_labels.given(steps=SHORT),
    control=Control("the student is trained to the end", steps=LONG),
    mutants=(NEXT_TEACHER,),
    loose=NO_CONSTANT,
    cost=2,
)
def stopped_early_a_student_is_better_than_a_teacher_of_wrong_labels(rows: Rows, /) -> Evidence:
    """A student that is stopped early is more accurate, by two points or more, than its teacher, who has
    learned wrong labels by heart.

    The guess was six points. It is the stopping that helps: the long run ends where the teacher is. A net of
    the wrong labels themselves that is stopped is better than that teacher, too, and one that is stopped
    after half as many steps is better than this student.
    """
    return MeanInequality.of(rows.of_teacher + 0.02, rows.accuracy)


@claim(
    section="10.9",
    formula=r"\mathbb E\,\mathrm{ECE}(\text{ensemble}) \le \mathbb E\,\mathrm{ECE}(\text{member})",
    source="derived here",
    place="as it is repeated",
    assumes=("A fifth of the labels are wrong; calibration is judged on true ones.",),
    experiment=calibration_of_ensembles.given(steps=EARLY),
    control=Control("the networks are trained until they know the wrong labels", steps=LONG),
    mutants=(Mutant("one minus the error", top_label_calibration_error, value(lambda error: 1 - error)),),
    expect=Verdict.REFUTED,
    reading="it is read as said of networks that are less sure than they are right, too",
    loose="a factor on all calibration errors does not change which is the larger",
    cost=2,
)
def an_ensemble_is_better_calibrated_than_its_members(rows: Rows, /) -> Evidence:
    """The mean of four networks that were stopped early is calibrated at least as well as one of them.

    The guess was that label noise turns the statement over. It does so only while the networks are less
    sure than they are right: a mean is less sure than its members, which cures the sure and harms the
    others. Trained until they know the wrong labels by heart, the same networks are far too sure, and the
    ensemble is better.
    """
    notes = {
        "confidence above accuracy": {
            "member": float(rows.single_above.mean()),
            "ensemble": float(rows.ensemble_above.mean()),
        }
    }
    return MeanInequality.of(rows.ensemble, rows.single, notes=notes)


@claim(
    section="10.9",
    formula=r"\mathbb E\,\mathrm{ECE}(\text{student}) \le \mathbb E\,\mathrm{ECE}(\text{ensemble}) + 0.01",
    source="derived here",
    place="as it is repeated",
    assumes=(WRONG,),
    experiment=calibration_of_their_students,
    control=Control("the student learns on 400 images that the ensemble has not", points=new_images),
    mutants=(Mutant("one minus the error", top_label_calibration_error, value(lambda error: 1 - error)),),
    expect=Verdict.REFUTED,
    reading="it is read as said of students of the images that the ensemble has learned",
    loose="a factor on all calibration errors does not change which is the larger",
    cost=3,
)
def a_student_inherits_the_calibration_of_its_ensemble(rows: Rows, /) -> Evidence:
    """A student of an ensemble, on the images that the ensemble has learned, is calibrated as well as the
    ensemble, within one point.

    The guess was that it inherits, whatever there is to inherit. On the ensemble's own images it does not:
    all members agree there, on wrong labels too, and a student sees nothing of where they part. On images
    that the ensemble has not learned it sees that, and inherits.
    """
    return MeanInequality.of(rows.student - 0.01, rows.ensemble, notes={"member": float(rows.single.mean())})


@claim(
    section="10.10",
    formula=r"\mathbb E\,\mathrm{acc}(\text{round } 3) \ge \mathbb E\,\mathrm{acc}(\text{round } 0) + 0.02",
    source="furlanello2018born",
    place="as it is repeated; found on images",
    assumes=(WRONG,),
    experiment=rounds_of_students,
    control=Control("every round is stopped early", steps=_ROUND),
    mutants=(Mutant("students are counted too high by a tenth", accuracy, scaled(1.1)),),
    power=Scaled(accuracy, towards="more"),
    expect=Verdict.REFUTED,
    reading="it is read as said of rounds that run to the end",
    cost=3,
)
def rounds_of_self_distillation_help(rows: Rows, /) -> Evidence:
    """Three rounds of self-distillation, each to the end, make a network of partly wrong labels more accurate
    by two points or more.

    The guess was that rounds run to the end change nothing, and that early stopping alone does. So it came
    out: each round repeats the one before, wrong labels and all.
    """
    first, *_, last = rows.accuracy
    return MeanInequality.of(
        first + 0.02, last, notes={"round": [float(one.mean()) for one in rows.accuracy]}
    )
