"""Chapter 6.2: training of a linearised network in closed form, and what the notes print instead."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, MeanInequality
from kdtheory.claims.verdict import Verdict
from kdtheory.experiments.transfer_risk.worlds import LazyNets
from kdtheory.ntk.linearised import LinearisedTraining, linearised_training, relative_deviation, weight_change
from kdtheory.streams import Stream

TIMES = (0.0, 0.1, 1.0, 10.0)
Training = Callable[..., LinearisedTraining]


def _rate_forgotten(
    *arrays: Tensor, rate: float = 1.0, discrete: bool = False, _true: Training = linearised_training
) -> LinearisedTraining:
    return _true(*arrays, discrete=discrete)


def _half_a_residual(
    gram: Tensor, targets: Tensor, initial: Tensor, /, *, _true: Training = linearised_training,
    **settings: float,
) -> LinearisedTraining:  # fmt: skip
    return _true(gram, (targets + initial) / 2, initial, **settings)


def _diagonal_only(
    gram: Tensor, *arrays: Tensor, _true: Training = linearised_training, **settings: float
) -> LinearisedTraining:
    return _true(torch.diag(gram.diagonal()), *arrays, **settings)


def _plain_gradient(
    outputs: Callable[[Tensor], Tensor], params: Tensor, coefficients: Tensor, /, *,
    _true: Callable[..., Tensor] = weight_change,
) -> Tensor:  # fmt: skip
    return _true(outputs, params, torch.ones_like(coefficients))


def _hundredth(*outputs: Tensor, _true: Callable[..., Tensor] = relative_deviation) -> Tensor:
    return _true(*outputs) / 100


@claim(
    section="6.2",
    formula=r"u(t) = y + e^{-\eta H t}(u(0) - y),\quad"
    r" f_t(x) = f_0(x) + k_x^\top H^{-1}(I - e^{-\eta H t})(y - u(0))",
    source="jacot2018neural",
    assumes=("The network is linear in its weights, so that H does not move.", "Squared loss, ½Σ(f − y)²."),
    control=Control("H moves while training goes on", drift=0.5),
    uses=(linearised_training, weight_change),
    mutants=(
        Mutant("the rate is forgotten", linearised_training, _rate_forgotten),
        Mutant("half of the residual", linearised_training, _half_a_residual),
        Mutant("H without its off-diagonal", linearised_training, _diagonal_only),
        Mutant("the coefficients are forgotten in Δw", weight_change, _plain_gradient),
    ),
    power=Scaled(weight_change),
)
def linearised_training_follows_its_closed_form(setting: Setting, /, *, drift: float = 0.0) -> Evidence:
    """Gradient flow of a linear model on the squared loss follows the closed form at every time: on its
    training points, on others, and in its weights.

    Against an integrator of the weights, dw/dt = −ηJᵀ(Jw + f_0 − y), at t = 0, 0.1, 1, 10, and against the
    pseudo-inverse at t = ∞. 8 training points, 3 others, 12 weights; in every other trial two training
    points are the same, so that H is singular. In the control the gradient is 1 + drift·sin t times as
    large.
    """
    trials, ours, theirs = setting.size(quick=6, full=60), [], []
    for trial in range(trials):
        generator = setting.stream.child(trial).torch()
        features = torch.randn(11, 12, dtype=torch.float64, generator=generator)
        start = torch.randn(11, dtype=torch.float64, generator=generator)
        targets = torch.randn(8, dtype=torch.float64, generator=generator)
        if trial % 2:
            features[1], start[1], targets[1] = features[0], start[0], targets[0]
        rate = 0.1 + 0.2 * trial / trials
        own, other = features[:8], features[8:]
        run = linearised_training(own @ own.T, targets, start[:8], rate=rate)
        weights = _integrated(own, start[:8] - targets, rate, drift)
        for time, moved in zip((*TIMES, math.inf), weights, strict=True):
            predicted = run.predict(other @ own.T, start[8:], time=time)
            found = weight_change(own.matmul, torch.zeros_like(own[0]), run.coefficients(time))
            ours.append(torch.cat([run.outputs(time), predicted, found]))
            theirs.append(torch.cat([start + features @ moved, moved]))
    return Identity.of(torch.stack(ours), torch.stack(theirs), tolerance=1e-6)


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


@claim(
    section="6.2",
    formula=r"\frac{d f(\theta_t, x_i)}{dt} = -\eta H_{ii}(t)\,(f(\theta_t, x_i) - y_i)",
    source="shen2021deep",
    place="Section 8",
    assumes=("Two-layer nets close to their start, squared loss.",),
    control=Control("H acts on the vector of all outputs", form="vector"),
    uses=(linearised_training, relative_deviation),
    mutants=(Mutant("a hundredth of the distance", relative_deviation, _hundredth),),
    expect=Verdict.REFUTED,
    reading="“df(θ_t, x_t)/dt = −H(t)(f(θ_t, x_t) − y)” is read as an equation for the one point x_t, though"
    " the same sentence makes H(t) a matrix over the points",
    loose="refuted from afar: a factor leaves it refuted",
)
def each_output_decays_on_its_own(setting: Setting, /, *, form: str = "single") -> Evidence:
    """As the notes print it, df(θ_t, x_t)/dt = −H(t)(f(θ_t, x_t) − y) for a single point: every output decays
    by itself. The outputs so predicted are within 5 per cent of those of trained nets.

    32 nets of width 128 in five dimensions, 10 training points around (1, …, 1), 2 to 12 steps of gradient
    descent by torch; the distance of prediction and net on the training points, relative to the way the net
    has gone. With H on the vector of all outputs it is a few millionths.
    """
    members = setting.size(quick=32, full=128)
    off = torch.stack([_deviation(setting.stream.child(m), 2 + m % 11, form) for m in range(members)])
    return MeanInequality.of(off, torch.full_like(off, 0.05))


def _deviation(stream: Stream, steps: int, form: str) -> Tensor:
    """How far the prediction is off on the training points."""
    nets = LazyNets(5, 128, stream)
    taught = nets.gaussian_teachers(1)
    inputs = 1 + torch.randn(10, 5, dtype=torch.float64, generator=stream.child("inputs").torch())
    features = nets.features(inputs)
    gram = features @ features.mT
    rate = 1 / float(torch.linalg.eigvalsh(gram)[-1])
    trained = nets.trained(inputs, taught, steps=steps, rate=10 * rate, momentum=0.0)
    truth = nets.change(trained.params - nets.start, inputs)[0]
    targets, zero = nets.change(taught, inputs)[0], torch.zeros_like(truth)
    acting = {"single": torch.diag(gram.diagonal()), "vector": gram}[form]
    run = linearised_training(acting, targets, zero, rate=rate, discrete=True)
    return relative_deviation(run.outputs(steps), truth, zero)
