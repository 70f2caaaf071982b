"""Students of labels, of teachers and of each other, on real images.

A pool of 1,000 images to learn from; accuracy is that after the last step, on the other images (at most
1,000); students of one number share their rows of the pool and their starts whatever they learn from. The
rate falls to a tenth for the last quarter of the steps of Adam, where there is a teacher to a hundredth for
the last fifty. With T = 4 a student takes several times the steps that labels take; here all are given what
the slowest needs. Last come fifty steps of plain gradient descent, whose mean gradient shows convergence: at
a minimum of a net of ReLUs, where units switch, the gradient of a single step need not vanish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.doors import inside
from kdtheory.experiments.core import experiment
from kdtheory.experiments.response.image_logits import image_logits
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import (
    PeerDivergence,
    divergence_from_mean_peer,
    mean_peer_divergence,
    mutual_loss,
)
from kdtheory.networks import MLP, Architecture
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.schemes.cohort import Cohort
from kdtheory.streams import Stream

TUNED_ON = (100, 101, 102, 103, 104, 105)
STAGES = ((600, 0.01), (150, 0.001), (50, 0.0001))
FEWER = ((300, 0.01), (100, 0.001))
LAST_STEPS, LAST_RATE = 50, 0.001
TEMPERATURE, WEIGHT = 4.0, 0.9


@dataclass(frozen=True, eq=False)
class Ground:
    """The images that students learn from and are tested on, and each student's rows of the pool."""

    pool: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor
    rows: Tensor
    classes: int
    stream: Stream
    device: str

    @classmethod
    def of(cls, run: Run, stream: Stream, /, *, members: int, size: int) -> Ground:
        """Each of the members sees `size` images of the pool."""
        images = run.images
        order = torch.randperm(images.num_images, generator=stream.child("images").torch())[:2000]
        generator = stream.child("rows").torch()
        rows = [torch.randperm(1000, generator=generator)[:size] for _ in range(members)]
        pool, test = order.split(1000)
        x, y = images.inputs, images.labels
        return cls(
            x[pool], y[pool], x[test], y[test], torch.stack(rows), images.num_classes, stream, run.device
        )

    def mlp(self, hidden: int) -> MLP:
        """One hidden layer of ReLU units between pixels and classes."""
        return MLP((self.pool.shape[1], hidden, self.classes))

    def trained(
        self, architecture: Architecture, stages: tuple[tuple[int, float], ...], **what: Any
    ) -> tuple[Population, Tensor]:
        """Students on their own rows, from one start, and the norm of each one's mean last gradient."""
        go_on = partial(
            train,
            architecture,
            self.pool[self.rows],
            self.labels[self.rows],
            members=len(self.rows),
            stream=self.stream.child("students"),
            device=self.device,
            **what,
        )
        (steps, rate), *others = stages
        nets = go_on(recipe=Recipe(steps=steps, learning_rate=rate))
        for steps, rate in others:
            nets = go_on(recipe=Recipe(steps=steps, learning_rate=rate), initial=nets.params)
        last = go_on(
            recipe=Recipe(steps=LAST_STEPS, learning_rate=LAST_RATE, optimizer="sgd"), initial=nets.params
        )
        return last, (last.params - nets.params).norm(dim=1) / (LAST_STEPS * LAST_RATE)

    def accuracy(self, students: Population) -> Tensor:
        """Accuracy of each student on the test part."""
        return accuracy(students.logits(self.test).cpu(), self.test_labels)


def smoothed_labels(ground: Ground, /) -> Tensor:
    """9/10 of each label's mass on its class, the rest in even shares."""
    return 0.9 * one_hot(ground.labels, ground.classes).float() + 0.1 / ground.classes


def teacher_of_labels(ground: Ground, /) -> Tensor:
    """Probabilities of a net (128 hidden units) that learned the labels of the pool."""
    return _teacher(ground, ground.labels, 300)


def teacher_of_shuffled_labels(ground: Ground, /) -> Tensor:
    """Probabilities of a net that learned the labels of the pool in another order."""
    order = torch.randperm(len(ground.labels), generator=ground.stream.child("shuffle").torch())
    return _teacher(ground, ground.labels[order], 300)


def untrained_teacher(ground: Ground, /) -> Tensor:
    """Probabilities of a net that learned nothing."""
    return _teacher(ground, ground.labels, 0)


def _teacher(ground: Ground, labels: Tensor, steps: int) -> Tensor:
    teacher = train(
        ground.mlp(128),
        ground.pool,
        labels,
        loss=label_loss,
        members=1,
        stream=ground.stream.child("teacher"),
        recipe=Recipe(steps=steps, learning_rate=0.01),
        device=ground.device,
    )
    return teacher.logits(ground.pool)[0].softmax(-1).cpu()


