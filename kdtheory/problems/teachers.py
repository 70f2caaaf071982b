"""Gaussian inputs labelled by a known teacher: x ~ N(0, I_d), p*(x) = softmax(f*(x) / T)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.problems._draws import axes, categorical, check_inputs
from kdtheory.problems.world import World
from kdtheory.streams import Stream
from kdtheory.types import Sample
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = [
    "KernelLogits",
    "LinearLogits",
    "TeacherLogits",
    "TeacherWorld",
    "kernel_teacher",
    "linear_teacher",
]

_NEAR = 1e-3
_NUMBERS_AT_ONCE = 2**20


@door
class TeacherLogits(ABC):
    """f*: R^d → R^k, float64. Write a frozen dataclass, so that its world can be sent to other processes."""

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """k, the number of logits."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """d, the dimension of the inputs."""

    @abstractmethod
    def __call__(self, inputs: Float[Tensor, "*batch d"], /) -> Float[Tensor, "*batch k"]:
        """The logits of `inputs`."""


def _check_inputs(inputs: Tensor, dim: int) -> None:
    if inputs.shape[-1:] != (dim,):
        raise ValueError(f"inputs has shape {tuple(inputs.shape)}; its last axis must be dim = {dim}")
    check_finite("inputs", inputs)


@door
@final
@dataclass(frozen=True, eq=False)
class LinearLogits(TeacherLogits):
    """f*(x) = W x.

    Args:
        weight: W; kept in float64.

    Raises:
        ValueError: `weight` is not a matrix of finite numbers.
    """

    weight: Float[Tensor, "k d"]

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"weight has shape {tuple(self.weight.shape)}; give [k d]")
        check_finite("weight", self.weight)
        object.__setattr__(self, "weight", self.weight.to(torch.float64))

    @property
    def num_classes(self) -> int:
        """k, the number of logits."""
        return self.weight.shape[0]

    @property
    def dim(self) -> int:
        """d, the dimension of the inputs."""
        return self.weight.shape[1]

    def __call__(self, inputs: Float[Tensor, "*batch d"], /) -> Float[Tensor, "*batch k"]:
        """The logits of `inputs`."""
        _check_inputs(inputs, self.dim)
        return inputs.to(self.weight) @ self.weight.T


@door
@final
@dataclass(frozen=True, eq=False)
class KernelLogits(TeacherLogits):
    """f*(x) = Σ_i α_i K(x, c_i) with the Gaussian kernel K(x, c) = exp(−‖x − c‖² / 2h²).

    Args:
        coefficients: α_i, one row a centre; kept in float64.
        centres: c_i; kept in float64.
        bandwidth: h > 0.

    Raises:
        ValueError: shapes that disagree, entries that are not finite, or h ≤ 0.

    >>> logits = KernelLogits(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 1), 1.0)
    >>> [round(value, 4) for value in logits(torch.tensor([1.0])).tolist()]  # 2·e^{−1/2}
    [1.2131, 0.0]
    """

    coefficients: Float[Tensor, "c k"]
    centres: Float[Tensor, "_ d"]
    bandwidth: float

    def __post_init__(self) -> None:
        shapes = tuple(self.coefficients.shape), tuple(self.centres.shape)
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][0] != shapes[1][0]:
            raise ValueError("coefficients, centres have shapes {}, {}; give [c k] and [c d]".format(*shapes))
        check_finite("coefficients", self.coefficients)
        check_finite("centres", self.centres)
        check_positive("bandwidth", self.bandwidth)
        object.__setattr__(self, "coefficients", self.coefficients.to(torch.float64))
        object.__setattr__(self, "centres", self.centres.to(torch.float64))

    @property
    def num_classes(self) -> int:
        """k, the number of logits."""
        return self.coefficients.shape[1]

    @property
    def dim(self) -> int:
        """d, the dimension of the inputs."""
        return self.centres.shape[1]

    def __call__(self, inputs: Float[Tensor, "*batch d"], /) -> Float[Tensor, "*batch k"]:
        """The logits of `inputs`."""
        _check_inputs(inputs, self.dim)
        rows = inputs.to(self.centres).reshape(-1, self.dim)
        squares = rows.square().sum(-1, keepdim=True) + self.centres.square().sum(-1)
        distances = (squares - 2 * rows @ self.centres.T).clamp_min(0)
        near = (distances < _NEAR * squares).nonzero()
        for part in near.split(max(1, _NUMBERS_AT_ONCE // self.dim)):  # what is left of squares has no digits
            i, j = part.unbind(1)
            distances[i, j] = (rows[i] - self.centres[j]).square().sum(-1)
        logits = torch.exp(-distances / (2 * self.bandwidth**2)) @ self.coefficients
        return logits.reshape(*inputs.shape[:-1], self.num_classes)


@door
@final
@dataclass(frozen=True, eq=False)
class TeacherWorld(World):
    """x ~ N(0, I_d), y ~ p*(x) = softmax(f*(x) / T), float64.

    Args:
        logits: f*.
        temperature: T > 0.

    Raises:
        ValueError: f* has fewer than 2 logits, or T ≤ 0.

    >>> world = TeacherWorld(LinearLogits(torch.tensor([[1.0], [0.0]])), temperature=0.5)
    >>> [round(p, 4) for p in world.posterior(torch.tensor([1.0])).tolist()]  # 1/(1 + e^{−2})
    [0.8808, 0.1192]
    """

    logits: TeacherLogits
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("the number of logits", self.logits.num_classes, 2)
        check_positive("temperature", self.temperature)

    @property
    def num_classes(self) -> int:
        """k, the number of classes."""
        return self.logits.num_classes

    @property
    def dim(self) -> int:
        """d, the dimension of the inputs."""
        return self.logits.dim

    def posterior(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """p*(x) of each input, float64.

        Raises:
            ValueError: the last axis of `inputs` is not `dim`, or an entry is not finite.
        """
        check_inputs(inputs, self.dim)
        return (self.logits(inputs) / self.temperature).softmax(-1)

    def sample(self, shape: int | tuple[int, ...], stream: Stream) -> Sample:
        """Independent draws of (x, y), with p*(x) beside them.

        Args:
            shape: how many, n or the axes (M, n).
            stream: where the randomness comes from.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """
        generator = stream.child("inputs").torch()
        inputs = torch.randn((*axes(shape), self.dim), dtype=torch.float64, generator=generator)
        probs = self.posterior(inputs)
        return Sample(inputs.to(probs.device), categorical(probs, stream.child("labels")), probs)


@door
def linear_teacher(
    stream: Stream, *, dim: int, num_classes: int, scale: float = 1.0, temperature: float = 1.0
) -> TeacherWorld:
    """A world with f*(x) = W x, W_cj ~ N(0, scale²/d): each logit has the standard deviation `scale`.

    Args:
        stream: where W comes from.
        dim: d.
        num_classes: k.
        scale: standard deviation of a logit before the temperature, over x and W.
        temperature: T.

    Raises:
        ValueError: a size that is too small, scale ≤ 0 or T ≤ 0.

    >>> world = linear_teacher(Stream(0), dim=5, num_classes=3)
    >>> world.sample((4, 10), Stream(1)).inputs.shape
    torch.Size([4, 10, 5])
    """
    check_at_least("dim", dim, 1)
    check_at_least("num_classes", num_classes, 2)
    check_positive("scale", scale)
    weight = torch.randn((num_classes, dim), dtype=torch.float64, generator=stream.child("weight").torch())
    logits = LinearLogits(weight * scale / math.sqrt(dim))
    return TeacherWorld(logits, temperature)


@door
def kernel_teacher(
    stream: Stream,
    *,
    dim: int,
    num_classes: int,
    num_centres: int = 32,
    bandwidth: float | None = None,
    scale: float = 1.0,
    temperature: float = 1.0,
) -> TeacherWorld:
    """A world with f*(x) = Σ_i α_i exp(−‖x − c_i‖²/2h²), c_i ~ N(0, I), α_i Gaussian.

    The variance of α_i is scale²/(m·E K²), E K² = (1 + 4/h²)^{−d/2} over independent x and c, so that each
    logit has the standard deviation `scale` over x, c and α together.

    Args:
        stream: where centres and coefficients come from.
        dim: d.
        num_classes: k.
        num_centres: m.
        bandwidth: h; √d where None.
        scale: standard deviation of a logit before the temperature.
        temperature: T.

    Raises:
        ValueError: a size that is too small, or h, scale or T ≤ 0.
    """
    check_at_least("dim", dim, 1)
    check_at_least("num_classes", num_classes, 2)
    check_at_least("num_centres", num_centres, 1)
    check_positive("scale", scale)
    width = math.sqrt(dim) if bandwidth is None else bandwidth
    check_positive("bandwidth", width)
    shape = (num_centres, dim), (num_centres, num_classes)
    centres = torch.randn(shape[0], dtype=torch.float64, generator=stream.child("centres").torch())
    alpha = torch.randn(shape[1], dtype=torch.float64, generator=stream.child("coefficients").torch())
    mean_square = (1 + 4 / width**2) ** (-dim / 2)
    if not mean_square > 0:
        raise ValueError(
            f"bandwidth = {width:g} in dim = {dim} makes a kernel that is 0 almost everywhere; "
            "give a larger one, such as the root of dim"
        )
    logits = KernelLogits(alpha * scale / math.sqrt(num_centres * mean_square), centres, width)
    return TeacherWorld(logits, temperature)
