"""Models that learn from models: imitation steps, heads on frozen features, rounds of learning, gradients."""

from __future__ import annotations

import torch
from scipy import optimize
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.imitation import first_order_alignment, imitation_step
from kdtheory.losses import kl_divergence, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.risk import variance_reduction
from kdtheory.self_distillation import recursive_errors
from kdtheory.weak_to_strong import distilled_head, head_logits

__all__ = [
    "errors_over_rounds",
    "heads_on_frozen_features",
    "imitation_steps",
    "variances_of_gradients",
]

NET, IDLE = MLP((10, 16, 8), activation="tanh"), slice(5, 8)
EPSILONS = tuple(2.0**-power for power in range(7, 13))
IMAGES, FEATURES = 300, 16
POINTS, DIM, ROUNDS = 20, 4, 12


@experiment
def imitation_steps(run: Run, /, *, apart: float = 0.0) -> Rows:
    """64 tanh nets of 16 units and teachers ε times a random move away, ε = 2⁻⁷ … 2⁻¹²: a step on the idle
    outputs (three of eight) at Gaussian noise, of a student that starts at the same net (`apart` 0) or at
    another one (1): its inner product with the move, and ε times the closed form.
    """
    moved = moves_of_teachers.rows(run)
    starts, moves, noise = moved.start, moved.move, moved.inputs
    others = NET.init(run.stream.child("other"), members=len(starts), dtype=torch.float64)
    students, along = (1 - apart) * starts + apart * others, []
    for start, student, move, inputs in zip(starts, students, moves, noise, strict=True):
        teachers = (start + epsilon * move for epsilon in EPSILONS)
        steps = [
            imitation_step(NET, student, teacher, inputs, step_size=1.0, outputs=IDLE) for teacher in teachers
        ]
        along.append(torch.stack(steps) @ move)
    epsilons = torch.tensor(EPSILONS, dtype=torch.float64)
    return Rows(epsilon=EPSILONS, along=torch.stack(along), closed=moved.closed[:, None] * epsilons)


@experiment
def moves_of_teachers(run: Run, /) -> Rows:
    """64 tanh nets of 16 units, a random move and 20 Gaussian inputs for each, and the closed form of
    ⟨Δθ_S, Δ⟩/ε for a student that starts at the net and imitates three of its eight outputs.
    """
    trials, stream = run.size(quick=64, full=640), imitation_steps.stream(run.stream.seed)
    starts = NET.init(stream.child("start"), members=trials, dtype=torch.float64)
    generator = stream.child("moves").torch()
    moves = torch.randn(trials, NET.size, dtype=torch.float64, generator=generator)
    noise = torch.randn(trials, 20, NET.input_shape[0], dtype=torch.float64, generator=generator)
    closed = [
        first_order_alignment(NET, *one, step_size=1.0, outputs=IDLE)
        for one in zip(starts, moves, noise, strict=True)
    ]
    return Rows(start=starts, move=moves, inputs=noise, closed=torch.stack(closed))


@experiment
def frozen_features_of_images(run: Run, /) -> Rows:
    """300 real images: 16 random features tanh(w·x), the logits of a net of 32 units that was trained on the
    labels of half of them, and the head that is nearest to the labels' smoothed law.

    Every image moves every weight: of a feature that is zero but at a few images of which the teacher is
    nearly certain, the weight at the minimum would be known to no digit of float64.
    """
    images, stream = run.images, run.stream
    chosen = torch.randperm(images.num_images, generator=stream.child("images").torch())[:IMAGES]
    inputs, labels = images.inputs[chosen], images.labels[chosen]
    half = IMAGES // 2
    teacher = train(
        MLP((images.dim, 32, images.num_classes)),
        inputs[:half],
        labels[:half],
        loss=label_loss,
        members=1,
        stream=stream.child("teacher"),
        recipe=Recipe(steps=100, learning_rate=0.01),
        device="cpu",
    )
    weights = torch.randn(
        images.dim, FEATURES, dtype=torch.float64, generator=stream.child("features").torch()
    )
    features = (inputs.double() @ weights / images.dim**0.5).tanh()
    one_hot = torch.nn.functional.one_hot(labels, images.num_classes).double()
    smoothed = 0.9 * one_hot + 0.1 / images.num_classes
    return Rows(
        features=features,
        teacher=teacher.logits(inputs)[0].double(),
        fitted=distilled_head(features, smoothed),
    )


