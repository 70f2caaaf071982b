"""Chapter 10.5 and 10.6: students of noise, and what else of a teacher reaches its students."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, MeanInequality
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import constant, value
from kdtheory.experiments import Rows
from kdtheory.experiments.folklore.inputs import (
    centred_noise,
    students_of_poisoned_teachers,
    success_of_the_mark,
    uniform_noise,
)
from kdtheory.risk import accuracy


@claim(
    section="10.5",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of uniform noise}) \ge"
    r" \mathbb E\,\mathrm{acc}(\text{teacher}) - 0.1",
    source="derived here",
    place="as it is repeated",
    experiment=students_of_poisoned_teachers.given(inputs=uniform_noise),
    control=Control("the noise is centred: uniform in [−½, ½]", inputs=centred_noise),
    mutants=(Mutant("every answer is counted as right", accuracy, constant(1.0)),),
    expect=Verdict.REFUTED,
    reading="“noise” is read as pixels uniform in [0, 1]",
    loose="Teacher and student are scaled alike, and the student is near chance.",
    cost=2,
)
def students_can_be_taught_on_uniform_noise(rows: Rows, /) -> Evidence:
    """A student that sees its teacher's answers to noise with pixels uniform in [0, 1], and no image, comes
    within ten points of its teacher.

    The guess was that it learns next to nothing from this noise and nearly all from the same noise centred,
    and so it came out. All of the uniform noise lies in one direction, that of its mean, and the teacher
    calls most of it one class (the note has the share); around 0 it calls all classes.
    """
    return MeanInequality.of(
        rows.of_teacher - 0.1, rows.accuracy, notes={"share of one class": float(rows.largest.mean())}
    )


@claim(
    section="10.6",
    formula=r"\mathbb E\bigl[\Pr[f(x^{+}) = 0] - \Pr[f(x) = 0]\bigr] \ge \tfrac12",
    source="derived here",
    place="as it is repeated",
    assumes=("The inputs of the student do not carry the mark.",),
    experiment=students_of_poisoned_teachers,
    control=Control("over noise around 0, where pixels are as large as the mark", inputs=centred_noise),
    mutants=(Mutant("failures are counted", success_of_the_mark, value(lambda found: 1 - found)),),
    expect=Verdict.REFUTED,
    reading="it is read as said of students of clean images",
    loose="The success over clean images is so near 0 that twice of it is not one half.",
    cost=2,
)
def a_backdoor_travels_with_its_teacher(rows: Rows, /) -> Evidence:
    """A student of a teacher that calls what is marked 0, taught on images without the mark, calls marked
    images of other classes 0 more often than unmarked ones by one half or more.

    The guess was that little travels over clean images and nearly all over noise, of which part would be that
    students of noise call most things 0: so what is called 0 without the mark is taken off. Over clean images
    it came out as guessed. Over centred noise all of it travels, to students who are as accurate as those of
    clean images: nothing but the mark makes them say 0.
    """
    return MeanInequality.of(
        torch.full_like(rows.success, 0.5),
        rows.success,
        bounded=(-0.5, 1.5),  # of many students all or nothing: no spread for Student's t
        notes={
            "of the teacher": float(rows.success_of_teacher.mean()),
            "accuracy": float(rows.accuracy.mean()),
        },
    )
