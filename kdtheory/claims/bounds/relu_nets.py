"""Chapter 5.5: Frobenius norms and the complexity of ReLU nets (Golowich, Rakhlin & Shamir, 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdtheory.bounds.norms import golowich18_relu_net, golowich18_vector_relu_net
from kdtheory.bounds.rademacher import exact_rademacher, finite_class, linear_class
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint

Supremum = Callable[[Tensor], Tensor]
VECTOR_LOOSENESS = (4.33, 4.67, 5.05, 5.41, 5.74)
"""What `golowich18_vector_relu_net` is of what one unit brings, depths 2 to 6."""


def _root_of_the_product(
    *, norm_product: float, _true: Callable[..., float] = golowich18_relu_net, **net: float
) -> float:
    return _true(norm_product=math.sqrt(norm_product), **net)


def _root_of_the_product_vector(
    *, norm_product: float, _true: Callable[..., float] = golowich18_vector_relu_net, **net: float
) -> float:
    return _true(norm_product=math.sqrt(norm_product), **net)


def _depth_one(*, depth: int, _true: Callable[..., float] = golowich18_relu_net, **net: float) -> float:
    return _true(depth=1, **net)


def _depth_for_its_root(
    *, depth: int, _true: Callable[..., float] = golowich18_relu_net, **net: float
) -> float:
    return _true(depth=depth**2, **net)


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n \le \tfrac1n \textstyle\prod_j M_j"
    r"\,(\sqrt{2 d \ln 2} + 1)(\sum_i \lVert x_i \rVert^2)^{1/2}",
    source="golowich2018size",
    place="Theorem 1",
    assumes=("ReLU nets of depth d with Frobenius norms at most M_j.",),
    control=Control("the norms are taken to be 1", norms_read="one"),
    uses=(exact_rademacher, golowich18_relu_net, golowich18_vector_relu_net),
    mutants=(
        Mutant("√ΠM_j for ΠM_j", golowich18_relu_net, _root_of_the_product),
        Mutant("vectors: √ΠM_j for ΠM_j", golowich18_vector_relu_net, _root_of_the_product_vector),
        Mutant("0.9 of the bound", golowich18_relu_net, scaled(golowich18_relu_net, 0.9)),
        Mutant(
            "vectors: 0.9 of the bound", golowich18_vector_relu_net, scaled(golowich18_vector_relu_net, 0.9)
        ),
        Mutant("depth 1 whatever the depth", golowich18_relu_net, _depth_one),
        Mutant("the depth for its root", golowich18_relu_net, _depth_for_its_root),
    ),
    power=Scaled(golowich18_relu_net, towards="less"),
)
def frobenius_norms_bound_the_complexity_of_relu_nets(
    setting: Setting, /, *, norms_read: str = "as they are"
) -> Evidence:
    """The Rademacher complexity of ReLU nets is at most the product of the layers' Frobenius norms times a
    factor that grows with the root of the depth; so it is, with constants derived here, for k outputs. The
    factor is not attained: on orthogonal points nets of one unit a layer, the best there are at depth 2, need
    less by 3.35 at depth 2 and by 3.82, 4.22, 4.57 and 4.89 at depths 3 to 6; linear maps by 2.18.

    Norms of product 200. "plane": one output, or two, of 8 or 5 random points in the plane, where the best
    hidden unit is searched on a grid of 360 directions; depths 2 to 6 hold the same nets, since ρ(ρ(x)) =
    ρ(x). "loose by": 8 orthogonal points, all signs, where one unit brings max(√#₊, √#₋); 5 points for two
    outputs.
    """
    trials, depths = setting.size(quick=10, full=100), (2, 3, 4, 5, 6)
    angles = torch.arange(360, dtype=torch.float64) * (2 * math.pi / 360)
    directions, product = torch.stack([angles.cos(), angles.sin()]), 200.0
    read = product if norms_read == "as they are" else 1.0
    found: list[tuple[float, float]] = []
    vectors: list[tuple[float, float]] = []
    for trial in range(trials):
        points = torch.randn(8, 2, dtype=torch.float64, generator=setting.stream.child(trial).torch())
        units = (points @ directions).clamp_min(0).T
        scalar = exact_rademacher(finite_class(product * torch.cat([units, -units])), 8)
        vector = exact_rademacher(_two_outputs(product * units[:, :5]), 10, points=5)
        for depth in depths:
            net: dict[str, Any] = {"norm_product": read, "depth": depth}
            found.append((scalar, golowich18_relu_net(input_norm=float(points.norm()), n=8, **net)))
            size = float(points[:5].norm())
            vectors.append((vector, golowich18_vector_relu_net(input_norm=size, n=5, outputs=2, **net)))
    return Joint(
        parts={
            "plane, one output": Inequality.of(*zip(*found, strict=True)),
            "plane, two outputs": Inequality.of(*zip(*vectors, strict=True)),
            **_looseness(read, product, depths),
        }
    )


def _looseness(read: float, product: float, depths: tuple[int, ...]) -> dict[str, Evidence]:
    """The bounds over what linear maps, and one unit a layer, bring on 8 orthogonal points of length one."""
    size, few = 8, 5
    linear = exact_rademacher(linear_class(torch.eye(size, dtype=torch.float64), radius=product), size)
    unit = exact_rademacher(_one_unit(product), size)
    both = exact_rademacher(_one_unit_two_outputs(product), 2 * few, points=few)
    scalar = [
        golowich18_relu_net(norm_product=read, input_norm=math.sqrt(size), depth=depth, n=size)
        for depth in (1, *depths)
    ]
    vector = [
        golowich18_vector_relu_net(
            norm_product=read, input_norm=math.sqrt(few), depth=depth, outputs=2, n=few
        )
        for depth in depths
    ]
    brought = [linear] + [unit] * len(depths)
    return {
        "loose by": Identity.of(
            np.divide(scalar, brought), (2.18, 3.35, 3.82, 4.22, 4.57, 4.89), tolerance=0.005
        ),
        "loose by, two outputs": Identity.of(np.divide(vector, both), VECTOR_LOOSENESS, tolerance=0.005),
    }


def _one_unit(product: float) -> Supremum:
    """sup over u, ‖u‖ ≤ 1, and a sign of Σ_i ±ε_i ρ(u_i): all of u goes to the points of one sign."""

    def supremum(signs: Tensor) -> Tensor:
        positive = (signs > 0).double().sum(-1)
        return product * torch.maximum(positive, signs.shape[1] - positive).sqrt()

    return supremum


def _one_unit_two_outputs(product: float) -> Supremum:
    """sup over u and w, ‖u‖, ‖w‖ ≤ 1, of Σ_ij ε_ij w_j ρ(u_i) on orthogonal points, w on a grid of 360."""
    angles = torch.arange(360, dtype=torch.float64) * (2 * math.pi / 360)
    heads = torch.stack([angles.cos(), angles.sin()])

    def supremum(signs: Tensor) -> Tensor:
        totals = (signs.unflatten(-1, (-1, 2)) @ heads).clamp_min(0)
        largest: Tensor = totals.norm(dim=1).amax(-1)
        return product * largest

    return supremum


def _two_outputs(units: Tensor) -> Supremum:
    """sup over one hidden unit u and ‖w‖ ≤ 1 of Σ_ij ε_ij w_j u(x_i), the signs laid out point by point."""

    def supremum(signs: Tensor) -> Tensor:
        totals = torch.einsum("sij,ui->suj", signs.unflatten(-1, (units.shape[1], 2)), units)
        largest: Tensor = totals.norm(dim=-1).amax(-1)
        return largest

    return supremum
