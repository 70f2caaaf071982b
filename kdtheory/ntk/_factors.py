"""What a block of points contributes to an empirical kernel, layer by layer.

The gradient of output o at x for one layer of weights is either an outer product, δ_o(x) h(x)ᵀ, kept as its
two factors (`Outer`), or a vector that is made when it is asked for (`Flat`). Both are contracted with the
factors of another block: ⟨δ_o hᵀ, δ′_p h′ᵀ⟩ = (δ_o·δ′_p)(h·h′), which never forms a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Factor", "Flat", "Outer", "product"]


def product(left: Tensor, right: Tensor) -> Tensor:
    """A·Bᵀ; on the CPU by NumPy, whose BLAS is the faster one and halves the work of A·Aᵀ."""
    if left.device.type != "cpu":
        return left @ right.mT
    return torch.from_numpy(left.numpy() @ right.numpy().T)


class Factor:
    """The gradients of one layer at n points, for k outputs; `numbers` is about how many it holds or makes."""

    numbers: int

    def mean(self, other: Factor, outputs: int) -> Tensor:
        """(1/k) Σ_o ⟨g_o(x), g_o(x′)⟩, n × m."""
        raise NotImplementedError

    def pair(self, other: Factor, first: int, second: int) -> Tensor:
        """⟨g_o(x), g_p(x′)⟩, n × m, for two outputs o and p."""
        raise NotImplementedError

    def squares(self, output: int) -> Tensor:
        """‖g_o(x)‖², n."""
        raise NotImplementedError

    def along(self, direction: Tensor) -> Tensor:
        """‖Σ_o c_o g_o(x)‖², n."""
        raise NotImplementedError


@dataclass(frozen=True)
class Outer(Factor):
    """g_o = δ_o hᵀ for the weights and δ_o for the bias.

    Args:
        inputs: h, n × in, scaled; with another column where there is a bias.
        deltas: o to δ_o, n × out; None is the output layer, where δ_o = e_o.
        stacked: a matrix n × r whose Gram matrix is Σ_o δ_o(x)·δ_o(x′).
    """

    inputs: Tensor
    deltas: Callable[[int], Tensor] | None
    stacked: Callable[[], Tensor]
    numbers: int

    @cached_property
    def _root(self) -> Tensor:
        return self.stacked()

    def mean(self, other: Factor, outputs: int) -> Tensor:
        assert isinstance(other, Outer)
        gram = product(self.inputs, other.inputs)
        if self.deltas is None:
            return gram
        return gram.mul_(product(self._root, other._root)).div_(outputs)

    def pair(self, other: Factor, first: int, second: int) -> Tensor:
        assert isinstance(other, Outer)
        gram = self._input_gram(other)
        if self.deltas is None or other.deltas is None:
            return gram.clone() if first == second else torch.zeros_like(gram)
        left = self.deltas(first)
        right = left if self is other and first == second else other.deltas(second)
        return product(left, right).mul_(gram)

    def squares(self, output: int) -> Tensor:
        size = self.inputs.square().sum(1)
        return size if self.deltas is None else size * self.deltas(output).square().sum(1)

    def along(self, direction: Tensor) -> Tensor:
        size = self.inputs.square().sum(1)
        if self.deltas is None:
            return size * direction.square().sum()
        total = sum(c * self.deltas(o) for o, c in enumerate(direction))
        assert isinstance(total, Tensor)
        return size * total.square().sum(1)

    def _input_gram(self, other: Outer) -> Tensor:
        """h·h′, kept from one pair of outputs to the next."""
        if self._grams.get("of") is not other:
            self._grams.update({"of": other, "gram": product(self.inputs, other.inputs)})
        gram: Tensor = self._grams["gram"]
        return gram

    @cached_property
    def _grams(self) -> dict:
        return {}


@dataclass(frozen=True)
class Flat(Factor):
    """g_o as a matrix n × p, made by `gradient(o)` when it is asked for."""

    gradient: Callable[[int], Tensor]
    numbers: int

    def mean(self, other: Factor, outputs: int) -> Tensor:
        total = self.pair(other, 0, 0)
        for output in range(1, outputs):
            total += self.pair(other, output, output)
        return total.div_(outputs)

    def pair(self, other: Factor, first: int, second: int) -> Tensor:
        assert isinstance(other, Flat)
        left = self.gradient(first)
        return product(left, left if self is other and first == second else other.gradient(second))

    def squares(self, output: int) -> Tensor:
        return self.gradient(output).square().sum(1)

    def along(self, direction: Tensor) -> Tensor:
        total = sum(c * self.gradient(o) for o, c in enumerate(direction))
        assert isinstance(total, Tensor)
        return total.square().sum(1)
