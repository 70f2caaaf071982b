"""Chapter 2.5, the FitNet hint: a learned projection forgives every invertible linear map."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity
from kdtheory.claims.wrong import arguments
from kdtheory.experiments import Rows
from kdtheory.experiments.features.projections import Projection, hints_of_mapped_features, kept
from kdtheory.losses.features import hint_loss


def _not_projected(student: Tensor, teacher: Tensor, /, *, projection: Projection) -> Tensor:
    width = min(student.shape[1], teacher.shape[1])
    return (student[:, :width] - teacher[:, :width]).square().sum(1).mean() / 2


@claim(
    section="2.5",
    formula=r"\min_r \mathcal L_{hint}(Ms, t; r) = \min_r \mathcal L_{hint}(s, t; r)\quad"
    r"\text{over linear } r,\ \det M \ne 0",
    source="romero2015fitnets",
    place="derived here",
    assumes=("The student's features have full rank on the batch.",),
    experiment=hints_of_mapped_features,
    control=Control("the projection stays as it was before the map", projection=kept),
    mutants=(
        Mutant("the features are normalised first", hint_loss, arguments(lambda s, t: (normalize(s), t))),
        Mutant("there is no projection", hint_loss, _not_projected),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def learned_projection_of_a_hint_forgives_linear_maps(rows: Rows, /) -> Evidence:
    """With the best linear projection, the hint loss does not change when the student's features undergo an
    invertible linear map: a hint sees the span of the student's features and nothing else.

    A projection that is not learned anew forgives nothing.
    """
    return Identity.of(rows.after, rows.before, tolerance=1e-8)
