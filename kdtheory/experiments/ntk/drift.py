"""Wide nets in training: how far their kernels move, and their outputs from those of the linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.ntk.width import sphere
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.networks import NTKMLP
from kdtheory.ntk import EmpiricalKernel
from kdtheory.ntk.linearised import linearised_training
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

WEIGHT_STDS = {"relu": 2**0.5, "tanh": 1.5}
RATE = 0.2
TRAINING, TEST = 10, 10


@experiment(tuned_on=(0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 105))
def relu_nets_in_training(run: Run, /, *, scaling: float = 0.0) -> Rows:
    """ReLU, two hidden layers of 32 to 512 units, 64 nets of each width, 100 steps of gradient descent on the
    soft labels of ten points, other ones for each net, the same at every width; ten further points are
    predicted. The output is divided by width^{a/2} and the rate multiplied by width^a: the scaling a = 0 is
    that of the tangent kernel, a = 1 the mean-field one. Of each net the largest deviation over three times:
    of its kernel, relative to the first one, and of its outputs from the linear model's.
    """
    members = run.size(quick=64, full=240)
    return _over_the_widths(
        (32, 64, 128, 256, 512), run, activation="relu", scaling=scaling, members=members, times=(10, 30, 100)
    )


@experiment(tuned_on=(11, 12, 13, 21))
def tanh_nets_in_training(run: Run, /, *, scaling: float = 0.0) -> Rows:
    """tanh, two hidden layers of 128 to 512 units, 160 nets of each width, ten steps of gradient descent on
    the soft labels of ten points, other ones for each net; the output is divided by width^{a/2} and the rate
    multiplied by width^a. How far the kernel of each net has moved, and its outputs from the linear model's.
    """
    members = run.size(quick=160, full=400)
    return _over_the_widths(
        (128, 256, 512), run, activation="tanh", scaling=scaling, members=members, times=(10,)
    )


def _over_the_widths(
    widths: Sequence[int], run: Run, *, activation: str, scaling: float, members: int, times: Sequence[int]
) -> Rows:
    found = [
        courses(width, run.stream, activation=activation, scaling=scaling, members=members, times=times)
        for width in widths
    ]
    return Rows(
        width=widths,
        drift=torch.stack([course.drift for course in found], 1),
        gap=torch.stack([course.gap for course in found], 1),
    )


@dataclass(frozen=True)
class Course:
    """Trained nets of one width.

    Args:
        drift: max_t ‖H(t) − H(0)‖/‖H(0)‖ over the times looked at, training and test points: members.
        gap: max_t of the root mean square of f_t − f_t^lin on the test points: members.
    """

    drift: Tensor
    gap: Tensor


def squared_distance(logits: Tensor, probs: Tensor, labels: Tensor | None, /) -> Tensor:
    """½‖z − p‖², of each example."""
    return (logits - probs).square().sum(-1) / 2


def courses(
    width: int, stream: Stream, *, activation: str, scaling: float, members: int, times: Sequence[int]
) -> Course:
    """Nets with two hidden layers, each trained by torch on soft labels of its own points, squared loss.

    Args:
        width: of the hidden layers.
        stream: of the points, the same at every width, and of the initialisations.
        activation: "relu" or "tanh".
        scaling: a, of an output over width^{a/2} and a rate times width^a.
        members: how many nets.
        times: the steps after which kernel and outputs are looked at.
    """
    drawn = [sphere(TRAINING + TEST, 5, stream.child("points", member)) for member in range(members)]
    points = torch.stack(drawn)
    targets = torch.stack([2 * points[..., 0], 2 * points[..., 1] * points[..., 2]], -1).softmax(-1)
    targets = targets[:, :TRAINING]
    rate = RATE * width**scaling
    architecture = NTKMLP(
        (5, width, width, 2),
        activation=activation,
        weight_std=WEIGHT_STDS[activation],
        bias_std=0.1,
        output_scale=width ** (-scaling / 2),
    )
    params = torch.randn(members, architecture.size, generator=stream.child("init", width).torch())
    grams = _grams(architecture, params, points)
    linear = _linear(architecture.logits(params, points), grams, targets, rate, times)
    drift, gap = torch.zeros(members, dtype=torch.float64), torch.zeros(members, dtype=torch.float64)
    for before, time, expected in zip((0, *times), times, linear, strict=False):
        nets = train(
            architecture,
            points[:, :TRAINING],
            teacher_probs=targets,
            loss=squared_distance,
            members=members,
            stream=stream.child("train"),
            recipe=Recipe(steps=time - before, learning_rate=rate, optimizer="sgd"),
            initial=params,
            device="cpu",
        )
        params = nets.params
        moved = (_grams(architecture, params, points) - grams).flatten(1).norm(dim=1)
        drift = torch.maximum(drift, moved / grams.flatten(1).norm(dim=1))
        apart = nets.logits(points[:, TRAINING:]).double() - expected
        gap = torch.maximum(gap, apart.square().mean((1, 2)).sqrt())
    return Course(drift, gap)


def _grams(architecture: NTKMLP, params: Tensor, points: Tensor) -> Tensor:
    """Θ of every member, over points and outputs: members × (n·k) × (n·k), float64."""
    kernel = EmpiricalKernel(architecture.module(params[:1], 0))
    full = kernel.stacked(architecture.unpack(params), points).double()
    return full.transpose(2, 3).flatten(3).flatten(1, 2)


def _linear(initial: Tensor, grams: Tensor, targets: Tensor, rate: float, times: Sequence[int]) -> Tensor:
    """f_t^lin on the test points at each time: times × members × test points × outputs."""
    seen, found = 2 * TRAINING, []
    for outputs, gram, wanted in zip(initial.double(), grams, targets.double(), strict=True):
        run = linearised_training(
            gram[:seen, :seen],
            wanted.flatten(),
            outputs[:TRAINING].flatten(),
            rate=rate / TRAINING,
            discrete=True,
        )
        others = outputs[TRAINING:].flatten()
        found.append(torch.stack([run.predict(gram[seen:, :seen], others, time=time) for time in times]))
    predicted: Tensor = torch.stack(found, 1).unflatten(2, (TEST, 2))
    return predicted
