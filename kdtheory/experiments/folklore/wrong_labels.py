"""Networks that learn wrong labels by heart, their students, their ensembles, and rounds of students.

For each of 24 seeds 200 images, of whose labels a fifth are replaced by wrong ones, and four nets of 32
hidden units that learn them from starts of their own. Steps are fixed beforehand, and full batches; accuracy,
calibration and confidence are those on new images with their true labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.folklore.students import TEMPERATURE, members_of
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.students import Ground
from kdtheory.losses import distillation, label_loss
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy, top_label_calibration_error

__all__ = [
    "EARLY",
    "LONG",
    "SHORT",
    "calibration_of_ensembles",
    "calibration_of_their_students",
    "nets_of_wrong_labels",
    "new_images",
    "own_images",
    "rounds_of_students",
    "students_of_wrong_labels",
]

SIZE, WRONG, ENSEMBLE = 200, 40, 4
RATE, LONG, SHORT, EARLY = 0.02, 150, 40, 20
Points = Callable[[Ground], Tensor]


def _ground(run: Run) -> Ground:
    stream = nets_of_wrong_labels.stream(run.stream.seed)
    return Ground.of(run, stream, members=members_of(run), size=SIZE)


def _wrong_labels(ground: Ground) -> Tensor:
    """Labels of the first `WRONG` images of each seed replaced by others, each as likely; the rest as is."""
    labels = ground.labels[ground.rows].clone()
    shape, generator = labels[:, :WRONG].shape, ground.stream.child("wrong").torch()
    labels[:, :WRONG] += torch.randint(1, ground.classes, shape, generator=generator)
    return labels % ground.classes


@experiment
def nets_of_wrong_labels(run: Run, /, *, steps: int = LONG) -> Rows:
    """Four nets for each seed, after `steps` steps: their logits on their own images, on the whole pool and
    on new images.
    """
    ground = _ground(run)
    labels = _wrong_labels(ground).repeat_interleave(ENSEMBLE, 0)
    nets = train(
        ground.mlp(32),
        ground.pool[ground.rows.repeat_interleave(ENSEMBLE, 0)],
        labels,
        loss=label_loss,
        members=len(labels),
        stream=ground.stream.child("nets"),
        recipe=Recipe(steps=steps, learning_rate=RATE),
        device=run.device,
    )
    pool, new = (
        nets.logits(points).cpu().unflatten(0, (-1, ENSEMBLE)) for points in (ground.pool, ground.test)
    )
    return Rows(pool=pool, new=new)


@experiment
def students_of_wrong_labels(run: Run, /, *, steps: int = LONG, temperature: float = TEMPERATURE) -> Rows:
    """A student of the first net of each seed, on the same images, after `steps` steps: the share of the
    wrong labels that it repeats, its accuracy, and both of its teacher.
    """
    ground, taught = _ground(run), nets_of_wrong_labels.rows(run)
    teacher = taught.pool[:, 0].gather(1, _places(ground))
    student = _taught(ground, ground.pool[ground.rows], teacher.softmax(-1), 1, steps, temperature)
    wrong, own = _wrong_labels(ground)[:, :WRONG], student.logits(ground.pool[ground.rows]).cpu()
    return Rows(
        repeated=accuracy(own[:, :WRONG], wrong),
        repeated_by_teacher=accuracy(teacher[:, :WRONG], wrong),
        accuracy=ground.accuracy(student),
        of_teacher=accuracy(taught.new[:, 0], ground.test_labels.expand(len(wrong), -1)),
    )


@experiment
def rounds_of_students(run: Run, /, *, steps: int = LONG, rounds: int = 3) -> Rows:
    """Rounds of students at T = 4, the first of the first net of each seed, which learned to the end, and
    each of the student before it, on the same images, every one from a fresh start and for `steps` steps:
    accuracy of that net and after each round, [rounds + 1, seeds].
    """
    ground, taught = _ground(run), nets_of_wrong_labels.rows(run)
    told, points = taught.pool[:, 0].gather(1, _places(ground)), ground.pool[ground.rows]
    accuracies = [(taught.new[:, 0].argmax(-1) == ground.test_labels).double().mean(-1)]
    for turn in range(1, rounds + 1):
        student = _taught(ground, points, told.softmax(-1), turn, steps, TEMPERATURE)
        told = student.logits(points).cpu()
        accuracies.append(ground.accuracy(student))
    return Rows(accuracy=torch.stack(accuracies))


@experiment
def calibration_of_ensembles(run: Run, /, *, steps: int = LONG) -> Rows:
    """The mean calibration error (ECE, 15 bins) of the four nets of each seed after `steps` steps, that of
    the mean of their probabilities, and how far mean confidence lies above accuracy for both.
    """
    ground = _ground(run)
    probs = nets_of_wrong_labels.given(steps=steps).rows(run).new.softmax(-1)
    single, above = _calibration(probs.flatten(0, 1), ground)
    together, both_above = _calibration(probs.mean(1), ground)
    return Rows(
        single=single.unflatten(0, (-1, ENSEMBLE)).mean(1),
        ensemble=together,
        single_above=above.unflatten(0, (-1, ENSEMBLE)).mean(1),
        ensemble_above=both_above,
    )


def own_images(ground: Ground, /) -> Tensor:
    """Each seed's images, which the ensemble has learned: their places in the pool."""
    return ground.rows


def new_images(ground: Ground, /) -> Tensor:
    """400 images of the pool for each seed that its ensemble has not learned: their places."""
    generator, count = ground.stream.child("new images").torch(), len(ground.pool)
    orders = [torch.randperm(count, generator=generator) for _ in ground.rows]
    return torch.stack(
        [order[~torch.isin(order, own)][:400] for order, own in zip(orders, ground.rows, strict=True)]
    )


@experiment
def calibration_of_their_students(run: Run, /, *, points: Points = own_images) -> Rows:
    """A student of each ensemble's mean probabilities (T = 1) over `points`, to the end: its calibration
    error, and those of the ensemble and of its nets.
    """
    ground, known = _ground(run), calibration_of_ensembles.rows(run)
    rows = points(ground)
    probs = nets_of_wrong_labels.rows(run).pool.softmax(-1).mean(1)
    told = probs.gather(1, rows[..., None].expand(-1, -1, ground.classes))
    student = _taught(ground, ground.pool[rows], told, 1, LONG, 1.0)
    error, _ = _calibration(student.logits(ground.test).cpu().softmax(-1), ground)
    return Rows(student=error, ensemble=known.ensemble, single=known.single)


def _places(ground: Ground) -> Tensor:
    return ground.rows[..., None].expand(-1, -1, ground.classes)


def _taught(
    ground: Ground, points: Tensor, told: Tensor, turn: int, steps: int, temperature: float
) -> Population:
    what: dict[str, Any] = {"loss": distillation, "settings": {"temperature": temperature}}
    return train(
        ground.mlp(32),
        points,
        teacher_probs=told,
        members=len(points),
        stream=ground.stream.child("round", turn),
        recipe=Recipe(steps=steps, learning_rate=RATE),
        device=ground.device,
        **what,
    )


def _calibration(probs: Tensor, ground: Ground) -> tuple[Tensor, Tensor]:
    """Calibration error of each member, and by how much its mean confidence exceeds its accuracy."""
    errors = torch.stack([top_label_calibration_error(one, ground.test_labels) for one in probs])
    confidence, chosen = probs.max(-1)
    return errors, (confidence - (chosen == ground.test_labels).float()).mean(-1)
