"""Chapter 2.5, the FitNet hint: a learned projection forgives every invertible linear map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity
from kdtheory.claims.features.moved import drawn
from kdtheory.losses.features import hint_loss


def _normalised(
    student: Tensor, teacher: Tensor, /, *, projection: Callable[[Tensor], Tensor],
    _true: Callable[..., Tensor] = hint_loss,
) -> Tensor:  # fmt: skip
    """The features are normalised before they are projected."""
    return _true(torch.nn.functional.normalize(student), teacher, projection=projection)


def _not_projected(student: Tensor, teacher: Tensor, /, *, projection: Callable[[Tensor], Tensor]) -> Tensor:
    width = min(student.shape[1], teacher.shape[1])
    return (student[:, :width] - teacher[:, :width]).square().sum(1).mean() / 2


@claim(
    section="2.5",
    formula=r"\min_r \mathcal L_{hint}(Ms, t; r) = \min_r \mathcal L_{hint}(s, t; r)\quad"
    r"\text{over linear } r,\ \det M \ne 0",
    source="romero2015fitnets",
    assumes=("The student's features have full rank on the batch.",),
    control=Control("the projection stays as it was before the map", projection="kept"),
    uses=(hint_loss,),
    mutants=(
        Mutant("the features are normalised first", hint_loss, _normalised),
        Mutant("there is no projection", hint_loss, _not_projected),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def learned_projection_of_a_hint_forgives_linear_maps(
    setting: Setting, /, *, projection: str = "learned"
) -> Evidence:
    """With the best linear projection, the hint loss does not change when the student's features undergo an
    invertible linear map: a hint sees the span of the student's features and nothing else.

    How it's judged: features of 20 examples, widths 4 and 6, drawn at random; the loss at the least-squares
    projection before and after a random map, against each other. A projection that is not learned anew
    forgives nothing.
    """
    before, after = [], []
    for trial in range(setting.size(quick=20, full=200)):
        here = setting.stream.child("hints", trial)
        student, teacher = drawn(here.child("student"), 20, 4), drawn(here.child("teacher"), 20, 6)
        mapped = student @ drawn(here.child("map"), 4, 4)
        best = _best(student, teacher)
        before.append(hint_loss(student, teacher, projection=best))
        again = _best(mapped, teacher) if projection == "learned" else best
        after.append(hint_loss(mapped, teacher, projection=again))
    return Identity.of(torch.stack(after), torch.stack(before), tolerance=1e-8)


def _best(student: Tensor, teacher: Tensor) -> Callable[[Tensor], Tensor]:
    # The default driver rounds by where its arrays lie in memory, so that two runs may differ.
    weight: Tensor = torch.linalg.lstsq(student, teacher, driver="gels").solution
    return lambda features: features @ weight
