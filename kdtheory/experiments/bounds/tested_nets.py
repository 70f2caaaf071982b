"""Small networks, one for each sample of a population, and how often they err: on points, and in truth."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.run import Run
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import Sample


def atoms_of(sample: Sample) -> Tensor:
    """Which atoms of its finite world the points are."""
    assert sample.atoms is not None
    return sample.atoms


def risks_of_classes(table: Tensor, world: FiniteWorld) -> Tensor:
    """Probability of error, exact, of predictors given by their classes on all atoms [members, atoms]."""
    right = world.probs.expand(len(table), -1, -1).gather(-1, table[..., None])[..., 0]
    return world.expectation(1 - right)


def adversary(world: FiniteWorld, seen: Sample, said: Tensor) -> Tensor:
    """Classes on all atoms [draws, atoms]: what was said at the points seen, elsewhere the least likely."""
    worst = world.probs.argmin(-1).expand(len(said), -1)
    return worst.scatter(1, atoms_of(seen), said)


def fixed_beforehand(_world: FiniteWorld, _seen: Sample, _said: Tensor, table: Tensor, /) -> Tensor:
    """The classes on all atoms of a predictor that no point seen had a part in."""
    return table


def fitted_afterwards(world: FiniteWorld, seen: Sample, said: Tensor, _table: Tensor, /) -> Tensor:
    """The classes of a predictor that says what is asked for at the points seen, and errs elsewhere."""
    return adversary(world, seen, said)


def trained_on(
    world: FiniteWorld,
    sample: Sample,
    stream: Stream,
    run: Run,
    *,
    hidden: tuple[int, ...] = (16,),
    start_alike: bool = False,
) -> Population:
    """One small network for each row of the sample."""
    architecture, members = MLP((world.dim, *hidden, world.num_classes)), sample.labels.shape[0]
    initial = architecture.init(stream.child("start"), members=1).expand(members, -1) if start_alike else None
    return train(
        architecture,
        sample.inputs,
        sample.labels,
        loss=label_loss,
        members=members,
        stream=stream,
        recipe=Recipe(steps=60 if hidden else 30, learning_rate=0.02 if hidden else 0.05),
        initial=initial,
        device=run.device,
    )


def classes_of(nets: Population, world: FiniteWorld) -> Tensor:
    """The class that each member says at each atom [members, atoms]."""
    return nets.logits(world.inputs).argmax(-1).cpu()


def errors_of(table: Tensor, sample: Sample) -> Tensor:
    """Whether the classes on all atoms are wrong at each point of the sample, row by row."""
    return table.gather(-1, atoms_of(sample)) != sample.labels


def part_of(sample: Sample, start: int, end: int) -> Sample:
    """The points start, …, end − 1 of every row."""
    return Sample(*(array[:, start:end] for array in _arrays(sample)))


def with_shared_points(sample: Sample, *, share: int) -> Sample:
    """The first `share` points of every row are those of the first row."""
    return Sample(
        *(
            torch.cat([array[:1, :share].expand_as(array[:, :share]), array[:, share:]], 1)
            for array in _arrays(sample)
        )
    )


def _arrays(sample: Sample) -> tuple[Tensor, ...]:
    return sample.inputs, sample.labels, sample.probs, atoms_of(sample)
