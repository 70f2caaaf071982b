"""Chapter 2.3, the non-local relation: the printed double sum, and equivariance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity
from kdtheory.claims.wrong import Wrong, given, value
from kdtheory.experiments import Rows
from kdtheory.experiments.features.non_local import (
    exchanged,
    neighbours_only,
    printed_sums_and_relations,
    relations_of_permuted_positions,
)
from kdtheory.losses.features import non_local_relation

_Relation = Callable[..., Tensor]


def _square_part_only(right: _Relation) -> _Relation:
    """i′ and j′ both run to min(H, W)."""

    def wrong(features: Tensor, /) -> Tensor:
        _, _, height, width = features.shape
        inside = torch.zeros(height, width, dtype=features.dtype)
        inside[: min(height, width), : min(height, width)] = 1
        return right(features, value=lambda positions: positions * inside.flatten()[:, None])

    return wrong


@claim(
    section="2.3",
    formula=r"r_{i,j} = \tfrac{1}{WH}\textstyle\sum_{i'=1}^{H}\sum_{j'=1}^{W} f(A_{\cdot,i,j},"
    r" A_{\cdot,i',j'})\,g(A_{\cdot,i',j'})",
    source="shen2021deep",
    place="Section 3.2",
    assumes=("A is indexed channel, row, column: C × H × W.", "Terms outside A are taken as absent."),
    experiment=printed_sums_and_relations,
    control=Control("the ranges are exchanged: i′ runs to W and j′ to H", ranges=exchanged),
    mutants=(
        Mutant("both sums run to the shorter side", non_local_relation, Wrong(_square_part_only)),
        Mutant("the sum for the mean", non_local_relation, value(lambda r: r * r.shape[2] * r.shape[3])),
    ),
)
def non_local_relation_is_the_printed_double_sum(rows: Rows, /) -> Evidence:
    """The relation of a position is the mean over all positions of a map that is indexed H × W: i′ runs to H
    and j′ to W, as printed.

    With the ranges exchanged some positions are left out and others asked for that do not exist; on square
    maps it would not show.
    """
    return Identity.of(rows.looped, rows.relation, tolerance=1e-12)


@claim(
    section="2.3",
    formula=r"r(A_{\cdot,\pi}) = r(A)_{\cdot,\pi}\quad\text{for every permutation } \pi"
    r"\text{ of the positions}",
    source="zhang2021improve",
    place="derived here",
    assumes=("f and g do not depend on where a position is.",),
    experiment=relations_of_permuted_positions,
    control=Control("only neighbouring positions are related", pair=neighbours_only),
    mutants=(
        Mutant(
            "rows and columns are confused",
            non_local_relation,
            value(lambda relation: relation.transpose(-1, -2).reshape(relation.shape)),
        ),
        Mutant(
            "g is taken at the next position",
            non_local_relation,
            given(value=lambda _: lambda positions: positions.roll(1, -2)),
        ),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def non_local_relation_is_equivariant(rows: Rows, /) -> Evidence:
    """Where the positions of a map are permuted, its non-local relation is permuted alike and not otherwise
    changed.
    """
    return Identity.of(rows.after, rows.before, tolerance=1e-12)
