"""Chapter 6.1: the kernel of infinite width is what empirical kernels of finite nets tend to (Jacot 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, Rate
from kdtheory.networks import Erf, NTKLinear
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP, Kernel
from kdtheory.streams import Stream

WIDTHS = (64, 128, 256, 512, 1024)
STDS = {"relu": (math.sqrt(2), 0.3), "erf": (1.5, 0.3)}
_MODULES: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "erf": Erf}


def _covariance(
    layers: int, /, *, _true: Callable[..., Kernel] = InfiniteMLP, **settings: float | str
) -> Kernel:
    return _true(layers, **{**settings, "kind": "nngp"})


def _a_layer_too_few(
    layers: int, /, *, _true: Callable[..., Kernel] = InfiniteMLP, **settings: float | str
) -> Kernel:
    return _true(layers - 1, **settings)


def _without_bias(
    layers: int, /, *, _true: Callable[..., Kernel] = InfiniteMLP, **settings: float | str
) -> Kernel:
    return _true(layers, **{**settings, "bias_std": 0.0})


def sphere(count: int, dim: int, stream: Stream) -> Tensor:
    """Points of length √d in uniform directions, float32."""
    points = torch.randn(count, dim, dtype=torch.float64, generator=stream.torch())
    length: Tensor = points.norm(dim=1, keepdim=True)
    return (points / length * math.sqrt(dim)).float()


def finite_net(
    widths: tuple[int, ...], stream: Stream, *, activation: str, parameterisation: str
) -> nn.Module:
    """A net of one output, float32; "ntk", or "standard": the same functions, their scales drawn."""
    weight_std, bias_std = STDS[activation]
    generator = stream.torch()
    layers: list[nn.Module] = []
    for inside, out in pairwise(widths):
        layer = NTKLinear(inside, out, weight_std=weight_std, bias_std=bias_std, generator=generator)
        standard = parameterisation == "standard"
        layers += [_plain(layer) if standard else layer, _MODULES[activation]()]
    return nn.Sequential(*layers[:-1])


def _plain(layer: NTKLinear) -> nn.Linear:
    """The same function with its scales in the weights."""
    plain: nn.Linear = skip_init(nn.Linear, layer.in_features, layer.out_features)
    scaled = {"weight": layer.weight_scale * layer.weight, "bias": layer.bias_scale * layer.bias}
    plain.load_state_dict(scaled)
    return plain


def distances(
    points: Tensor,
    widths: tuple[int, ...],
    stream: Stream,
    *,
    activation: str,
    parameterisation: str,
    draws: int,
) -> Tensor:
    """‖Θ̂ − Θ‖/‖Θ‖ (Frobenius) of fresh nets with two hidden layers: draws × widths."""
    weight_std, bias_std = STDS[activation]
    limit = InfiniteMLP(2, activation=activation, weight_std=weight_std, bias_std=bias_std)(points.double())
    found = torch.empty(draws, len(widths), dtype=torch.float64)
    for column, width in enumerate(widths):
        shape = (points.shape[1], width, width, 1)
        for draw in range(draws):
            net = finite_net(
                shape, stream.child(width, draw), activation=activation, parameterisation=parameterisation
            )
            found[draw, column] = (EmpiricalKernel(net)(points).double() - limit).norm() / limit.norm()
    return found


@claim(
    section="6.1",
    formula=r"\lVert \langle \partial_\theta f(x), \partial_\theta f(x') \rangle - \Theta(x, x') \rVert"
    r" = O(\text{width}^{-1/2})",
    source="jacot2018neural",
    assumes=("NTK parameterisation: the factor 1/√n stands in the forward pass.",),
    control=Control(
        "the standard parameterisation: the factor is drawn, not applied", parameterisation="standard"
    ),
    uses=(InfiniteMLP, EmpiricalKernel),
    mutants=(
        Mutant("the covariance of outputs for the tangent kernel", InfiniteMLP, _covariance),
        Mutant("a layer is missing", InfiniteMLP, _a_layer_too_few),
        Mutant("the bias is forgotten", InfiniteMLP, _without_bias),
    ),
)
def empirical_kernels_tend_to_the_infinite_one(
    setting: Setting, /, *, parameterisation: str = "ntk"
) -> Evidence:
    """The tangent kernel of a random net differs from the closed form of infinite width by an amount that
    falls like one over the root of the width.

    Two hidden layers, ReLU and erf, widths 64 to 1,024; the relative distance of the Gram matrices of eight
    points in five dimensions, root mean square over four nets; one slope for each of 24 such groups. With any
    other limit the distance would not fall at all.
    """
    points, groups = sphere(8, 5, setting.stream.child("points")), setting.size(quick=24, full=100)
    parts: dict[str, Evidence] = {}
    for activation in ("relu", "erf"):
        found = distances(
            points,
            WIDTHS,
            setting.stream.child("nets", activation),
            activation=activation,
            parameterisation=parameterisation,
            draws=4 * groups,
        )
        grouped = found.square().reshape(groups, 4, -1).mean(1).sqrt()
        notes = {"relative distance": dict(zip(map(str, WIDTHS), grouped.mean(0).tolist(), strict=True))}
        parts[activation] = Rate.of(WIDTHS, grouped.numpy(), expected=-0.5, margin=0.15, notes=notes)
    return Joint(parts=parts)
