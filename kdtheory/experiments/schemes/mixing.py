"""Ridge regressions taught by ridge regressions: on random problems, and on images with a planted truth."""

from __future__ import annotations

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.image_kernels import some_images
from kdtheory.self_distillation.mixing import (
    fixed_design_mixing,
    optimal_mixing,
    pure_distilled_ridge,
    ridge,
    ridge_derivative,
)
from kdtheory.streams import Stream


@experiment
def students_of_ridge_regressions(run: Run, /, *, penalties: float = 1.0) -> Rows:
    """40 problems with 15 inputs of 6 coordinates and penalties from 0.01 to 3: how far the student moves
    from its teacher, as a share of the teacher's norm; by the library, fitted to the teacher's outputs by
    hand at `penalties` times its penalty, and as λ times the derivative of the path, exact and by autodiff.
    """
    moves = []
    for trial in range(run.size(quick=40, full=400)):
        inputs, targets, _, _ = _problem(run.stream.child(trial))
        penalty = _spread(0.01, 3.0, trial)
        teacher = ridge(inputs, targets, penalty=penalty)
        student = pure_distilled_ridge(inputs, targets, penalty=penalty) - teacher
        by_hand = ridge(inputs, inputs @ teacher, penalty=penalties * penalty) - teacher
        step = penalty * ridge_derivative(inputs, targets, penalty=penalty)
        by_autodiff = penalty * _path_derivative(inputs, targets, penalty)
        moves.append(torch.stack([student, by_hand, step, by_autodiff]) / teacher.norm())
    student, by_hand, step, by_autodiff = torch.stack(moves, dim=1)
    return Rows(student=student, by_hand=by_hand, step=step, by_autodiff=by_autodiff)


@experiment
def best_mixtures_of_labels_and_teacher(run: Run, /, *, furthest: float = 30.0) -> Rows:
    """40 problems with 15 inputs of 6 coordinates; λ from 1/`furthest` to `furthest` times the penalty of
    least risk, which is found by search, and never that one (problems that have none are left out). Students
    are fitted anew to every mixture of labels and teacher, and the best is found by a search over ξ (Brent).
    """
    rows = []
    for trial in range(run.size(quick=40, full=400)):
        problem = inputs, targets, truth, covariance = _problem(run.stream.child(trial))
        best = _best_penalty(*problem)
        if best is None:
            continue
        chosen = best * furthest ** (trial % 8 / 3.5 - 1)
        mixing = optimal_mixing(inputs, targets, penalty=chosen, truth=truth, covariance=covariance)
        weight, risk = _searched(*problem, chosen)
        before = _risk(ridge(inputs, targets, penalty=chosen), truth, covariance)
        rows.append((weight, mixing.weight, before - risk, mixing.gain, before, mixing.slope))
    searched, weight, gain_seen, gain, risk_before, slope = np.array(rows).T
    return Rows(
        searched=searched, weight=weight, gain_seen=gain_seen, gain=gain, risk_before=risk_before, slope=slope
    )


@experiment
def best_weights_over_the_noise(run: Run, /, *, noise: float = 1.0) -> Rows:
    """Real images as inputs (8 principal coordinates of 100), a planted linear truth of norm 1, λ = 0.05,
    noise from 0 to 30 times `noise`: the best weight by the closed form; the limit that it tends to; and, for
    four values of σ, R′ and ‖dβ/dλ‖²_Σ of regressions fitted to 20,000 draws of the noise.
    """
    inputs, truth = _image_design(run)
    n, penalty = len(inputs), 0.05
    values, vectors = torch.linalg.eigh(inputs.mT @ inputs / n)
    along = vectors.mT @ truth
    levels = torch.tensor([0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0], dtype=torch.float64)
    stds = noise * levels
    weights = [
        fixed_design_mixing(values, along, penalty=penalty, noise_variance=float(std) ** 2, n=n).weight
        for std in stds
    ]
    share = values**2 / (values + penalty) ** 4
    draws = run.size(quick=20_000, full=100_000)
    measured = [
        _parabolas(inputs, truth, penalty, float(std), draws, run.stream.child("noise", place))
        for place, std in enumerate(stds[2:6])
    ]
    slopes, squared_norms = (torch.stack(part) for part in zip(*measured, strict=True))
    return Rows(
        level=levels,
        weight=torch.tensor(weights, dtype=torch.float64),
        limit=1 + float((share * values).sum() / share.sum()) / penalty,
        penalty=penalty,
        drawn_level=levels[2:6],
        drawn_weight=torch.tensor(weights[2:6], dtype=torch.float64),
        slope=slopes,
        squared_norm=squared_norms,
    )


