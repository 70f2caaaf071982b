"""Tangent kernels of random nets with two hidden layers, against the closed form of infinite width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.networks import Erf, NTKLinear
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP
from kdtheory.streams import Stream

WIDTHS = (64, 128, 256, 512, 1024)
NETS = 4
"""Nets of each width in a group, which share their points."""
TOGETHER = 4
"""Groups whose kernels are taken in one product."""

Drawn = list[tuple[Tensor, Tensor]]
"""Standard normal weights and biases of every layer, members first."""
Parameterisation = Callable[[NTKLinear, Tensor, Tensor], tuple[nn.Linear, Tensor, Tensor]]


@dataclass(frozen=True)
class Law:
    """The nets: their activation, its module, W_std and b_std."""

    activation: str
    module: Callable[[], nn.Module]
    weight_std: float
    bias_std: float


RELU = Law("relu", nn.ReLU, math.sqrt(2), 0.3)
ERF = Law("erf", Erf, 1.5, 0.3)
LAWS = (RELU, ERF)


def scales_applied(layer: NTKLinear, weight: Tensor, bias: Tensor) -> tuple[nn.Linear, Tensor, Tensor]:
    """NTK parameterisation: the scales stand in the forward pass."""
    return layer, weight, bias


def scales_drawn(layer: NTKLinear, weight: Tensor, bias: Tensor) -> tuple[nn.Linear, Tensor, Tensor]:
    """Standard parameterisation: the same functions, with their scales in the weights."""
    plain: nn.Linear = skip_init(nn.Linear, layer.in_features, layer.out_features)
    return plain, layer.weight_scale * weight, layer.bias_scale * bias


@experiment
def kernels_of_random_nets(run: Run, /, *, parameterisation: Parameterisation = scales_applied) -> Rows:
    """Two hidden layers of 64 to 1,024 units, ReLU and erf on the same weights; the Gram matrix of eight
    points in five dimensions; 48 groups of four nets of each width, each group with its own points. Of each
    group and width: the relative Frobenius distance of the empirical kernels from the infinite one, root mean
    square over the nets, and the mean of ⟨Θ̂, Θ⟩/‖Θ‖².
    """
    distances, shares = [], []  # laws × groups × widths, one entry a part of the groups
    for part in range(run.size(quick=48, full=100) // TOGETHER):
        here = run.stream.child("groups", part)
        points = torch.stack([sphere(8, 5, here.child("points", group)) for group in range(TOGETHER)])
        limit = torch.stack([torch.stack([infinite_kernel(each, law) for each in points]) for law in LAWS])
        kernels, own = [], points.repeat_interleave(NETS, 0)
        for width in WIDTHS:
            drawn = _weights(width, TOGETHER * NETS, here.child(width))
            kernels.append(torch.stack([_kernels(drawn, own, law, parameterisation) for law in LAWS]))
        found = torch.stack(kernels, 1).unflatten(2, (TOGETHER, NETS))
        one = limit[:, None, :, None]
        distances.append(relative_distance(found, one).square().mean(-1).sqrt().mT)
        shares.append(((found * one).sum((-1, -2)) / one.square().sum((-1, -2))).mean(-1).mT)
    distance, share = torch.cat(distances, 1), torch.cat(shares, 1)
    return Rows(
        width=WIDTHS,
        relu_distance=distance[0],
        erf_distance=distance[1],
        relu_share=share[0],
        erf_share=share[1],
    )


def sphere(count: int, dim: int, stream: Stream) -> Tensor:
    """Points of length √d in uniform directions, float32."""
    points = torch.randn(count, dim, dtype=torch.float64, generator=stream.torch())
    length: Tensor = points.norm(dim=1, keepdim=True)
    return (points / length * math.sqrt(dim)).float()


def infinite_kernel(points: Tensor, law: Law) -> Tensor:
    """Θ of infinite width."""
    kernel = InfiniteMLP(2, activation=law.activation, weight_std=law.weight_std, bias_std=law.bias_std)
    return kernel(points.double())


def empirical_kernels(
    points: Tensor, width: int, stream: Stream, *, law: Law, parameterisation: Parameterisation, nets: int
) -> Tensor:
    """Θ̂ of fresh nets: nets × points × points, float64."""
    return _kernels(_weights(width, nets, stream), points, law, parameterisation)


def relative_distance(kernels: Tensor, limit: Tensor) -> Tensor:
    """‖Θ̂ − Θ‖/‖Θ‖ (Frobenius), of each kernel."""
    away: Tensor = (kernels - limit).flatten(-2).norm(dim=-1) / limit.flatten(-2).norm(dim=-1)
    return away


def _weights(width: int, nets: int, stream: Stream) -> Drawn:
    generator = stream.torch()
    return [
        (torch.randn(nets, out, inside, generator=generator), torch.randn(nets, out, generator=generator))
        for inside, out in pairwise((5, width, width, 1))
    ]


def _kernels(drawn: Drawn, points: Tensor, law: Law, parameterisation: Parameterisation) -> Tensor:
    layers, parameters = zip(*_layers(drawn, law, parameterisation), strict=True)
    module = nn.Sequential(*(part for layer in layers for part in (layer, law.module())))[:-1]
    named = {
        f"{2 * depth}.{name}": part for depth, own in enumerate(parameters) for name, part in own.items()
    }
    return EmpiricalKernel(module).stacked(named, points)[..., 0, 0].double()


def _layers(
    drawn: Drawn, law: Law, parameterisation: Parameterisation
) -> Iterator[tuple[nn.Linear, dict[str, Tensor]]]:
    for weight, bias in drawn:
        with torch.device("meta"):  # its own numbers are not asked for
            layer = NTKLinear(
                weight.shape[2], weight.shape[1], weight_std=law.weight_std, bias_std=law.bias_std
            )
        made, own_weight, own_bias = parameterisation(layer.to_empty(device="cpu"), weight, bias)
        yield made, {"weight": own_weight, "bias": own_bias}