@experiment
def heads_on_frozen_features(run: Run, /, *, temperature: float = 1.0) -> Rows:
    """Random features of 300 real images and a net trained on half of their labels: the misfit
    KL(teacher‖student) of a head distilled from it at this temperature; and, for 12 random heads and the one
    fitted to the labels' smoothed law, the divergences from the teacher and from the student. The same in
    squares of the logits, for the head of least squares, and for that without negative weights beside random
    heads without any.
    """
    frozen = frozen_features_of_images.rows(run)
    student = temperature * distilled_head(frozen.features, (frozen.teacher / temperature).softmax(-1))
    heads = [
        torch.randn(student.shape, dtype=torch.float64, generator=run.stream.child("head", n).torch())
        for n in range(run.size(quick=12, full=120))
    ]
    logits = [head_logits(head, frozen.features) for head in (*heads, frozen.fitted)]
    inside = head_logits(student, frozen.features)
    design = torch.nn.functional.pad(frozen.features, (0, 1), value=1.0)
    least = torch.linalg.lstsq(design, frozen.teacher, driver="gelsd").solution
    cone = [torch.from_numpy(optimize.nnls(design.numpy(), one.numpy())[0]) for one in frozen.teacher.T]
    return Rows(
        squares=_squares(frozen, least, [*heads, frozen.fitted]),
        cone=_squares(frozen, torch.stack(cone, 1), [head.abs() for head in heads]),
        misfit=kl_divergence(inside, frozen.teacher).mean(),
        from_teacher=torch.stack([kl_divergence(one, frozen.teacher).mean() for one in logits]),
        from_student=torch.stack([kl_divergence(one, inside).mean() for one in logits]),
    )


def _squares(frozen: Rows, student: Tensor, heads: list[Tensor]) -> Tensor:
    """Mean squared distances: teacher to student; each head to the student; each head to the teacher."""
    inside = head_logits(student, frozen.features)
    others = torch.stack([head_logits(head, frozen.features) for head in heads])
    misfit = (frozen.teacher - inside).square().sum(-1).mean()
    mine, theirs = ((others - one).square().sum(-1).mean(-1) for one in (inside, frozen.teacher))
    return torch.stack([misfit.expand_as(mine), mine, theirs])


@experiment
def errors_over_rounds(
    run: Run,
    /,
    *,
    accumulate: bool = False,
    noisy_labels: bool = True,
    points: int = POINTS,
    rounds: int = ROUNDS,
    histories: int = 12_000,
) -> Rows:
    """Least squares on so many `points` a round in 4 dimensions, noise of variance 1: the squared errors of
    the `rounds` in all `histories` (ten times as many at the full tier), each fitted to fresh inputs that the
    last fit labels, with noise of their own where `noisy_labels`; those of all rounds so far where data
    `accumulate`.
    """
    errors = recursive_errors(
        run.stream,
        rounds=rounds,
        replicates=run.size(quick=histories, full=10 * histories),
        accumulate=accumulate,
        noisy_labels=noisy_labels,
        n=points,
        dim=DIM,
        noise_variance=1.0,
    )
    return Rows(error=errors, n=points, dim=DIM, noise_variance=1.0)


@experiment
def variances_of_gradients(run: Run, /, *, away: float = 0.0) -> Rows:
    """40 random finite worlds of 12 points in 4 dimensions, a linear model under squared loss at its optimum,
    a teacher `away` from it: the variance of the stochastic gradient of the mixed loss by autodiff at
    λ = 0.3, at λ* and at 1, as a share of the plain one, and by the closed form; and by autodiff at λ* ± ½.
    """
    exact, closed, removed, sides = [], [], [], []
    for trial in range(run.size(quick=40, full=400)):
        generator = run.stream.child(trial).torch()
        inputs = torch.randn(12, DIM, dtype=torch.float64, generator=generator)
        labels = torch.randn(12, dtype=torch.float64, generator=generator)
        weights = torch.rand(12, dtype=torch.float64, generator=generator)
        weights = weights / weights.sum()
        root = weights.sqrt()
        system, wanted = root[:, None] * inputs, (root * labels)[:, None]
        optimum = torch.linalg.lstsq(system, wanted, driver="gels").solution[:, 0]
        theta = optimum + away * torch.randn(DIM, dtype=torch.float64, generator=generator)
        own, teachers = (_gradients(inputs, labels, at, at, 0.0) for at in (optimum, theta))
        found = variance_reduction(own, teachers, weights)
        best = float(found.weight)
        at = {
            weight: _variance(_gradients(inputs, labels, optimum, theta, weight), weights) / found.plain
            for weight in (0.3, best, 1.0, best - 0.5, best + 0.5)
        }
        exact += [at[0.3], at[best]]
        closed += [found.at(weight) / found.plain for weight in (0.3, best)]
        removed.append(at[1.0])
        sides.append(torch.stack([at[best - 0.5], at[best + 0.5]]))
    below, above = torch.stack(sides, 1)
    return Rows(
        exact=torch.stack(exact),
        closed=torch.stack(closed),
        left=torch.stack(removed),
        below=below,
        above=above,
    )


def _gradients(inputs: Tensor, labels: Tensor, theta: Tensor, teacher: Tensor, weight: float) -> Tensor:
    """Gradients of (1−λ)½(xᵀθ − y)² + λ½(xᵀθ − xᵀθ_T)², one row a point, by automatic differentiation."""
    leaf = theta.expand(len(inputs), -1).clone().requires_grad_()
    said = (inputs * leaf).sum(-1)
    loss = (1 - weight) * (said - labels).square() / 2 + weight * (said - inputs @ teacher).square() / 2
    return torch.autograd.grad(loss.sum(), leaf)[0]


def _variance(rows: Tensor, weights: Tensor) -> Tensor:
    return weights @ (rows - weights @ rows).square().sum(-1)
