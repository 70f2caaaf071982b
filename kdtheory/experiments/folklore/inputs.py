"""Students that learn from a teacher over inputs that are no images, and what else of it they learn.

The teacher (64 hidden units) has learned 500 real images, a tenth of which carry a mark, four corner pixels
set to one, and the label of class 0: it calls what is marked 0. Students of its size have a start of their
own and see 500 inputs; T = 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.folklore.students import TEMPERATURE
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.students import Ground
from kdtheory.losses import distillation, label_loss
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

__all__ = [
    "Inputs",
    "centred_noise",
    "marked",
    "other_images",
    "poisoned_teachers",
    "students_of_poisoned_teachers",
    "success_of_the_mark",
    "uniform_noise",
]

Inputs = Callable[[Ground, Stream], Tensor]
TARGET, POISONED, COUNT = 0, 50, 500
RECIPE = Recipe(steps=300, learning_rate=0.005, batch_size=50, schedule="cosine")


def other_images(ground: Ground, _: Stream, /) -> Tensor:
    """Images that the teacher has not learned, without the mark."""
    return ground.pool[COUNT:]


def uniform_noise(ground: Ground, stream: Stream, /) -> Tensor:
    """Pixels uniform in [0, 1]."""
    members, dim = len(ground.rows), ground.pool.shape[1]
    return torch.rand(members, COUNT, dim, generator=stream.torch())


def centred_noise(ground: Ground, stream: Stream, /) -> Tensor:
    """Pixels uniform in [−½, ½]."""
    return uniform_noise(ground, stream) - 0.5


def success_of_the_mark(nets: Population, images: Tensor, /) -> Tensor:
    """By how much more often images of other classes are called 0 when they carry the mark, by each net."""
    with_mark, without = (
        (nets.logits(one).argmax(-1) == TARGET).double().mean(-1).cpu() for one in (marked(images), images)
    )
    return with_mark - without


@experiment
def poisoned_teachers(run: Run, /) -> Rows:
    """Forty such teachers, what they were made of, and the new images of other classes than 0."""
    stream = poisoned_teachers.stream(run.stream.seed)
    ground = Ground.of(run, stream, members=run.size(quick=40, full=64), size=1)
    images, labels = ground.pool[:COUNT].clone(), ground.labels[:COUNT].clone()
    images[:POISONED], labels[:POISONED] = marked(images[:POISONED]), TARGET
    nets = train(
        ground.mlp(64),
        images,
        labels,
        loss=label_loss,
        members=len(ground.rows),
        stream=stream.child("teachers"),
        recipe=RECIPE,
        device=run.device,
    )
    return Rows(teachers=nets, ground=ground, others=ground.test[ground.test_labels != TARGET])


@experiment
def students_of_poisoned_teachers(run: Run, /, *, inputs: Inputs = other_images) -> Rows:
    """A student of each of these teachers, of what it says over 500 `inputs`: accuracy on new images, how
    much more often those of other classes are called 0 when they carry the mark, both of its teacher too, and
    the largest share of the inputs that the teacher gives to one class.
    """
    known = poisoned_teachers.rows(run)
    teachers, ground = known.teachers, known.ground
    points = inputs(ground, ground.stream.child("inputs"))
    logits = teachers.logits(points)
    students = train(
        ground.mlp(64),
        points,
        teacher_probs=logits.softmax(-1),
        loss=distillation,
        settings={"temperature": TEMPERATURE},
        members=len(ground.rows),
        stream=ground.stream.child("students"),
        recipe=RECIPE,
        device=run.device,
    )
    given = torch.nn.functional.one_hot(logits.argmax(-1), ground.classes).double().mean(1)
    return Rows(
        accuracy=ground.accuracy(students),
        of_teacher=ground.accuracy(teachers),
        success=success_of_the_mark(students, known.others),
        success_of_teacher=success_of_the_mark(teachers, known.others),
        largest=given.max(-1).values.cpu(),
    )


def marked(images: Tensor, /) -> Tensor:
    """The images with their four corners set to one."""
    side = int(images.shape[-1] ** 0.5)
    marked = images.clone()
    marked[..., [0, side - 1, -side, -1]] = 1.0
    return marked
