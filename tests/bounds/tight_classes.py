"""Bounds by complexities and norms: where each is tight."""

from __future__ import annotations

import math

import torch
from tight import FIXED, ZEROS, within

from kdtheory import bounds
from kdtheory.bounds import NetNorms, exact_rademacher, vector_linear_class

# Twelve orthonormal points: every vector of outputs in a ball is attained, so suprema are Euclidean norms.
ORTHONORMAL = torch.eye(12, dtype=torch.float64)
SIZE, GAMMA = math.sqrt(12), 4.0
TWO_OUTPUTS = {
    "norms": NetNorms((1.0,), (1.0,), (math.sqrt(2),), (12, 2)),
    "input_norm": SIZE,
    "gamma": GAMMA,
    "delta": 0.05,
    **FIXED,
}


def ramp_complexity(largest: float) -> float:
    """Rad_12 of ramp(m/γ), m in the ball of radius `largest` < γ: only points with ε = −1 are pushed."""
    return exact_rademacher(
        lambda signs: signs.sum(-1) + largest / GAMMA * (signs < 0).double().sum(-1).sqrt(), 12
    )


@within("golowich18_margin: complexity", 3.0)
def _() -> tuple[float, float]:
    # Depth 1, two outputs, ‖W‖_F ≤ 1, so ‖m‖ ≤ √2: √2 for the ramp's idle half, √2·√2 for vector contraction.
    found = bounds.golowich18_margin(torch.zeros(12, 2, dtype=torch.float64), ZEROS, **TWO_OUTPUTS)
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("bartlett17_margin: complexity", 26)
def _() -> tuple[float, float]:
    # The same maps: spectral norm 1, row sum √2. Chaining costs a factor a level, covering a logarithm.
    found = bounds.bartlett17_margin(torch.zeros(12, 2, dtype=torch.float64), ZEROS, **TWO_OUTPUTS)
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("bartlett17_complexity", 18)
def _() -> tuple[float, float]:
    # A linear map of norm 1/2 and one output, clipped to [0, 1].
    exact = exact_rademacher(lambda signs: (signs > 0).double().sum(-1).sqrt() / 2, 12)
    settings = {"ratios": [1.0], "widths": [12, 1], "input_norm": SIZE, "n": 12}
    return exact, bounds.bartlett17_complexity(spectral_product=0.5, **settings)


@within("harutyunyan23_kernel_margin: one output", 1.5)
def _() -> tuple[float, float]:
    found = bounds.harutyunyan23_kernel_margin(
        torch.zeros(12, dtype=torch.float64), squared_norm=1.0, trace=12.0, gamma=GAMMA, delta=0.05, **FIXED
    )
    return 2 * ramp_complexity(1.0), found.terms["complexity"]


@within("harutyunyan23_kernel_margin: two outputs", 3.0)
def _() -> tuple[float, float]:
    found = bounds.harutyunyan23_kernel_margin(
        torch.zeros(12, dtype=torch.float64),
        squared_norm=1.0,
        trace=12.0,
        gamma=GAMMA,
        delta=0.05,
        outputs=2,
        **FIXED,
    )
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("golowich18_relu_net: depth 1", 2.2)
def _() -> tuple[float, float]:
    exact = exact_rademacher(bounds.linear_class(ORTHONORMAL, radius=3.0), 12)
    return exact, bounds.golowich18_relu_net(norm_product=3.0, input_norm=SIZE, depth=1, n=12)


def one_unit(outputs: int, points: int) -> float:
    """Rad^vec on orthonormal points of nets that pass one unit on: x_i ↦ u_i·w, u ≥ 0 and ‖u‖ = ‖w‖ = 1.

    Given w, the best u is the positive part of Σ_j ε_ij w_j; w is one of 720 directions, or ±1.
    """
    angles = torch.linspace(0, 2 * math.pi, 721 if outputs == 2 else 3, dtype=torch.float64)[:-1]
    last = torch.stack([angles.cos(), angles.sin()])[:outputs]

    def supremum(signs: torch.Tensor) -> torch.Tensor:
        pushed = signs.unflatten(-1, (points, outputs)) @ last
        return pushed.clamp_min(0).norm(dim=1).amax(-1)

    return exact_rademacher(supremum, points * outputs, points=points)


@within("golowich18_relu_net: depth 2", 3.5)
def _() -> tuple[float, float]:
    return one_unit(1, 12), bounds.golowich18_relu_net(norm_product=1.0, input_norm=SIZE, depth=2, n=12)


@within("golowich18_relu_net: depth 5", 5.0)
def _() -> tuple[float, float]:
    # The same one unit passed on: Rademacher complexity need not grow with depth, the factor √(2d ln 2) does.
    return one_unit(1, 12), bounds.golowich18_relu_net(norm_product=1.0, input_norm=SIZE, depth=5, n=12)


@within("golowich18_vector_relu_net: depth 1", 1 + 1e-12)
def _() -> tuple[float, float]:
    points = ORTHONORMAL[:5]
    exact = exact_rademacher(vector_linear_class(points, radius=2.0, outputs=3), 15, points=5)
    found = bounds.golowich18_vector_relu_net(
        norm_product=2.0, input_norm=math.sqrt(5), depth=1, outputs=3, n=5
    )
    return exact * (1 - 1e-14), found


@within("golowich18_vector_relu_net: depth 2", 4.4)
def _() -> tuple[float, float]:
    found = bounds.golowich18_vector_relu_net(
        norm_product=1.0, input_norm=math.sqrt(5), depth=2, outputs=2, n=5
    )
    return one_unit(2, 5), found
