"""Effects of soft targets on training: the factor T², the peak at the interpolation threshold, a delay."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.doors import inside
from kdtheory.experiments.core import experiment
from kdtheory.experiments.folklore.students import SHARP, SIZE, ground_of, teachers_of_images
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.students import Ground
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation.mixing import ridge_path

__all__ = [
    "ADAM",
    "DESCENT",
    "errors_around_the_threshold",
    "errors_at_penalties",
    "students_from_large_starts",
    "students_with_and_without_the_square",
]

FACTOR = 2.0**30
"""The factor of both losses, so that Adam's ε = 1e-8 beside √v counts for nothing."""
ADAM = Recipe(steps=150, learning_rate=0.01)
DESCENT = Recipe(steps=300, learning_rate=0.5 / FACTOR, optimizer="sgd")
WIDTHS, THRESHOLD, DRAWS = (100, 200, 400), 200, 3
LEAST = 1e-9
PENALTIES = (LEAST, 0.01)
"""None to speak of, and one that takes the peak away; each design is decomposed once for both."""


def enlarged(logits: Tensor, probs: Tensor | None, labels: Tensor | None, /, **how: Any) -> Tensor:
    """2³⁰ times the loss of distillation."""
    return FACTOR * inside(distillation)(logits, probs, labels, **how)


@experiment
def students_with_and_without_the_square(
    run: Run, /, *, recipe: Recipe = ADAM, weight: float = 1.0, temperature: float = 8.0
) -> Rows:
    """Students (32 hidden units) of 100 images, with a `weight` of 1 − λ of the labels, from one
    start with the factor T² on the soft loss and without: their logits on new images, and their accuracy.
    """
    ground = ground_of(run)
    with_it, without = (_one(run, ground, recipe, weight, temperature, square) for square in (True, False))
    return Rows(
        with_logits=with_it.logits(ground.test).cpu(),
        without_logits=without.logits(ground.test).cpu(),
        with_accuracy=ground.accuracy(with_it),
        without_accuracy=ground.accuracy(without),
    )


def _one(
    run: Run, ground: Ground, recipe: Recipe, weight: float, temperature: float, square: bool
) -> Population:
    rows = ground.rows[:, :SIZE]
    logits = teachers_of_images.rows(run).logits.gather(1, rows[..., None].expand(-1, -1, ground.classes))
    return train(
        ground.mlp(32),
        ground.pool[rows],
        ground.labels[rows],
        teacher_probs=logits.softmax(-1),
        loss=enlarged,
        settings={"temperature": temperature, "weight": weight, "temperature_squared": square},
        members=len(rows),
        stream=ground.stream.child("students", 0),
        recipe=recipe,
        device=ground.device,
    )


@experiment
def errors_around_the_threshold(run: Run, /, *, penalty: float = LEAST) -> Rows:
    """Least squares on 100, 200 and 400 random features of 200 real images, with a ridge `penalty`, fitted to
    the logits of a teacher of all 1,000 and to the labels: the share of new images that each gets wrong,
    means over three draws of features and images for each of 24 teachers.
    """
    together = tuple(sorted({*PENALTIES, penalty}))
    found = errors_at_penalties.given(penalties=together).rows(run)
    place = together.index(penalty)
    return Rows(width=WIDTHS, soft=found.soft[:, place], hard=found.hard[:, place])


@experiment
def errors_at_penalties(run: Run, /, *, penalties: tuple[float, ...] = PENALTIES) -> Rows:
    """The errors of these fits, for each teacher at each of several ridge penalties and each width."""
    ground, logits = ground_of(run), teachers_of_images.rows(run).logits.double()
    labels = one_hot(ground.labels, ground.classes).double()
    found = [_errors(ground, one, labels, n, penalties) for n, one in enumerate(logits)]
    soft, hard = torch.stack(found).unbind(1)
    return Rows(soft=soft, hard=hard)


def _errors(
    ground: Ground, logits: Tensor, labels: Tensor, member: int, penalties: tuple[float, ...]
) -> Tensor:
    """Errors of what is fitted to a teacher's logits, and to the labels, at each penalty and width."""
    both = torch.cat([one - one.mean(-1, keepdim=True) for one in (logits, labels)], dim=-1)
    stream = ground.stream.child("features", member)
    found = torch.zeros(2, len(penalties), len(WIDTHS), dtype=torch.float64)
    for draw, (place, width) in itertools.product(range(DRAWS), enumerate(WIDTHS)):
        generator = stream.child(draw).torch()
        rows = torch.randperm(len(labels), generator=generator)[:THRESHOLD]
        weights = torch.randn(ground.pool.shape[1], width, dtype=torch.float64, generator=generator)
        seen, new = ((images.double() @ weights / 8).relu() for images in (ground.pool[rows], ground.test))
        fits = ridge_path(seen, both[rows], penalties=torch.tensor(penalties, dtype=torch.float64))
        for at, fit in enumerate(fits):
            fitted = (new @ fit).unflatten(-1, (2, -1)).argmax(-1)
            found[:, at, place] += (fitted != ground.test_labels[:, None]).double().mean(0) / DRAWS
    return found


@experiment
def students_from_large_starts(
    run: Run, /, *, temperature: float = 1.0, weight_decay: float = 0.02, steps: int = 300
) -> Rows:
    """Nets of two hidden layers of 32 units whose starts are 8 times the usual ones, and who learn 100 images
    by Adam with weight decay: they fit their images long before they know others. After so many steps the
    accuracy on new images of those that learn labels and of those that learn from a sharp teacher, and the
    share of their own images that the former give their label.
    """
    ground, alone = ground_of(run), nets_from_large_starts.given(weight_decay=weight_decay, steps=steps)
    rows = ground.rows[:, :SIZE]
    teachers = teachers_of_images.given(recipe=SHARP).rows(run).logits
    taught = _from_large_starts(
        ground,
        weight_decay,
        steps,
        teacher_probs=teachers.gather(1, rows[..., None].expand(-1, -1, ground.classes)).softmax(-1),
        loss=distillation,
        settings={"temperature": temperature},
    )
    found = alone.rows(run)
    return Rows(labels=found.accuracy, taught=ground.accuracy(taught), fitted=found.fitted)


@experiment
def nets_from_large_starts(run: Run, /, *, weight_decay: float = 0.02, steps: int = 300) -> Rows:
    """Those of these nets that learn labels: accuracy on new images, and the share of their own that they
    give their label.
    """
    ground = ground_of(run)
    rows = ground.rows[:, :SIZE]
    labels = ground.labels[rows]
    nets = _from_large_starts(ground, weight_decay, steps, labels=labels, loss=label_loss)
    chosen = nets.logits(ground.pool[rows]).argmax(-1).cpu()
    return Rows(accuracy=ground.accuracy(nets), fitted=(chosen == labels).double().mean(-1))


def _from_large_starts(
    ground: Ground, weight_decay: float, steps: int, *, labels: Tensor | None = None, **what: Any
) -> Population:
    rows, stream = ground.rows[:, :SIZE], ground.stream.child("large starts")
    architecture = MLP((ground.pool.shape[1], 32, 32, ground.classes))
    return train(
        architecture,
        ground.pool[rows],
        labels,
        members=len(rows),
        stream=stream,
        recipe=Recipe(steps=steps, learning_rate=0.005, weight_decay=weight_decay),
        initial=8 * architecture.init(stream, members=len(rows), dtype=torch.float64),
        device=ground.device,
        **what,
    )
