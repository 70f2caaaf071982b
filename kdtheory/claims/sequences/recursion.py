"""Chapter 8.7 and 8.8: linear models that learn from models: errors over rounds, variance of gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Joint, MeanInequality
from kdtheory.risk import VarianceReduction, variance_reduction
from kdtheory.self_distillation import accumulated_error_limit, recursive_errors, replaced_error

POINTS, DIM, ROUNDS = 20, 4, 6
GAUSSIAN = "Inputs are Gaussian, fresh in every round, and the noise is independent of them."


def _over_n(rounds: int, /, *, n: int, dim: int, noise_variance: float) -> float:
    return rounds * noise_variance * dim / n


def _not_growing(
    rounds: int, /, *, n: int, dim: int, noise_variance: float, _true: Callable[..., float] = replaced_error
) -> float:
    return _true(1, n=n, dim=dim, noise_variance=noise_variance)


def _with_the_first_round_alone(
    *, n: int, dim: int, noise_variance: float, _true: Callable[..., float] = replaced_error
) -> float:
    return _true(1, n=n, dim=dim, noise_variance=noise_variance)


@claim(
    section="8.7",
    formula=r"\mathbb E\lVert\hat w_g - w\rVert^2 = g\,\frac{\sigma^2 d}{n-d-1}",
    source="gerstgrasser2024model",
    place="derived here",
    assumes=(GAUSSIAN, "Each round's data replace those before."),
    control=Control("the labels of later rounds carry no noise of their own", noisy_labels=False),
    uses=(recursive_errors, replaced_error),
    mutants=(
        Mutant("n in the place of n − d − 1", replaced_error, _over_n),
        Mutant("no growth", replaced_error, _not_growing),
    ),
    power=Scaled(replaced_error),
)
def replaced_data_let_the_error_grow_with_each_round(
    setting: Setting, /, *, noisy_labels: bool = True
) -> Evidence:
    """Where each round is fitted to fresh inputs that the last fit labels with fresh noise, the expected
    error grows by σ²d/(n−d−1) a round, without end.

    How it's judged: least squares on 20 points in 4 dimensions, errors of rounds 2, 4 and 6 over 15,000
    histories, within 5 % of the closed form. Where the last fit's own outputs are the labels, the first error
    is passed on and does not grow.
    """
    errors = recursive_errors(
        setting.stream,
        rounds=ROUNDS,
        replicates=setting.size(quick=15_000, full=150_000),
        n=POINTS,
        dim=DIM,
        noise_variance=1.0,
        accumulate=False,
        noisy_labels=noisy_labels,
    )
    parts: dict[str, Evidence] = {}
    for number in (2, 4, 6):
        found = errors[:, number - 1]
        closed = replaced_error(number, n=POINTS, dim=DIM, noise_variance=1.0)
        parts[f"round {number}"] = Equality.of(found, torch.full_like(found, closed), margin=0.05)
    return Joint(parts=parts)


@claim(
    section="8.7",
    formula=r"\mathbb E\lVert\hat w_g - w\rVert^2 \le \frac{\pi^2}{6}\,\frac{\sigma^2 d}{n-d-1}"
    r"\quad\text{for all } g",
    source="gerstgrasser2024model",
    place="derived here",
    assumes=(GAUSSIAN, "Each round is fitted to the data of all rounds so far."),
    control=Control("each round's data replace those before", accumulate=False),
    uses=(recursive_errors, accumulated_error_limit),
    mutants=(Mutant("the limit of one round", accumulated_error_limit, _with_the_first_round_alone),),
    power=Scaled(accumulated_error_limit, towards="less"),
)
def accumulated_data_keep_the_error_bounded(setting: Setting, /, *, accumulate: bool = True) -> Evidence:
    """Where each round is fitted to all data so far, real and made up, the expected error stays below
    (π²/6)·σ²d/(n−d−1) in every round.

    How it's judged: least squares on 20 points a round in 4 dimensions, rounds 3 and 12 over 15,000
    histories.
    """
    errors = recursive_errors(
        setting.stream,
        rounds=2 * ROUNDS,
        replicates=setting.size(quick=15_000, full=150_000),
        n=POINTS,
        dim=DIM,
        noise_variance=1.0,
        accumulate=accumulate,
    )
    limit = accumulated_error_limit(n=POINTS, dim=DIM, noise_variance=1.0)
    return Joint(
        parts={
            f"round {number}": MeanInequality.of(errors[:, number - 1], torch.full_like(errors[:, 0], limit))
            for number in (3, 2 * ROUNDS)
        }
    )


def _covariance_doubled(
    *rows: Tensor, _true: Callable[..., VarianceReduction] = variance_reduction
) -> VarianceReduction:
    found = _true(*rows)
    return replace(found, covariance=2 * found.covariance)


@claim(
    section="8.8",
    formula=r"\operatorname{Var}(a-\lambda b) = \operatorname{Var}a - 2\lambda\operatorname{Cov}(a,b)"
    r" + \lambda^2\operatorname{Var}b,\quad \lambda^* = \operatorname{Cov}(a,b)/\operatorname{Var}b",
    source="safaryan2023knowledge",
    place="derived here",
    assumes=(
        "The model is linear in its parameters, the loss squared.",
        "The teacher is where the student is.",
    ),
    control=Control("the teacher is at a random point", away=1.0),
    uses=(variance_reduction,),
    mutants=(Mutant("twice the covariance", variance_reduction, _covariance_doubled),),
    power=Scaled(variance_reduction, entry="covariance"),
)
def teacher_is_a_control_variate_of_the_gradient(setting: Setting, /, *, away: float = 0.0) -> Evidence:
    """For a linear model under squared loss the stochastic gradient of distillation with weight λ is
    ∇f_ξ(θ) − λ∇f_ξ(θ_T), whose variance is a parabola in λ; a teacher at the optimum takes all of it away
    there, at λ = 1.

    How it's judged: random finite worlds of 12 points in 4 dimensions; gradients by autodiff of the mixed
    loss; variances at λ = 0.3, at λ* and at 1, summed over the world, to 1e-12 of the plain one.
    """
    exact, closed, removed = [], [], []
    for trial in range(setting.size(quick=40, full=400)):
        generator = setting.stream.child(trial).torch()
        inputs = torch.randn(12, DIM, dtype=torch.float64, generator=generator)
        labels = torch.randn(12, dtype=torch.float64, generator=generator)
        weights = torch.rand(12, dtype=torch.float64, generator=generator)
        weights = weights / weights.sum()
        root = weights.sqrt()
        optimum = torch.linalg.lstsq(root[:, None] * inputs, root * labels).solution
        theta = optimum + away * torch.randn(DIM, dtype=torch.float64, generator=generator)
        own, teachers = (_gradients(inputs, labels, at, at, 0.0) for at in (optimum, theta))
        found = variance_reduction(own, teachers, weights)
        for weight in (0.3, float(found.weight)):
            exact.append(_variance(_gradients(inputs, labels, optimum, theta, weight), weights) / found.plain)
            closed.append(found.at(weight) / found.plain)
        removed.append(_variance(_gradients(inputs, labels, optimum, theta, 1.0), weights) / found.plain)
    left = torch.stack(removed)
    return Joint(
        parts={
            "parabola": Identity.of(torch.stack(exact), torch.stack(closed), tolerance=1e-12, effect=1.0),
            "removed": Identity.of(left, torch.zeros_like(left), tolerance=1e-12, effect=1.0),
        }
    )


def _gradients(inputs: Tensor, labels: Tensor, theta: Tensor, teacher: Tensor, weight: float) -> Tensor:
    """Of (1−λ)½(xᵀθ − y)² + λ½(xᵀθ − xᵀθ_T)², one row a point, by automatic differentiation."""
    leaf = theta.expand(len(inputs), -1).clone().requires_grad_()
    said = (inputs * leaf).sum(-1)
    loss = (1 - weight) * (said - labels).square() / 2 + weight * (said - inputs @ teacher).square() / 2
    return torch.autograd.grad(loss.sum(), leaf)[0]


def _variance(rows: Tensor, weights: Tensor) -> Tensor:
    return weights @ (rows - weights @ rows).square().sum(-1)
