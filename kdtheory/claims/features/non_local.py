"""Chapter 2.3, the non-local relation: the printed double sum, and equivariance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity
from kdtheory.claims.features.moved import drawn
from kdtheory.losses.features import dot_products, non_local_relation

_Relation = Callable[..., Tensor]


def _looped_relation(maps: Tensor, /, *, rows: int, columns: int) -> Tensor:
    """r of one example by loops: the sum over i′ < rows and j′ < columns, as far as A goes."""
    _, height, width = maps.shape
    relation = torch.zeros_like(maps)
    for i in range(height):
        for j in range(width):
            here = maps[:, i, j]
            for i2 in range(min(rows, height)):
                for j2 in range(min(columns, width)):
                    there = maps[:, i2, j2]
                    relation[:, i, j] += (here @ there) * there
    return relation / (height * width)


def _square_part_only(features: Tensor, /, _true: _Relation = non_local_relation) -> Tensor:
    """i′ and j′ both run to min(H, W)."""
    _, _, height, width = features.shape
    least = min(height, width)
    inside = torch.zeros(height, width, dtype=features.dtype)
    inside[:least, :least] = 1
    return _true(features, value=lambda positions: positions * inside.flatten()[:, None])


def _summed(features: Tensor, /, _true: _Relation = non_local_relation) -> Tensor:
    return _true(features) * features.shape[2] * features.shape[3]


@claim(
    section="2.3",
    formula=r"r_{i,j} = \tfrac{1}{WH}\textstyle\sum_{i'=1}^{H}\sum_{j'=1}^{W} f(A_{\cdot,i,j},"
    r" A_{\cdot,i',j'})\,g(A_{\cdot,i',j'})",
    source="shen2021deep",
    place="Section 3.2",
    assumes=("A is indexed channel, row, column: C × H × W.", "Terms outside A are taken as absent."),
    control=Control("the ranges are exchanged: i′ runs to W and j′ to H", ranges="exchanged"),
    uses=(non_local_relation,),
    mutants=(
        Mutant("both sums run to the shorter side", non_local_relation, _square_part_only),
        Mutant("the sum for the mean", non_local_relation, _summed),
    ),
)
def non_local_relation_is_the_printed_double_sum(setting: Setting, /, *, ranges: str = "printed") -> Evidence:
    """The relation of a position is the mean over all positions of a map that is indexed H × W: i′ runs to H
    and j′ to W, as printed.

    How it's judged: loops over the printed ranges against the library's products of matrices, on random maps
    of 3 × 5 and 5 × 3 positions, f the inner product and g the identity. With the ranges exchanged some
    positions are left out and others asked for that do not exist; on square maps it would not show.
    """
    looped, means = [], []
    for trial in range(setting.size(quick=5, full=50)):
        for height, width in ((3, 5), (5, 3)):
            maps = drawn(setting.stream.child("maps", trial, height), 1, 4, height, width)
            rows, columns = (height, width) if ranges == "printed" else (width, height)
            looped.append(_looped_relation(maps[0], rows=rows, columns=columns).flatten())
            means.append(non_local_relation(maps).flatten())
    return Identity.of(torch.stack(looped), torch.stack(means), tolerance=1e-12)


def _near(one: Tensor, other: Tensor) -> Tensor:
    """Inner products within three neighbouring positions only."""
    places = torch.arange(one.shape[-2])
    return dot_products(one, other) * ((places[:, None] - places[None]).abs() <= 1)


_PAIRS = {"all positions": dot_products, "neighbouring positions": _near}


def _transposed(
    features: Tensor, /, *, pair: Callable[..., Tensor], _true: _Relation = non_local_relation
) -> Tensor:
    return _true(features, pair=pair).transpose(-1, -2).reshape(features.shape)


def _values_of_the_next_position(
    features: Tensor, /, *, pair: Callable[..., Tensor], _true: _Relation = non_local_relation
) -> Tensor:
    return _true(features, pair=pair, value=lambda positions: positions.roll(1, -2))


@claim(
    section="2.3",
    formula=r"r(A_{\cdot,\pi}) = r(A)_{\cdot,\pi}\quad\text{for every permutation } \pi"
    r"\text{ of the positions}",
    source="zhang2021improve",
    assumes=("f and g do not depend on where a position is.",),
    control=Control("only neighbouring positions are related", pairs="neighbouring positions"),
    uses=(non_local_relation,),
    mutants=(
        Mutant("rows and columns are confused", non_local_relation, _transposed),
        Mutant("g is taken at the next position", non_local_relation, _values_of_the_next_position),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def non_local_relation_is_equivariant(setting: Setting, /, *, pairs: str = "all positions") -> Evidence:
    """Where the positions of a map are permuted, its non-local relation is permuted alike and not otherwise
    changed.

    How it's judged: random permutations of random maps of 3 × 5 positions.
    """
    before, after = [], []
    for trial in range(setting.size(quick=20, full=200)):
        here = setting.stream.child("maps", trial)
        maps = drawn(here, 2, 4, 3, 5)
        order = torch.randperm(15, generator=here.child("order").torch())
        relation = non_local_relation(maps, pair=_PAIRS[pairs])
        before.append(relation.flatten(2)[..., order])
        permuted = maps.flatten(2)[..., order].reshape(maps.shape)
        after.append(non_local_relation(permuted, pair=_PAIRS[pairs]).flatten(2))
    return Identity.of(torch.stack(after), torch.stack(before), tolerance=1e-12)
