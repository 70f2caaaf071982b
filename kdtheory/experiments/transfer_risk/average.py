"""Students of many oracles that are drawn at random, on the features of kernels and of nets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.worlds import KERNEL, SPREAD, LazyNets, circle, unit_images
from kdtheory.ntk import InfiniteMLP, Kernel, cholesky
from kdtheory.transfer_risk import (
    average_transfer_risk,
    misjudging_probability,
    nested_students,
    transfer_risk,
)

BANDS = ((0.0, 0.1), (0.1, 0.3), (0.3, 1.0))
Oracles = Callable[[Tensor, int, torch.Generator], Tensor]


def gaussian_weights(features: Tensor, draws: int, generator: torch.Generator, /) -> Tensor:
    """Oracles Δw_* ~ N(0, I), a row each."""
    return torch.randn(draws, features.shape[1], dtype=features.dtype, generator=generator)


def single_features(features: Tensor, draws: int, generator: torch.Generator, /) -> Tensor:
    """Oracles that are each the feature of one of the points, a row each."""
    return features[torch.randint(len(features), (draws,), generator=generator)]


@experiment
def students_of_many_oracles(run: Run, /, *, oracles: Oracles = gaussian_weights) -> Rows:
    """48,000 oracles on the circle (students of 12 of 60 points, the kernel of infinitely wide nets) and as
    many on 160 real images (students of 60, two hidden layers): each student's risk on the other points, the
    average risk as foretold, and in bands of the chance to be misjudged (below 0.1, to 0.3, above) the share
    of points that are misjudged and that which is foretold.
    """
    draws = run.size(quick=48_000, full=100_000)
    images, _ = unit_images(run.images, run.stream.child("images"), most=160)
    cases: dict[str, tuple[Kernel, Tensor, int]] = {
        "circle": (KERNEL, circle(60, run.stream.child("circle")), 12),
        "images": (InfiniteMLP(2, weight_std=2**0.5), images, 60),
    }
    columns: dict[str, Tensor] = {}
    for name, (kernel, points, n) in cases.items():
        gram, diagonal = kernel(points), kernel.diagonal(points[n:])
        features = cholesky(gram, jitter=1e-10)  # in coordinates of their span
        truth = features @ oracles(features, draws, run.stream.child("oracles", name).torch()).mT
        students = nested_students(gram[:n, :n], truth[:n], gram[:n, n:], diagonal, sizes=(n,), jitter=1e-10)
        values, power = students.outputs[0].float(), students.power[0]
        chance = misjudging_probability(values.mT, power.float().expand(draws, -1)).mT
        fresh = truth[n:].float()
        wrong = values.sign() != fresh.sign()
        inside = [(chance > low) & (chance <= high) for low, high in BANDS]
        columns |= {
            f"{name}_risk": transfer_risk(values.mT, fresh.mT),
            f"{name}_average": average_transfer_risk(power, diagonal),
            f"{name}_misjudged": torch.stack([(band & wrong).double().mean(0) for band in inside]),
            f"{name}_foretold": torch.stack([(band * chance).mean(0) for band in inside]),
        }
    return Rows(**columns)


@experiment
def nets_of_many_oracles(run: Run, /, *, oracles: Oracles = gaussian_weights) -> Rows:
    """500 nets trained by torch from one start on 8 points, each taught by a net close to it, and their risks
    on 200 fresh points.
    """
    nets, members = LazyNets(20, 32, run.stream.child("nets")), run.size(quick=500, full=2000)
    drawn = torch.randn(208, 20, dtype=torch.float64, generator=run.stream.child("inputs").torch())
    features = nets.features(drawn)
    taught = SPREAD * oracles(features, members, run.stream.child("oracles").torch())
    rate = 8 / float(torch.linalg.matrix_norm(features[:8], ord=2)) ** 2
    learned = nets.trained(drawn[:8], taught, steps=60, rate=rate).params - nets.start
    risk = transfer_risk(nets.change(learned, drawn[8:]), nets.change(taught, drawn[8:]))
    return Rows(risk=risk, features=features)


@experiment
def average_risk_of_nets(run: Run, /) -> Rows:
    """The average risk of students on the tangent features of these nets."""
    seen, fresh = nets_of_many_oracles.rows(run).features.split((8, 200))
    gram, diagonal = seen @ seen.mT, fresh.square().sum(-1)
    students = nested_students(gram, torch.zeros_like(gram[0]), seen @ fresh.mT, diagonal, sizes=(8,))
    return Rows(average=average_transfer_risk(students.power[0], diagonal))
