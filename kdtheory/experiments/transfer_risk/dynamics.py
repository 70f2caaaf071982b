"""Training of linear models and of nets close to their start, beside the closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.worlds import LazyNets
from kdtheory.ntk.linearised import linearised_training, relative_deviation, weight_change
from kdtheory.streams import Stream

TIMES = (0.0, 0.1, 1.0, 10.0)


@experiment
def linear_models_in_training(run: Run, /, *, drift: float = 0.0) -> Rows:
    """6 linear models of 12 weights, 8 training points and 3 others: outputs and weights at t = 0, 0.1, 1, 10
    and ∞, in closed form, and by an integrator of dw/dt = −η(1 + drift·sin t)Jᵀ(Jw + f_0 − y) and, at the
    end, the pseudo-inverse. In every other model two training points are the same, so that H is singular.
    """
    trials, closed, integrated = run.size(quick=6, full=60), [], []
    for trial in range(trials):
        generator = run.stream.child(trial).torch()
        features = torch.randn(11, 12, dtype=torch.float64, generator=generator)
        start = torch.randn(11, dtype=torch.float64, generator=generator)
        targets = torch.randn(8, dtype=torch.float64, generator=generator)
        if trial % 2:
            features[1], start[1], targets[1] = features[0], start[0], targets[0]
        rate = 0.1 + 0.2 * trial / trials
        own, other = features[:8], features[8:]
        training = linearised_training(own @ own.T, targets, start[:8], rate=rate)
        weights = _integrated(own, start[:8] - targets, rate, drift)
        for time, moved in zip((*TIMES, math.inf), weights, strict=True):
            predicted = training.predict(other @ own.T, start[8:], time=time)
            found = weight_change(own.matmul, torch.zeros_like(own[0]), training.coefficients(time))
            closed.append(torch.cat([training.outputs(time), predicted, found]))
            integrated.append(torch.cat([start + features @ moved, moved]))
    return Rows(closed=torch.stack(closed), integrated=torch.stack(integrated))


def _integrated(own: Tensor, residual: Tensor, rate: float, drift: float) -> list[Tensor]:
    """Δw at each of the times, by an integrator, and at the end, by the pseudo-inverse."""
    jacobian, gap = own.numpy(), residual.numpy()

    def velocity(time: float, moved: np.ndarray) -> np.ndarray:
        slope: np.ndarray = -rate * (1 + drift * math.sin(time)) * (jacobian.T @ (jacobian @ moved + gap))
        return slope

    zero = np.zeros(jacobian.shape[1])
    path = solve_ivp(velocity, (0, TIMES[-1]), zero, "DOP853", TIMES, rtol=1e-10, atol=1e-12)
    end = -np.linalg.pinv(jacobian, rcond=1e-10) @ gap
    return [torch.from_numpy(row) for row in [*path.y.T, end]]


def each_by_itself(gram: Tensor, /) -> Tensor:
    """H without what ties the outputs to each other."""
    return torch.diag(gram.diagonal())


def all_together(gram: Tensor, /) -> Tensor:
    """H."""
    return gram


@experiment
def nets_after_a_few_steps(run: Run, /, *, acting: Callable[[Tensor], Tensor] = each_by_itself) -> Rows:
    """32 nets of width 128 in five dimensions, 10 training points around (1, …, 1), 2 to 12 steps of gradient
    descent by torch: the distance of prediction and net on the training points, relative to the way that the
    net has gone.
    """
    members = run.size(quick=32, full=128)
    off = [_deviation(run.stream.child(m), 2 + m % 11, acting) for m in range(members)]
    return Rows(deviation=torch.stack(off))


def _deviation(stream: Stream, steps: int, acting: Callable[[Tensor], Tensor]) -> Tensor:
    nets = LazyNets(5, 128, stream)
    taught = nets.gaussian_teachers(1)
    inputs = 1 + torch.randn(10, 5, dtype=torch.float64, generator=stream.child("inputs").torch())
    features = nets.features(inputs)
    gram = features @ features.mT
    rate = 1 / float(torch.linalg.eigvalsh(gram)[-1])
    trained = nets.trained(inputs, taught, steps=steps, rate=10 * rate, momentum=0.0)
    truth = nets.change(trained.params - nets.start, inputs)[0]
    targets, zero = nets.change(taught, inputs)[0], torch.zeros_like(truth)
    training = linearised_training(acting(gram), targets, zero, rate=rate, discrete=True)
    return relative_deviation(training.outputs(steps), truth, zero)
