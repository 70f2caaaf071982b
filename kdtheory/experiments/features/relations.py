"""Relations between examples: losses of moved and of permuted logits on real images, 24 a batch; flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment, shown
from kdtheory.experiments.features.moved import (
    Move,
    drawn,
    each_scaled,
    moved,
    rotated,
    scaled_up,
    translated,
)
from kdtheory.experiments.response.image_logits import image_logits
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import kl_divergence
from kdtheory.losses.relations import (
    correlation_congruence,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)

Loss = Callable[[Tensor, Tensor], Tensor]


@experiment
def relational_losses_of_moved_logits(
    run: Run, /, *, moves: tuple[Move, ...] = (rotated, translated, scaled_up)
) -> Rows:
    """5 batches: both relational losses of students that are their teachers after random moves, in turn."""
    teachers = _batches(run, run.size(quick=5, full=50))
    pairs = [(moved(one, moves, run.stream.child("moves", at)), one) for at, one in enumerate(teachers)]
    return Rows(
        distances=torch.stack([relational_distance_loss(*pair) for pair in pairs]),
        angles=torch.stack([relational_angle_loss(*pair) for pair in pairs]),
    )


def distances(student: Tensor, teacher: Tensor) -> Tensor:
    """The distance-wise relational loss."""
    return relational_distance_loss(student, teacher)


def angles(student: Tensor, teacher: Tensor) -> Tensor:
    """The angle-wise relational loss."""
    return relational_angle_loss(student, teacher)


def similarities(student: Tensor, teacher: Tensor) -> Tensor:
    """The similarity-preserving loss."""
    return similarity_preserving(student, teacher)


def responses(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean divergence of the responses."""
    return kl_divergence(student, teacher).mean()


@experiment
def relation_losses_of_permuted_classes(
    run: Run, /, *, losses: tuple[Loss, ...] = (distances, angles, similarities), places: int = 1
) -> Rows:
    """5 batches: losses of students that are their teachers with the classes moved on by some places, and the
    share of examples on which both choose one class.
    """
    teachers = _batches(run, run.size(quick=5, full=50))
    pairs = [(teacher.roll(places, -1), teacher) for teacher in teachers]
    return Rows(
        name=[shown(loss) for loss in losses],
        loss=torch.stack([torch.stack([loss(*pair) for pair in pairs]) for loss in losses]),
        agreement=torch.stack([(s.argmax(-1) == t.argmax(-1)).double().mean() for s, t in pairs]),
    )


@experiment
def similarity_losses_of_moved_logits(
    run: Run,
    /,
    *,
    together: tuple[Move, ...] = (rotated, scaled_up),
    apart: tuple[Move, ...] = (each_scaled,),
) -> Rows:
    """5 pairs of batches: losses before and after all examples of the student are moved together, and, except
    for the similarity-preserving one, each apart.
    """
    count = run.size(quick=5, full=50)
    batches, columns = _batches(run, 2 * count), {}
    for name, loss, moves in (
        ("congruence", correlation_congruence, (*together, *apart)),
        ("transfer", probabilistic_transfer, (*together, *apart)),
        ("similarity", similarity_preserving, together),
    ):
        before, after = [], []
        for at, (student, teacher) in enumerate(zip(batches[:count], batches[count:], strict=True)):
            before.append(loss(student, teacher))
            after.append(loss(moved(student, moves, run.stream.child("moves", at)), teacher))
        columns[f"{name}_before"], columns[f"{name}_after"] = torch.stack(before), torch.stack(after)
    return Rows(**columns)


@experiment
def flow_losses_of_permuted_positions(run: Run, /, *, orders: int = 1) -> Rows:
    """20 pairs of layers with random maps of 3 × 4 positions, 5 and 6 channels: the flow-matrix loss before
    and after a random permutation of the student's positions, one for both layers or one for each.
    """
    before, after = [], []
    for trial in range(run.size(quick=20, full=200)):
        here = run.stream.child("flows", trial)
        student, teacher = (
            (drawn(here.child(side, 1), 2, 5, 3, 4), drawn(here.child(side, 2), 2, 6, 3, 4))
            for side in ("student", "teacher")
        )
        first, second = (
            maps.flatten(2)[..., torch.randperm(12, generator=here.child("order", order).torch())].view_as(
                maps
            )
            for maps, order in zip(student, (0, orders - 1), strict=True)
        )
        before.append(flow_matrix_loss(student, teacher))
        after.append(flow_matrix_loss((first, second), teacher))
    return Rows(before=torch.stack(before), after=torch.stack(after))


def _batches(run: Run, count: int) -> list[Tensor]:
    """A teacher's logits on 24 real images each."""
    return [
        image_logits(replace(run, stream=run.stream.child("batches", place)), 24, spread=1.5)[1]
        for place in range(count)
    ]
