"""Students of 100 images or more: of labels, and of what a teacher of 1,000 images says, whole or in part.

Teachers of a pool of 1,000 images (24, in the full tier 64), each with a start of its own, and for each a
student that sees 100 images of the pool. Steps are fixed beforehand: the rate falls to zero, and neither more
steps nor fewer were looked for. Students of one number share their images and their starts whatever they
learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.folklore.targets import as_told, flat_rest, in_bits, shuffled_rest
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.students import Ground
from kdtheory.losses import distillation, label_loss
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

__all__ = [
    "SHARP",
    "SIZE",
    "STUDENT",
    "TEACHER",
    "TEMPERATURE",
    "Targets",
    "as_trained",
    "ground_of",
    "members_of",
    "smoothed_label_loss",
    "students_of_few_images",
    "students_of_few_images_again",
    "students_of_rounded_logits",
    "students_told_by_teachers",
    "students_told_in_part",
    "teachers_of_images",
    "without_order",
]

Targets = Callable[[Tensor, Stream], Tensor]
TEMPERATURE, SIZE = 4.0, 100
TEACHER = Recipe(steps=300, learning_rate=0.005, batch_size=50, schedule="cosine")
SHARP = TEACHER.but(learning_rate=0.02)
"""Teachers that are surer of themselves: their two largest logits are about 7 apart."""
STUDENT = Recipe(steps=400, learning_rate=0.01, schedule="cosine")


def members_of(run: Run, /) -> int:
    """How many networks stand on each side: 24, or 64 in the full tier."""
    return run.size(quick=24, full=64)


def ground_of(run: Run, /) -> Ground:
    """The images of all students of this module: a pool of 1,000, in an order of each student's own."""
    stream = teachers_of_images.stream(run.stream.seed)
    return Ground.of(run, stream, members=members_of(run), size=1000)


def smoothed_label_loss(logits: Tensor, _: Tensor | None, labels: Tensor, /, *, smoothing: float) -> Tensor:
    """(1 − ε)·CE(e_y, φ(z)) + ε·CE(1/k, φ(z)) of each example (Szegedy et al. 2016)."""
    log_probs = logits.log_softmax(-1)
    right = log_probs.gather(-1, labels[..., None]).squeeze(-1)
    return -(1 - smoothing) * right - smoothing * log_probs.mean(-1)


@experiment
def teachers_of_images(run: Run, /, *, smoothing: float = 0.0, recipe: Recipe = TEACHER) -> Rows:
    """24 nets of 64 hidden units, taught the labels of 1,000 real images, of which a share `smoothing` of the
    mass is spread over all classes: their logits on these images, and their accuracy on the others.
    """
    ground = ground_of(run)
    nets = train(
        ground.mlp(64),
        ground.pool,
        ground.labels,
        loss=smoothed_label_loss,
        settings={"smoothing": smoothing},
        members=len(ground.rows),
        stream=ground.stream.child("teachers"),
        recipe=recipe,
        device=run.device,
    )
    return Rows(logits=nets.logits(ground.pool).cpu(), accuracy=ground.accuracy(nets))


@experiment
def students_of_few_images(run: Run, /, *, students: int = 1, size: int = SIZE) -> Rows:
    """Students (32 hidden units) of the labels of `size` images: accuracy on new images, a mean over
    `students`, one or more, on `size` images each; and the class that the first gives to each of these.
    """
    found = [_of_labels(run, 0, slice(one * size, (one + 1) * size)) for one in range(students)]
    return Rows(accuracy=torch.stack([one.accuracy for one in found]).mean(0), chosen=found[0].chosen)


@experiment
def students_of_few_images_again(run: Run, /, *, first: int = 0) -> Rows:
    """Students from another start, on the same images, or with `first` = 100 on a hundred others each."""
    return _of_labels(run, 1, slice(first, first + SIZE))


def _of_labels(run: Run, start: int, part: slice) -> Rows:
    ground = ground_of(run)
    nets = _student(ground, start, part, loss=label_loss)
    return Rows(accuracy=ground.accuracy(nets), chosen=nets.logits(ground.test).argmax(-1).cpu())


def as_trained(logits: Tensor, _: Stream, /) -> Tensor:
    """The teacher's logits."""
    return logits


def without_order(logits: Tensor, stream: Stream, /) -> Tensor:
    """The teacher's logits, those of the wrong classes in an order of chance for each example."""
    return shuffled_rest(logits.softmax(-1), stream).clamp_min(1e-30).log()


@experiment
def students_told_by_teachers(
    run: Run,
    /,
    *,
    targets: Targets = as_told,
    temperature: float = TEMPERATURE,
    smoothing: float = 0.0,
    teacher: Targets = as_trained,
    recipe: Recipe = TEACHER,
    students: int = 1,
    size: int = SIZE,
) -> Rows:
    """Equal students, on the same images and from the same starts, of teachers of all 1,000 images (whose
    own labels are smoothed by `smoothing`), each told what `targets` makes of the law φ_T of its teacher:
    accuracy on new images, a mean over the teacher's `students`, one or more, on `size` images each.
    """
    ground, found = ground_of(run), []
    logits = teachers_of_images.given(smoothing=smoothing, recipe=recipe).rows(run).logits
    for one in range(students):
        part = slice(one * size, (one + 1) * size)
        seen = teacher(_seen(logits, ground, part), ground.stream.child("teacher", one))
        law = targets((seen / temperature).softmax(-1), ground.stream.child("targets", one))
        found.append(_taught(ground, law, temperature, part))
    return Rows(accuracy=torch.stack(found).mean(0))


@experiment
def students_told_in_part(run: Run, /, *, targets: Targets = flat_rest, students: int = 2) -> Rows:
    """Of the students of teachers that are told what `targets` makes of the law of a teacher as it was
    trained: accuracy on new images, a mean over the teacher's `students`.
    """
    return students_told_by_teachers.given(targets=targets, students=students).rows(run)


@experiment
def students_of_rounded_logits(run: Run, /, *, bits: int = 3) -> Rows:
    """Equal students at T = 4, of the logits of their teachers, each example's rounded to 2^`bits` levels
    between its least and its largest: accuracy on new images.
    """
    ground = ground_of(run)
    part, logits = slice(SIZE), teachers_of_images.rows(run).logits
    law = (in_bits(_seen(logits, ground, part), bits) / TEMPERATURE).softmax(-1)
    return Rows(accuracy=_taught(ground, law, TEMPERATURE, part))


def _seen(logits: Tensor, ground: Ground, part: slice) -> Tensor:
    """The logits of each member's teacher on its own images, float64."""
    rows = ground.rows[:, part]
    return logits.gather(1, rows[..., None].expand(*rows.shape, logits.shape[-1])).double()


def _taught(ground: Ground, law: Tensor, temperature: float, part: slice) -> Tensor:
    """Accuracy of students whose law at this temperature is pulled towards `law`."""
    nets = _student(
        ground,
        0,
        part,
        teacher_probs=(temperature * law.log()).softmax(-1),  # whose law φ_T is the law that is told
        loss=distillation,
        settings={"temperature": temperature},
    )
    return ground.accuracy(nets)


def _student(ground: Ground, start: int, part: slice, **what: Any) -> Population:
    rows = ground.rows[:, part]
    return train(
        ground.mlp(32),
        ground.pool[rows],
        ground.labels[rows],
        members=len(rows),
        stream=ground.stream.child("students", start),
        recipe=STUDENT,
        device=ground.device,
        **what,
    )
