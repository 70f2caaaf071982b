"""What a block of points contributes to an empirical kernel, layer by layer.

The gradient of output o at x for one layer of weights is either an outer product, δ_o(x) h(x)ᵀ, kept as its
two factors (`Outer`), or a vector that is made when it is asked for (`Flat`). Both are contracted with the
factors of another block: ⟨δ_o hᵀ, δ′_p h′ᵀ⟩ = (δ_o·δ′_p)(h·h′), which never forms a gradient.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kdtheory.ntk._threads import shared_product

__all__ = ["Factor", "Flat", "Outer", "product"]


def product(left: Tensor, right: Tensor) -> Tensor:
    """A·Bᵀ; on the CPU by NumPy, whose BLAS is the faster one, with half of the work for A·Aᵀ."""
    if left.device.type != "cpu":
        return left @ right.mT
    return torch.from_numpy(shared_product(left.numpy(), right.numpy()))


class Factor(abc.ABC):
    """The gradients of one layer at n points, for k outputs; `numbers` is about how many it holds."""

    numbers: int

    @abc.abstractmethod
    def pair(self, other: Factor, first: int, second: int, total: Tensor | None) -> Tensor | None:
        """`total`, or nothing, and ⟨g_o(x), g_p(x′)⟩, n × m, for two outputs o and p."""

    @abc.abstractmethod
    def squares(self, output: int) -> Tensor:
        """‖g_o(x)‖², n."""

    @abc.abstractmethod
    def along(self, direction: Tensor) -> Tensor:
        """‖Σ_o c_o g_o(x)‖², n."""


@dataclass(frozen=True, eq=False)
class Outer(Factor):
    """g_o = δ_o hᵀ for the weights and δ_o for the bias.

    Args:
        inputs: h, n × in, scaled; with another column where there is a bias.
        deltas: δ, n × k × out; None is the output layer, where δ_o = e_o.
        stacked: a matrix n × r whose Gram matrix is Σ_o δ_o(x)·δ_o(x′); None at the output layer.
        numbers: what it holds.
    """

    inputs: Tensor
    deltas: Tensor | None
    stacked: Tensor | None
    numbers: int

    def pair(self, other: Factor, first: int, second: int, total: Tensor | None) -> Tensor | None:
        assert isinstance(other, Outer)
        if self.deltas is None or other.deltas is None:
            if first != second:
                return total
            return self._gram(other).clone() if total is None else total.add_(self._gram(other))
        block = product(self.deltas[:, first], other.deltas[:, second])
        if total is None:
            return block.mul_(self._gram(other))
        return total.addcmul_(block, self._gram(other))

    def squares(self, output: int) -> Tensor:
        size = self.inputs.square().sum(1)
        return size if self.deltas is None else size * self.deltas[:, output].square().sum(1)

    def along(self, direction: Tensor) -> Tensor:
        size = self.inputs.square().sum(1)
        if self.deltas is None:
            return size * direction.square().sum()
        return size * torch.einsum("nko,k->no", self.deltas, direction).square().sum(1)

    @cached_property
    def _grams(self) -> dict[int, tuple[Outer, Tensor]]:
        return {}

    def _gram(self, other: Outer) -> Tensor:
        """h·h′, kept from one pair of outputs to the next."""
        if id(other) not in self._grams:
            self._grams.clear()
            self._grams[id(other)] = other, product(self.inputs, other.inputs)
        return self._grams[id(other)][1]


@dataclass(frozen=True, eq=False)
class Flat(Factor):
    """g_o as a matrix n × p, made by `gradient(o)` when it is asked for."""

    gradient: Callable[[int], Tensor]
    numbers: int

    def pair(self, other: Factor, first: int, second: int, total: Tensor | None) -> Tensor | None:
        assert isinstance(other, Flat)
        left = self.gradient(first)
        block = product(left, left if self is other and first == second else other.gradient(second))
        return block if total is None else total.add_(block)

    def squares(self, output: int) -> Tensor:
        return self.gradient(output).square().sum(1)

    def along(self, direction: Tensor) -> Tensor:
        total = sum(c * self.gradient(o) for o, c in enumerate(direction))
        assert isinstance(total, Tensor)
        return total.square().sum(1)
