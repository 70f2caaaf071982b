"""What cannot be certified is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import pytest
from certified import (
    HOLDOUT,
    REST,
    ROOT,
    TEACHER,
    TRAIN,
    X,
    Y,
)
from torch import nn

from kdtheory import certify
from kdtheory.certify import WitnessPlan, certify_logits
from kdtheory.recipe import Recipe

TABLE: dict[str, tuple[Callable[[], object], str]] = {
    "nothing labelled": (
        lambda: certify(TEACHER, unlabelled=REST, fixed_in_advance=True),
        "train and holdout are both None",
    ),
    "teacher: no module": (
        lambda: certify("teacher", holdout=HOLDOUT, fixed_in_advance=True),
        "teacher = 'teacher' must be a Module",
    ),
    "teacher: a tensor": (
        lambda: certify(HOLDOUT[0], holdout=HOLDOUT, fixed_in_advance=True),
        "teacher = Tensor of shape",
    ),
    "teacher: not a table": (
        lambda: certify(nn.Flatten(0), holdout=HOLDOUT, fixed_in_advance=True),
        "give n × k logits",
    ),
    "teacher: NaN": (
        lambda: certify({"holdout": HOLDOUT[0] * nan}, holdout=HOLDOUT, fixed_in_advance=True),
        "teacher logits on holdout",
    ),
    "teacher: rows": (
        lambda: certify({"holdout": HOLDOUT[0][:3]}, holdout=HOLDOUT, fixed_in_advance=True),
        "give 200 rows",
    ),
    "teacher: a role lacks": (
        lambda: certify({"train": TRAIN[0]}, holdout=HOLDOUT, fixed_in_advance=True),
        "no logits for 'holdout'",
    ),
    "student: classes": (
        lambda: certify(TEACHER, nn.Linear(64, 3), holdout=HOLDOUT, fixed_in_advance=True),
        "labels spans|same classes",
    ),
    "student: more classes": (
        lambda: certify(TEACHER, nn.Linear(64, 12), holdout=HOLDOUT, fixed_in_advance=True),
        "the same classes",
    ),
    "labels: out of range": (
        lambda: certify(TEACHER, holdout=(X, Y + 5), fixed_in_advance=True),
        "holdout labels spans",
    ),
    "δ = 0": (lambda: certify(TEACHER, holdout=HOLDOUT, delta=0.0, fixed_in_advance=True), "delta"),
    "δ = 1": (lambda: certify(TEACHER, holdout=HOLDOUT, delta=1.0, fixed_in_advance=True), "delta"),
    "γ = 0": (lambda: certify(TEACHER, holdout=HOLDOUT, gamma=0.0, fixed_in_advance=True), "gamma"),
    "γ: none": (
        lambda: certify(TEACHER, holdout=HOLDOUT, gamma=[], fixed_in_advance=True),
        "number of gammas",
    ),
    "batch of none": (
        lambda: certify(TEACHER, holdout=HOLDOUT, batch_size=0, fixed_in_advance=True),
        "batch_size",
    ),
    "shares: unknown": (
        lambda: certify(TEACHER, holdout=HOLDOUT, shares={"luck": 1}, fixed_in_advance=True),
        "shares = 'luck'",
    ),
    "shares: none": (
        lambda: certify(TEACHER, holdout=HOLDOUT, shares={"holdout": 0}, fixed_in_advance=True),
        r"shares\['holdout'\]",
    ),
    "shares: nothing applies": (
        lambda: certify(TEACHER, holdout=HOLDOUT, shares={"vc_dimension": 1}, fixed_in_advance=True),
        "no bound applies .*no training labels",
    ),
    "witness: unknown": (
        lambda: certify(TEACHER, holdout=HOLDOUT, witness="luck", stream=ROOT, fixed_in_advance=True),
        "witness = 'luck'",
    ),
    "witness: no stream": (
        lambda: certify(TEACHER, train=TRAIN, witness="distil", fixed_in_advance=True),
        "stream = None",
    ),
    "witness: nothing to test by": (
        lambda: certify(
            TEACHER,
            train=TRAIN,
            unlabelled=REST,
            stream=ROOT,
            witness=WitnessPlan(held_out=0.001),
            fixed_in_advance=True,
        ),
        "held_out = 0.001",
    ),
    "plan: no kind": (lambda: WitnessPlan(kinds=()), "number of kinds"),
    "plan: no step": (lambda: WitnessPlan(recipe=Recipe(steps=0)), "steps = 0"),
    "plan: an average of posteriors": (
        lambda: WitnessPlan(students=Recipe(steps=1, averaged=0.5)),
        "averaged = 0.5 is not for a posterior",
    ),
    "plan: no member": (lambda: WitnessPlan(members=0), "members = 0"),
    "plan: all held out": (lambda: WitnessPlan(held_out=1.0), "held_out"),
    "device": (
        lambda: certify(
            TEACHER,
            train=TRAIN,
            unlabelled=REST,
            witness="distil",
            stream=ROOT,
            device="abacus",
            fixed_in_advance=True,
        ),
        "device = 'abacus'",
    ),
    "logits: role": (
        lambda: certify_logits(X, Y, labels_role="test", fixed_in_advance=True),
        "labels_role = 'test'",
    ),
    "logits: a student without unlabelled points": (
        lambda: certify_logits(X, Y, student_logits=X, teacher_unlabelled=REST, fixed_in_advance=True),
        "student_unlabelled lacking",
    ),
    "logits: unlabelled points of no student": (
        lambda: certify_logits(X, Y, student_unlabelled=REST, fixed_in_advance=True),
        "student_logits, teacher_unlabelled lacking",
    ),
    "logits: rows": (
        lambda: certify_logits(X, Y, student_logits=X[:3], fixed_in_advance=True),
        "student_logits has shape .3, 64.",
    ),
    "logits: labels": (lambda: certify_logits(X, Y[:3], fixed_in_advance=True), "labels has shape .3,."),
    "logits: NaN": (lambda: certify_logits(X * nan, Y, fixed_in_advance=True), "teacher logits on holdout"),
    "points that the module does not take": (
        lambda: certify(TEACHER, holdout=(X[:, :60], Y), fixed_in_advance=True),
        r"teacher does not take a batch of shape \(\d+, 60\): ",
    ),
    "logits: no numbers": (
        lambda: certify_logits(X.numpy().astype(str), Y, fixed_in_advance=True),
        "teacher_logits = ndarray of shape",
    ),
}


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(case: str) -> None:
    call, named = TABLE[case]
    with pytest.raises(ValueError, match=named):
        call()
