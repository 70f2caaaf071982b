"""The risk on a teacher's labels, over all samples of small random worlds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.problems import random_finite_world
from kdtheory.risk.empirical import distilled_risk
from kdtheory.risk.population import population_risk
from kdtheory.risk.teacher import teacher_bias_variance
from kdtheory.streams import Stream

Teacher = Callable[[Tensor, Tensor, Tensor], Tensor]


def fixed_in_advance(other: Tensor, atoms: Tensor, labels: Tensor) -> Tensor:
    """One teacher for all samples."""
    return other.expand(len(atoms), 3, 3)


def fitted_to_the_sample(other: Tensor, atoms: Tensor, labels: Tensor) -> Tensor:
    """p^t(x)_y = (count of (x, y) + 1)/(count of x + k), one teacher a sample; 3 atoms, 3 classes."""
    seen = torch.nn.functional.one_hot(3 * atoms + labels, 9).sum(1).unflatten(-1, (3, 3))
    frequencies: Tensor = (seen + 1.0).double() / (seen.sum(-1, keepdim=True) + 3.0)
    return frequencies


@experiment
def errors_of_teachers(run: Run, /, *, teacher: Teacher = fixed_in_advance) -> Rows:
    """All samples of N = 3 points of 30 random worlds with 3 atoms and 3 classes: E(R̃ − R)², its exact value
    and the bound, averaged over the samples. In half of the worlds the error of the teacher that is fixed in
    advance is parallel to the losses, which have one norm everywhere, so that the bound is attained.
    """
    trials = run.size(quick=30, full=300)
    rows = [_errors(run.stream.child(trial), trial % 2 == 0, teacher) for trial in range(trials)]
    error, exact, bound = torch.stack(rows, 1)
    return Rows(error=error, exact=exact, bound=bound)


def _errors(stream: Stream, parallel: bool, teacher: Teacher) -> Tensor:
    world = random_finite_world(stream.child("world"), atoms=3, num_classes=3, dim=1, concentration=5.0)
    losses = torch.randn(3, 3, dtype=torch.float64, generator=stream.child("losses").torch())
    other = random_finite_world(stream.child("teacher"), atoms=3, num_classes=3, dim=1).probs
    if parallel:
        losses = losses - losses.mean(-1, keepdim=True)
        losses = losses / losses.norm(dim=-1, keepdim=True)
        other = world.probs + 0.9 * world.probs.min() * losses
    samples = world.enumerate_samples(3)
    teachers = teacher(other, samples.atoms, samples.labels)
    rows = torch.arange(len(samples.atoms))[:, None]
    risks = distilled_risk(losses[samples.atoms], teachers[rows, samples.atoms])
    truth = population_risk(losses, world.probs, world.weights)
    parts = teacher_bias_variance(losses, teachers, world.probs, world.weights, n=3)
    columns = torch.stack([(risks - truth).square(), parts.mean_squared_error, parts.bound])
    return columns @ samples.probability
