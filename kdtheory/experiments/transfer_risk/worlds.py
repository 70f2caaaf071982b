"""Worlds of the transfer risk: a circle, real images, and nets close to their start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import grad, vmap

from kdtheory.datasets import Images
from kdtheory.experiments.run import Run
from kdtheory.networks import MLP
from kdtheory.ntk import InfiniteMLP, Kernel
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.transfer_risk import KernelFunction, interpolant

KERNEL = InfiniteMLP(1, weight_std=2**0.5)
SPREAD = 0.001


def circle(size: int, stream: Stream, /) -> Tensor:
    """Uniform points on the unit circle: two dimensions, so that few points say much."""
    points = torch.randn(size, 2, dtype=torch.float64, generator=stream.torch())
    return torch.nn.functional.normalize(points)


def few_anchors(stream: Stream, /, *, anchors: int = 4) -> KernelFunction:
    """An oracle on the circle: a Gaussian combination of a few features."""
    coefficients = torch.randn(anchors, dtype=torch.float64, generator=stream.child("coefficients").torch())
    return KernelFunction(KERNEL, circle(anchors, stream.child("anchors")), coefficients)


def unit_images(images: Images, stream: Stream, /, *, most: int) -> tuple[Tensor, Tensor]:
    """Centred images of length one, in random order, and ±1 for the lower and upper half of the classes."""
    order = torch.randperm(images.num_images, generator=stream.torch())[:most]
    inputs = images.inputs[order].double()
    inputs = inputs - inputs.mean(0)
    signs = torch.where(images.labels[order] < images.num_classes / 2, 1.0, -1.0).double()
    return inputs / inputs.norm(dim=-1, keepdim=True), signs


def image_oracle(
    run: Run, /, *, pool: int, fresh: int, kernel: Kernel | None = None
) -> tuple[KernelFunction, Tensor]:
    """The smoothest function through the labels of `pool` images, and fresh images.

    Without a kernel, smoothness is that of infinitely wide nets of two hidden layers.
    """
    inputs, signs = unit_images(run.images, run.stream.child("images"), most=pool + fresh)
    kernel = InfiniteMLP(2, weight_std=2**0.5) if kernel is None else kernel
    return interpolant(kernel, inputs[:pool], signs[:pool]), inputs[pool:]


def contrast(logits: Tensor, /) -> Tensor:
    """z = f_1 − f_0, the one logit of two classes."""
    return logits[..., 1] - logits[..., 0]


def two_columns(logits: Tensor, /) -> Tensor:
    """(1 − σ(z), σ(z))."""
    return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], -1)


def squared_contrast(logits: Tensor, teacher_probs: Tensor, _labels: Tensor | None) -> Tensor:
    """½(z_s − z_t)², the squared loss on the logit of two classes."""
    return 0.5 * (contrast(logits) - contrast(teacher_probs.log())).square()


def tangent_features(architecture: MLP, params: Tensor, inputs: Tensor, /) -> Tensor:
    """∂z(θ, x)/∂θ of one net, one row for each input."""

    def single(theta: Tensor, x: Tensor) -> Tensor:
        return contrast(architecture.logits(theta, x[None]))[0]

    rows: Tensor = vmap(grad(single), (None, 0))(params, inputs)
    return rows


@dataclass(frozen=True)
class LazyNets:
    """Nets of two layers and two outputs, all started from one θ_0 and taught by nets close to it.

    A teacher is the net at θ_0 + ε·δ, ε = 0.001 and δ ~ N(0, I): isotropic on the tangent features.
    Within O(ε) teacher and student are linear in their weights, with the tangent features at θ_0 for φ.

    Args:
        dim: d of the inputs.
        width: of the hidden layer.
        stream: where θ_0 and the teachers come from.
    """

    dim: int
    width: int
    stream: Stream

    @cached_property
    def architecture(self) -> MLP:
        """tanh, which is smooth."""
        return MLP((self.dim, self.width, 2), activation="tanh")

    @cached_property
    def start(self) -> Tensor:
        """θ_0."""
        return self.architecture.init(self.stream.child("start"), members=1, dtype=torch.float64)[0]

    def gaussian_teachers(self, members: int, /) -> Tensor:
        """ε·δ_m, one row for each member."""
        generator = self.stream.child("oracles").torch()
        return SPREAD * torch.randn(members, self.architecture.size, dtype=torch.float64, generator=generator)

    def change(self, moved: Tensor, inputs: Tensor, /) -> Tensor:
        """z(θ_0 + Δ) − z(θ_0) on the inputs, one row for each Δ."""
        base = contrast(self.architecture.logits(self.start, inputs))
        return contrast(self.architecture.logits(self.start + moved, inputs)) - base

    def features(self, inputs: Tensor, /) -> Tensor:
        """∂z(θ_0, x)/∂θ, one row for each input."""
        return tangent_features(self.architecture, self.start, inputs)

    def trained(
        self, inputs: Tensor, teachers: Tensor, /, *, steps: int, rate: float, momentum: float = 0.9
    ) -> Population:
        """One net for each teacher θ_0 + Δ, from θ_0, by gradient descent on its logits at the inputs."""
        logits = contrast(self.architecture.logits(self.start + teachers, inputs))
        return train(
            self.architecture,
            inputs,
            teacher_probs=two_columns(logits),
            loss=squared_contrast,
            members=len(teachers),
            stream=self.stream,
            recipe=Recipe(
                steps=steps, learning_rate=rate, optimizer="sgd", momentum=momentum, dtype=torch.float64
            ),
            initial=self.start.expand(len(teachers), -1),
            device="cpu",
        )