def _spread(low: float, high: float, trial: int) -> float:
    """The trial's own of eight values between two, in equal ratios."""
    return float(low * (high / low) ** (trial % 8 / 7))


def _problem(stream: Stream) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, noisy targets, the truth, and the covariance of fresh inputs."""
    generator = stream.torch()
    root = torch.randn(6, 6, dtype=torch.float64, generator=generator) / 6**0.5
    inputs = torch.randn(15, 6, dtype=torch.float64, generator=generator) @ root
    truth = torch.randn(6, dtype=torch.float64, generator=generator)
    targets = inputs @ truth + torch.randn(15, dtype=torch.float64, generator=generator)
    return inputs, targets, truth, root.mT @ root


def _path_derivative(inputs: Tensor, targets: Tensor, penalty: float) -> Tensor:
    def path(level: Tensor) -> Tensor:
        gram = inputs.mT @ inputs / len(inputs) + level * torch.eye(inputs.shape[1], dtype=inputs.dtype)
        solved: Tensor = torch.linalg.solve(gram, inputs.mT @ targets / len(inputs))
        return solved

    at = torch.tensor(penalty, dtype=inputs.dtype)
    derivative: Tensor = torch.autograd.functional.jacobian(path, at)  # type: ignore[no-untyped-call]
    return derivative


def _risk(beta: Tensor, truth: Tensor, covariance: Tensor) -> float:
    return float((beta - truth) @ covariance @ (beta - truth))


def _searched(
    inputs: Tensor, targets: Tensor, truth: Tensor, covariance: Tensor, penalty: float
) -> tuple[float, float]:
    """The best weight and its risk, by fitting students to mixtures."""
    outputs = inputs @ ridge(inputs, targets, penalty=penalty)

    def risk(weight: float) -> float:
        student = ridge(inputs, (1 - weight) * targets + weight * outputs, penalty=penalty)
        return _risk(student, truth, covariance)

    found = optimize.minimize_scalar(risk, bracket=(-1.0, 1.0), method="brent", options={"xtol": 1e-12})
    return float(found.x), float(found.fun)


def _best_penalty(inputs: Tensor, targets: Tensor, truth: Tensor, covariance: Tensor) -> float | None:
    """The λ of least risk, where it lies inside the range searched."""

    def risk(log_penalty: float) -> float:
        return _risk(ridge(inputs, targets, penalty=float(np.exp(log_penalty))), truth, covariance)

    found = optimize.minimize_scalar(risk, bounds=(-8, 4), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x)) if -7.9 < found.x < 3.9 else None


def _image_design(run: Run) -> tuple[Tensor, Tensor]:
    inputs, _ = some_images(run, run.stream.child("images"), 100)
    centred = inputs - inputs.mean(0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    coordinates = left[:, :8] * singular[:8]
    truth = torch.randn(8, dtype=torch.float64, generator=run.stream.child("truth").torch())
    return coordinates, truth / truth.norm()


def _parabolas(
    inputs: Tensor, truth: Tensor, penalty: float, std: float, draws: int, stream: Stream
) -> tuple[Tensor, Tensor]:
    """R′(λ) and ‖dβ/dλ‖²_Σ of each draw of the noise, from fitted regressions."""
    noise = std * torch.randn(len(inputs), draws, dtype=torch.float64, generator=stream.torch())
    targets = (inputs @ truth)[:, None] + noise
    errors = ridge(inputs, targets, penalty=penalty) - truth[:, None]
    derivatives = ridge_derivative(inputs, targets, penalty=penalty)
    pulled = inputs.mT @ (inputs @ derivatives) / len(inputs)
    return 2 * (errors * pulled).sum(0), (derivatives * pulled).sum(0)
