"""Hints with the best linear projection, before and after the student's features are mapped."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.features.moved import drawn
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses.features import hint_loss

Projection = Callable[[Tensor], Tensor]


def learned_anew(student: Tensor, mapped: Tensor, teacher: Tensor) -> Projection:
    """The best projection of the mapped features."""
    return _best(mapped, teacher)


def kept(student: Tensor, mapped: Tensor, teacher: Tensor) -> Projection:
    """The best projection of the features as they were."""
    return _best(student, teacher)


@experiment
def hints_of_mapped_features(
    run: Run, /, *, projection: Callable[[Tensor, Tensor, Tensor], Projection] = learned_anew
) -> Rows:
    """20 pairs of features of 20 examples, widths 4 and 6, drawn at random: the hint loss at the
    least-squares projection, before and after a random linear map of the student's features.
    """
    before, after = [], []
    for trial in range(run.size(quick=20, full=200)):
        here = run.stream.child("hints", trial)
        student, teacher = drawn(here.child("student"), 20, 4), drawn(here.child("teacher"), 20, 6)
        mapped = student @ drawn(here.child("map"), 4, 4)
        before.append(hint_loss(student, teacher, projection=_best(student, teacher)))
        after.append(hint_loss(mapped, teacher, projection=projection(student, mapped, teacher)))
    return Rows(before=torch.stack(before), after=torch.stack(after))


def _best(student: Tensor, teacher: Tensor) -> Projection:
    weight: Tensor = torch.linalg.lstsq(student, teacher, driver="gels").solution
    return lambda features: features @ weight
