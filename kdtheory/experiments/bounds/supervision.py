"""Kernel classifiers: the supervision complexity of targets, and the margin bound of one that memorises."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.kernel_margin import harutyunyan23_kernel_margin, supervision_complexity
from kdtheory.bounds.result import Bound
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run

DELTA = 0.05


def in_place(targets: Tensor, _generator: torch.Generator, /) -> Tensor:
    """Each point has its own target."""
    return targets


def shuffled(targets: Tensor, generator: torch.Generator, /) -> Tensor:
    """The targets are dealt out at random."""
    return targets[torch.randperm(len(targets), generator=generator)]


@experiment
def supervision_complexities(
    run: Run, /, *, dealt: Callable[[Tensor, torch.Generator], Tensor] = in_place
) -> Rows:
    """100 times 40 random features of 12 points: the complexity of random targets, and the squared norm of
    the least-squares solution. As often 60 points of the plane, the kernel e^{−‖x−x'‖} and p*(x) = σ(8x₁):
    the complexity of the targets 2p* − 1, `dealt` out to the points, and of labels drawn from p*.
    """
    rows = []
    for trial in range(run.size(quick=100, full=1000)):
        generator = run.stream.child(trial).torch()
        features = torch.randn(12, 40, dtype=torch.float64, generator=generator)
        wanted = torch.randn(12, dtype=torch.float64, generator=generator)
        points = torch.randn(60, 2, dtype=torch.float64, generator=generator)
        probs = torch.sigmoid(8 * points[:, 0])
        labels = 2 * torch.bernoulli(probs, generator=generator) - 1
        kernel = (-torch.cdist(points, points)).exp()
        kernel = (kernel + kernel.mT) / 2
        rows.append(
            (
                supervision_complexity(features @ features.T, wanted),
                (torch.linalg.pinv(features) @ wanted).square().sum(),
                supervision_complexity(kernel, dealt(2 * probs - 1, generator)),
                supervision_complexity(kernel, labels),
            )
        )
    found, shortest, soft, hard = torch.tensor(rows, dtype=torch.float64).T
    return Rows(found=found, shortest=shortest, soft=soft, hard=hard)


def of_all_points(inside: int, /) -> int:
    """How many of the sample's orthogonal points count in the norm: all."""
    return inside


def of_one_point(inside: int, /) -> int:
    """How many of the sample's orthogonal points count in the norm: one at most."""
    return min(inside, 1)


@experiment
def kernel_margin_bounds(run: Run, /, *, norm: Callable[[int], int] = of_all_points) -> Rows:
    """Half of all points are orthogonal to all others, the rest are one: K is 1 on its diagonal. f is γ at
    the rest, right; t at the sample's own orthogonal points; and 0 at those not seen, which counts as an
    error: its risk is ½. `norm`: how many of its own points count in ‖f‖².

    The bound in 200 draws of n = 10,000 points, γ = 1, t = ¼, δ = 0.05. From orthogonal points alone, where
    all that is needed is t/γ, and tr K, ‖f‖² are n and n·t²: the complexity over what is needed, and margin
    loss and complexity at t = 2^{−10}. The deviation over what the number of orthogonal points asks for, at
    δp = e^{−600}; and at δp = ¼ from 1,000 points.
    """
    size, draws, height = 10_000, run.size(quick=200, full=2000), 0.25

    def bound(size: int, inside: int, height: float, *, delta: float = DELTA, weight: float = 1.0) -> Bound:
        margins = torch.ones(size, dtype=torch.float64)
        margins[:inside] = height
        return harutyunyan23_kernel_margin(
            margins,
            squared_norm=norm(inside) * height**2 + (inside < size),
            trace=float(size),
            gamma=1.0,
            delta=delta,
            weight=weight,
            fixed_in_advance=True,
            independent_draws=True,
        )

    inside = run.stream.numpy().binomial(size, 0.5, size=draws).tolist()
    terms, least = bound(2**12, 2**12, height).terms, bound(2**12, 2**12, 2.0**-10).terms
    many, share = 40_000, math.exp(LOG_TINY / 2)
    deviation = bound(many, 0, height, delta=share, weight=share).terms["deviation"]
    needed = needed_radius(many, LOG_TINY + math.log(1 / 3))  # ‖f‖ = 1 has the weight 1/3 on the grid
    return Rows(
        bound=[bound(size, seen, height).value for seen in inside],
        complexity=terms["complexity"] / (1 - terms["margin loss"]),
        least=least["margin loss"] + least["complexity"],
        deviation=deviation / needed,
        at_large_delta=bound(1000, 0, height, delta=0.5, weight=0.5).terms["deviation"],
    )
