"""A sparse parity: checkpoints of networks that learn it, and students of one checkpoint after another."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy

__all__ = ["checkpoints_of_a_parity", "degree_one", "students_in_two_courses"]

DIM, SUPPORT, MEMBERS, STUDENTS = 10, 3, 64, 2
TEACHER, STUDENT = MLP((DIM, 64, 2)), MLP((DIM, 24, 2))
BEFORE, DURING, AFTER = 30, 120, 600
HALF = Recipe(steps=150, learning_rate=0.003, batch_size=64)


def cube() -> tuple[Tensor, Tensor]:
    """All points of {−1, 1}¹⁰, and whether the product of their first three coordinates is 1."""
    points = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=DIM)))
    return points, (points[:, :SUPPORT].prod(1) > 0).long()


def degree_one(values: Tensor, points: Tensor, /) -> Tensor:
    """f̂({i}) = E f(x) x_i over all points, for each coordinate i: [*, points] to [*, coordinates]."""
    coefficients: Tensor = values @ points.to(values) / len(points)
    return coefficients


@experiment
def checkpoints_of_a_parity(run: Run, /, *, steps: int = DURING) -> Rows:
    """64 nets (64 hidden units) that learn by Adam, from minibatches of 64, the parity of three of ten bits,
    at all 1,024 points, after `steps` steps: accuracy; the mean size of the exact coefficients of degree one
    of p(1) − p(0) at the three bits, and at the other seven; and their probabilities.
    """
    points, labels = cube()
    nets = train(
        TEACHER,
        points,
        labels,
        loss=label_loss,
        members=run.size(quick=MEMBERS, full=4 * MEMBERS),
        stream=checkpoints_of_a_parity.stream(run.stream.seed),
        recipe=HALF.but(steps=steps),
        device=run.device,
    )
    probs = nets.logits(points).softmax(-1).cpu()
    sizes = degree_one((probs[..., 1] - probs[..., 0]).double(), points).abs()
    return Rows(
        accuracy=accuracy(probs, labels),
        inside=sizes[:, :SUPPORT].mean(1),
        outside=sizes[:, SUPPORT:].mean(1),
        probs=probs,
    )


@experiment(tuned_on=(7,))
def students_in_two_courses(run: Run, /, *, first: int = AFTER) -> Rows:
    """Students (24 hidden units) of these nets, two of each: 150 steps on the checkpoint in the transition
    and 150 on the final one, or the first 150 on the checkpoint of step `first`: accuracy of both at all
    points, a mean over the two.
    """
    progressive, rival = (students_after_a_course.given(first=course).rows(run) for course in (DURING, first))
    return Rows(progressive=progressive.accuracy, rival=rival.accuracy)


@experiment(tuned_on=(7,))
def students_after_a_course(run: Run, /, *, first: int = DURING) -> Rows:
    """Two students of each net, 150 steps on its checkpoint of step `first` and 150 on the final one, from
    the same starts for every `first`: accuracy at all points, a mean over the two.
    """
    points, labels = cube()
    stream = students_in_two_courses.stream(run.stream.seed)
    halfway: Population | None = None
    for course in (first, AFTER):
        probs = checkpoints_of_a_parity.given(steps=course).rows(run).probs.repeat(STUDENTS, 1, 1)
        start = STUDENT.init(stream.child("start"), members=len(probs), dtype=torch.float64)
        halfway = train(
            STUDENT,
            points,
            teacher_probs=probs,
            loss=distillation,
            members=len(probs),
            stream=stream.child(course),
            recipe=HALF,
            initial=start if halfway is None else halfway.params,
            device=run.device,
        )
    assert halfway is not None
    found: Tensor = accuracy(halfway.logits(points).cpu(), labels)
    return Rows(accuracy=found.reshape(STUDENTS, -1).mean(0))