def _hundred_each(run: Run) -> Ground:
    """One ground for the students of labels and of every teacher: 100 images each."""
    stream = students_of_few_labels.stream(run.stream.seed)
    return Ground.of(run, stream, members=run.size(quick=16, full=100), size=100)


@experiment(tuned_on=TUNED_ON)
def students_of_few_labels(run: Run, /) -> Rows:
    """Accuracy of 16 students (16 hidden units), each on the labels of 100 real images of a pool of 1,000,
    after the last step and on the other images; the norm of their mean gradient over the last 50 steps.
    """
    ground = _hundred_each(run)
    nets, gradient = ground.trained(ground.mlp(16), STAGES, loss=label_loss)
    return Rows(accuracy=ground.accuracy(nets), gradient=gradient)


@experiment(tuned_on=TUNED_ON)
def students_taught_on_few_points(
    run: Run, /, *, teacher: Callable[[Ground], Tensor] = teacher_of_labels
) -> Rows:
    """Accuracy of the same students, on the same images and from the same starts, distilled with T = 4 and
    λ = 0.9 from what a teacher says of the pool; the norm of their gradient, without its factor λT².
    """
    ground = _hundred_each(run)
    nets, gradient = ground.trained(
        ground.mlp(16),
        STAGES,
        teacher_probs=teacher(ground)[ground.rows],
        loss=distillation,
        settings={"temperature": TEMPERATURE, "weight": WEIGHT},
    )
    return Rows(accuracy=ground.accuracy(nets), gradient=gradient / (WEIGHT * TEMPERATURE**2))


def away_from_the_peer(student: Tensor, peers: Tensor, /, *, temperature: float) -> Tensor:
    """−0.3 of the mean divergence from the peers."""
    return -0.3 * inside(mean_peer_divergence)(student, peers, temperature=temperature)


@experiment(tuned_on=TUNED_ON)
def independent_pairs(run: Run, /) -> Rows:
    """32 pairs of students (16 hidden units) of the labels of the same 50 real images: the share of new
    images on which the two agree, and the norm of their mean gradient over the last 50 steps.
    """
    return _pairs(run, weight=0.0)


@experiment(tuned_on=TUNED_ON)
def mutual_learners(run: Run, /, *, divergence: PeerDivergence = mean_peer_divergence) -> Rows:
    """Pairs with the images and the starts of the independent ones, where each student also minimises a
    divergence from the other one (w = T = 1).
    """
    return _pairs(run, weight=1.0, divergence=divergence)


def _pairs(run: Run, **settings: Any) -> Rows:
    stream = independent_pairs.stream(run.stream.seed)
    ground = Ground.of(run, stream, members=run.size(quick=32, full=100), size=50)
    cohort = Cohort(ground.mlp(16), peers=2)
    nets, gradient = ground.trained(
        cohort, FEWER, loss=mutual_loss, settings={"peers": 2, "temperature": 1.0, **settings}
    )
    first, second = nets.logits(ground.test).unflatten(-1, (2, -1)).argmax(-1).unbind(-1)
    return Rows(agreement=(first == second).double().mean(-1).cpu(), gradient=gradient)


def arithmetic_mean(peers: Tensor, /) -> Tensor:
    """Peers whose probabilities are averaged: all of them."""
    return peers


def geometric_mean(peers: Tensor, /) -> Tensor:
    """One peer, whose logits are the mean of those of all."""
    return peers.mean(0, keepdim=True)


@experiment
def gradients_of_mutual_learning(
    run: Run, /, *, ensemble: Callable[[Tensor], Tensor] = arithmetic_mean
) -> Rows:
    """Gradients by automatic differentiation of both forms of mutual learning, in the logits of a student on
    200 real images with three peers, at T = 1 and 3.
    """
    student, teacher, _ = image_logits(run, run.size(quick=200, full=2000), spread=3.0)
    peers = torch.stack([teacher, teacher.roll(1, -1) / 2, student.roll(1, 0)])
    leaf, together = student.clone().requires_grad_(), ensemble(peers)

    def gradient(values: Tensor) -> Tensor:
        return torch.autograd.grad(values.sum(), leaf)[0]

    apart = [gradient(mean_peer_divergence(leaf, peers, temperature=t)) for t in (1.0, 3.0)]
    mean = [gradient(divergence_from_mean_peer(leaf, together, temperature=t)) for t in (1.0, 3.0)]
    return Rows(of_the_mean_divergence=torch.cat(apart), of_the_divergence_from_the_mean=torch.cat(mean))
