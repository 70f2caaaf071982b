"""Complexities of ReLU nets whose best members are known, beside the bounds by their Frobenius norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdtheory.bounds.norms import golowich18_relu_net, golowich18_vector_relu_net
from kdtheory.bounds.rademacher import Supremum, exact_rademacher, finite_class, linear_class
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run

PRODUCT = 200.0
DEPTHS = (2, 3, 4, 5, 6)
MANY, FEW = 8, 5


@experiment
def complexities_of_relu_nets(run: Run, /) -> Rows:
    """Nets with Frobenius norms of product 200, all signs enumerated.

    Of 10 sets of 8 points in the plane with one output, and of 5 of them with two, the best hidden unit on
    a grid of 360 directions: depths 2 to 6 hold the same nets, since ρ(ρ(x)) = ρ(x). Of 8 orthogonal points
    of length one, what linear maps and one unit a layer bring at best; and of 5 for two outputs.
    """
    rows = []
    for trial in range(run.size(quick=10, full=100)):
        points = torch.randn(MANY, 2, dtype=torch.float64, generator=run.stream.child(trial).torch())
        units = PRODUCT * (points @ _directions()).clamp_min(0).T
        scalar = exact_rademacher(finite_class(torch.cat([units, -units])), MANY)
        vector = exact_rademacher(_two_outputs(units[:, :FEW]), 2 * FEW, points=FEW)
        rows.append((scalar, float(points.norm()), vector, float(points[:FEW].norm())))
    one, norm, two, norm_of_few = torch.tensor(rows, dtype=torch.float64).T.tolist()
    orthogonal = torch.eye(MANY, dtype=torch.float64)
    return Rows(
        one_output=one,
        norm=norm,
        two_outputs=two,
        norm_of_few=norm_of_few,
        linear=exact_rademacher(linear_class(orthogonal, radius=PRODUCT), MANY),
        unit=exact_rademacher(_one_unit, MANY),
        unit_of_two=exact_rademacher(_one_unit_two_outputs, 2 * FEW, points=FEW),
    )


@experiment
def complexities_and_bounds_of_relu_nets(run: Run, /, *, norms: float = PRODUCT) -> Rows:
    """The complexities of ReLU nets of depths 2 to 6, and the bounds for norms of product `norms`: side by
    side for points in the plane, as ratios for orthogonal points (linear maps first, at depth 1).
    """
    nets = complexities_of_relu_nets.rows(run)

    def scalar(norm: float, depth: int) -> float:
        return golowich18_relu_net(norm_product=norms, input_norm=norm, depth=depth, n=MANY)

    def vector(norm: float, depth: int) -> float:
        return golowich18_vector_relu_net(norm_product=norms, input_norm=norm, depth=depth, outputs=2, n=FEW)

    many, few = math.sqrt(MANY), math.sqrt(FEW)
    return Rows(
        one_output=[one for one in nets.one_output for _ in DEPTHS],
        bound_for_one=[scalar(norm, depth) for norm in nets.norm for depth in DEPTHS],
        two_outputs=[two for two in nets.two_outputs for _ in DEPTHS],
        bound_for_two=[vector(norm, depth) for norm in nets.norm_of_few for depth in DEPTHS],
        loose=[scalar(many, 1) / nets.linear, *(scalar(many, depth) / nets.unit for depth in DEPTHS)],
        loose_for_two=[vector(few, depth) / nets.unit_of_two for depth in DEPTHS],
    )


def _directions() -> Tensor:
    angles = torch.arange(360, dtype=torch.float64) * (2 * math.pi / 360)
    return torch.stack([angles.cos(), angles.sin()])


def _one_unit(signs: Tensor) -> Tensor:
    """sup over u, ‖u‖ ≤ 1, and a sign of Σ_i ±ε_i ρ(u_i): all of u goes to the points of one sign."""
    positive = (signs > 0).double().sum(-1)
    return PRODUCT * torch.maximum(positive, signs.shape[1] - positive).sqrt()


def _one_unit_two_outputs(signs: Tensor) -> Tensor:
    """sup over u and w, ‖u‖, ‖w‖ ≤ 1, of Σ_ij ε_ij w_j ρ(u_i) on orthogonal points, w on a grid of 360."""
    totals = (signs.unflatten(-1, (-1, 2)) @ _directions()).clamp_min(0)
    largest: Tensor = totals.norm(dim=1).amax(-1)
    return PRODUCT * largest


def _two_outputs(units: Tensor) -> Supremum:
    """sup over one hidden unit u and ‖w‖ ≤ 1 of Σ_ij ε_ij w_j u(x_i), the signs laid out point by point."""

    def supremum(signs: Tensor) -> Tensor:
        totals = torch.einsum("sij,ui->suj", signs.unflatten(-1, (units.shape[1], 2)), units)
        largest: Tensor = totals.norm(dim=-1).amax(-1)
        return largest

    return supremum
