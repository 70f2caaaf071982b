"""Non-local relations of random maps: by loops over the printed sums, and of permuted positions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.features.moved import drawn
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses.features import dot_products, non_local_relation


def as_printed(height: int, width: int) -> tuple[int, int]:
    """i′ runs to H and j′ to W."""
    return height, width


def exchanged(height: int, width: int) -> tuple[int, int]:
    """i′ runs to W and j′ to H."""
    return width, height


@experiment
def printed_sums_and_relations(
    run: Run, /, *, ranges: Callable[[int, int], tuple[int, int]] = as_printed
) -> Rows:
    """5 random maps each of 3 × 5 and of 5 × 3 positions, f the inner product and g the identity: loops over
    the ranges of i′ and j′, and the library's products of matrices.
    """
    looped, means = [], []
    for trial in range(run.size(quick=5, full=50)):
        for height, width in ((3, 5), (5, 3)):
            maps = drawn(run.stream.child("maps", trial, height), 1, 4, height, width)
            looped.append(_looped_relation(maps[0], *ranges(height, width)).flatten())
            means.append(non_local_relation(maps).flatten())
    return Rows(looped=torch.stack(looped), relation=torch.stack(means))


def neighbours_only(one: Tensor, other: Tensor) -> Tensor:
    """Inner products within three neighbouring positions only."""
    places = torch.arange(one.shape[-2])
    return dot_products(one, other) * ((places[:, None] - places[None]).abs() <= 1)


@experiment
def relations_of_permuted_positions(
    run: Run, /, *, pair: Callable[[Tensor, Tensor], Tensor] = dot_products
) -> Rows:
    """20 random maps of 3 × 5 positions: the relation, permuted, and that of the permuted map."""
    before, after = [], []
    for trial in range(run.size(quick=20, full=200)):
        here = run.stream.child("maps", trial)
        maps = drawn(here, 2, 4, 3, 5)
        order = torch.randperm(15, generator=here.child("order").torch())
        before.append(non_local_relation(maps, pair=pair).flatten(2)[..., order])
        permuted = maps.flatten(2)[..., order].reshape(maps.shape)
        after.append(non_local_relation(permuted, pair=pair).flatten(2))
    return Rows(before=torch.stack(before), after=torch.stack(after))


def _looped_relation(maps: Tensor, rows: int, columns: int) -> Tensor:
    """r of one example by loops: the sum over i′ < rows and j′ < columns, as far as A goes."""
    _, height, width = maps.shape
    relation = torch.zeros_like(maps)
    for i in range(height):
        for j in range(width):
            for i2 in range(min(rows, height)):
                for j2 in range(min(columns, width)):
                    there = maps[:, i2, j2]
                    relation[:, i, j] += (maps[:, i, j] @ there) * there
    return relation / (height * width)
