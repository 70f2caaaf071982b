"""Students trained on one-hot, on Bayes and on imperfect teachers' labels, and their excess risk.

Students minimise the empirical or the distilled risk of the log loss plus λ‖θ‖²/2, from the same
initialisations and on the same points; the excess risk is exact, over all images. Since λ decides much, every
student is judged at the best λ of a grid, chosen by its true risk: the comparison is between labels and not
between regularisers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import Teacher, bayes, distilled_log_loss, relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss, zero_one_loss
from kdtheory.networks import MLP
from kdtheory.populations import Loss, Population, train
from kdtheory.problems import FiniteWorld, TeacherWorld, kernel_teacher, linear_teacher
from kdtheory.recipe import Recipe
from kdtheory.risk.calibration import calibration_error
from kdtheory.risk.population import excess_risk, population_risk
from kdtheory.streams import Stream
from kdtheory.types import Sample

TOLERANCE = 0.1
"""The largest gradient norm of a student that has converged."""
SCHEDULE = ((120, 0.02), (40, 0.002), (240, 0.01), (40, 0.001), (480, 0.005), (80, 0.0005))
DECAYS = (1e-3, 1e-2)
SIZES = (40, 100, 250)


def sharpened(world: FiniteWorld) -> Tensor:
    """p*(x)³, normalised: every argmax is right, and too sure."""
    return (3 * world.probs.log()).softmax(-1)


def over_cells(world: FiniteWorld) -> Tensor:
    """E[p* | cell], cells of about four images, by the nearest of some of them: a calibrated forecast."""
    cells = world.num_atoms // 4
    places = torch.randperm(world.num_atoms, generator=Stream(0).child("worlds", "cells").torch())[:cells]
    inputs = world.inputs.double()
    cell = torch.cdist(inputs, inputs[places]).argmin(-1)
    mass = torch.zeros(cells, dtype=torch.float64).index_add(0, cell, world.weights)
    total = torch.zeros(cells, world.num_classes, dtype=torch.float64)
    total = total.index_add(0, cell, world.weights[:, None] * world.probs)
    means: Tensor = (total / mass.clamp_min(1e-300)[:, None])[cell]
    return means


@experiment
def students_of_labels(run: Run, /, *, n: int = 250) -> Rows:
    """16 networks, each trained on the redrawn labels of n real images of its own, at the better of two
    weight decays: excess risk in log loss, error, and the largest gradient norm of all.
    """
    return _students(run, n, label_loss, None)


@experiment
def students_of_a_teacher(run: Run, /, *, n: int = 250, teacher: Teacher = bayes) -> Rows:
    """16 networks, each trained on a teacher's probabilities of n real images of its own, at the better of
    two weight decays: excess risk in log loss, error, and the largest gradient norm of all.
    """
    return _students(run, n, distilled_log_loss, teacher(relabelled_world(run)).float())


@experiment
def students_over_the_sample_size(run: Run, /, *, teacher: Teacher = bayes) -> Rows:
    """Real images with redrawn labels, N = 40, 100, 250; 16 pairs of students at each, one of labels and one
    of a teacher, on the same images: excess risks and mean errors, N × pairs.
    """
    one_hot = [students_of_labels.given(n=n).rows(run) for n in SIZES]
    taught = [students_of_a_teacher.given(n=n, teacher=teacher).rows(run) for n in SIZES]
    return Rows(
        n=SIZES,
        one_hot=torch.stack([rows.excess for rows in one_hot]),
        taught=torch.stack([rows.excess for rows in taught]),
        one_hot_error=[float(rows.error.mean()) for rows in one_hot],
        taught_error=[float(rows.error.mean()) for rows in taught],
        gradient=max(rows.gradient for rows in (*one_hot, *taught)),
    )


@experiment
def students_of_two_teachers(run: Run, /, *, accurate: Teacher = sharpened) -> Rows:
    """16 pairs of students on 250 real images of their own: of a teacher A that is as accurate as can be, and
    of a teacher B that gives the mean of p* over cells of about four images that lie close together, which is
    calibrated exactly, and loses accuracy. Excess risks, mean errors, and how good the teachers are.
    """
    world, teachers = relabelled_world(run), (accurate, over_cells)
    students = [students_of_a_teacher.given(teacher=teacher).rows(run) for teacher in teachers]
    probs = [teacher(world) for teacher in teachers]
    return Rows(
        excess=torch.stack([rows.excess for rows in students]),
        students_error=[float(rows.error.mean()) for rows in students],
        accuracy=[1 - float(_risk(world, zero_one_loss(each.log()))) for each in probs],
        confidence=[float(world.expectation(each.amax(-1))) for each in probs],
        calibration_error=[float(calibration_error(each, world.probs, world.weights)) for each in probs],
        gradient=max(rows.gradient for rows in students),
    )


def _students(run: Run, n: int, loss: Loss, probs: Tensor | None) -> Rows:
    """One network for each sample, always on the same samples and from the same starts."""
    root = Stream(run.stream.seed).child("experiments", "students")
    world, members = relabelled_world(run), run.size(quick=16, full=100)
    sample = world.sample((members, n), root.child("samples", n))
    told = None if probs is None else probs[sample.atoms]
    best = log_loss(world.probs.log())
    excesses, errors, gradients = [], [], []  # one entry a decay
    for decay in DECAYS:
        nets = _trained(run, sample, told, loss, decay, root.child("students"))
        logits = nets.logits(world.inputs).cpu().double()
        excesses.append(excess_risk(log_loss(logits), best, world.probs, world.weights))
        errors.append(_risk(world, zero_one_loss(logits)))
        gradients.append(float(nets.gradient_norm.max()))
    chosen = torch.stack(excesses).min(0)
    error = torch.stack(errors).gather(0, chosen.indices[None])[0]
    return Rows(excess=chosen.values, error=error, gradient=max(gradients))


def _trained(
    run: Run, sample: Sample, told: Tensor | None, loss: Loss, decay: float, stream: Stream
) -> Population:
    """Adam by the schedule, as far as convergence asks; tanh, whose gradient norm can vanish."""
    architecture = MLP((sample.inputs.shape[-1], 32, sample.probs.shape[-1]), activation="tanh")
    initial = None
    for steps, rate in SCHEDULE:
        nets = train(
            architecture,
            sample.inputs,
            sample.labels,
            teacher_probs=told,
            loss=loss,
            members=len(sample.inputs),
            stream=stream,
            recipe=Recipe(steps=steps, learning_rate=rate, weight_decay=decay),
            initial=initial,
            device=run.device,
        )
        if rate <= 0.002 and bool(nets.converged(TOLERANCE).all()):
            break
        initial = nets.params
    return nets


def _risk(world: FiniteWorld, losses: Tensor) -> Tensor:
    return population_risk(losses, world.probs, world.weights)


def linear() -> TeacherWorld:
    """A linear teacher, in the class of linear students."""
    return linear_teacher(Stream(0).child("worlds", "linear"), dim=5, num_classes=3, scale=2.0)


def kernel() -> TeacherWorld:
    """A teacher that is a sum of kernels, outside their class."""
    return kernel_teacher(Stream(0).child("worlds", "kernel"), dim=5, num_classes=3, scale=2.0, bandwidth=2.0)


@experiment
def linear_students_over_the_sample_size(run: Run, /, *, truth: Callable[[], TeacherWorld] = linear) -> Rows:
    """Linear soft-max students, decay 1/N and 0.01, Gaussian inputs in five dimensions, three classes, at
    three N from 60 to 600, 32 pairs: the excess risk on 2,000 fresh inputs of students of Bayes labels over
    that of students of one-hot labels; pairs × N.
    """
    world, sizes = truth(), (60, 190, 600)
    pool = world.sample(2000, run.stream.child("pool"))
    sample = world.sample((run.size(quick=32, full=200), sizes[-1]), run.stream.child("samples"))
    columns, gradients = {}, []
    for name, decays in (("falling", [1 / n for n in sizes]), ("constant", [0.01] * len(sizes))):
        ratios = []
        for n, decay in zip(sizes, decays, strict=True):
            excesses = []
            for loss in (distilled_log_loss, label_loss):
                nets = _linear_students(run, sample, n, loss, decay)
                excesses.append(_excess_on_pool(nets.logits(pool.inputs.float()).cpu().double(), pool))
                gradients.append(float(nets.gradient_norm.max()))
            ratios.append(excesses[0] / excesses[1])
        columns[name] = torch.stack(ratios, 1)
    return Rows(n=sizes, gradient=max(gradients), **columns)


def _linear_students(run: Run, sample: Sample, n: int, loss: Loss, weight_decay: float) -> Population:
    """Convex: a hundred steps of gradient descent with momentum from zero come to the minimum."""
    architecture, members = MLP((5, 3)), len(sample.inputs)
    return train(
        architecture,
        sample.inputs[:, :n].float(),
        sample.labels[:, :n],
        teacher_probs=sample.probs[:, :n].float(),
        loss=loss,
        members=members,
        stream=run.stream.child("students"),
        recipe=Recipe(steps=100, learning_rate=0.5, optimizer="sgd", momentum=0.9, weight_decay=weight_decay),
        initial=torch.zeros(members, architecture.size),
        device=run.device,
    )


def _excess_on_pool(logits: Tensor, pool: Sample) -> Tensor:
    weights = torch.full((len(pool.probs),), 1 / len(pool.probs), dtype=torch.float64)
    return excess_risk(log_loss(logits), log_loss(pool.probs.log()), pool.probs, weights)
