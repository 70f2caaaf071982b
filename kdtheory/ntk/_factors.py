"""The contributions of a block of points to an empirical kernel, layer by layer.

The gradient of output o at x for one layer of weights is either an outer product, δ_o(x) h(x)ᵀ, kept as its
two factors, or a vector that is made from δ_o when it is asked for. Both are contracted with those of another
block: ⟨δ_o hᵀ, δ′_p h′ᵀ⟩ = (δ_o·δ′_p)(h·h′), which never forms a gradient. The signals δ are as many numbers
as layers times outputs: they are made for as many outputs as are needed at a time.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Below", "Factors", "Flat", "Last", "Layer", "Outer", "Signalled"]


class Layer(abc.ABC):
    """The gradients of one layer at n points, for every output."""

    @abc.abstractmethod
    def along(self, signal: Tensor | None, coefficients: Tensor) -> Tensor:
        """‖Σ_o c_o g_o(x)‖², n, for the outputs whose signal it is: those of all `coefficients`, g of them.

        `signal` is δ, n × g × …, and None for a layer that is not `Signalled`.
        """

    @abc.abstractmethod
    def numbers(self, outputs: int) -> int:
        """About how many numbers it holds with the signals of so many outputs at a time."""


@dataclass(frozen=True, eq=False)
class Last(Layer):
    """g_o = e_o hᵀ, the output layer; h, n × in, is scaled, with another column where there is a bias."""

    inputs: Tensor

    def along(self, signal: Tensor | None, coefficients: Tensor) -> Tensor:
        return self.inputs.square().sum(1) * coefficients.square().sum()

    def numbers(self, outputs: int) -> int:
        return 2 * self.inputs.numel()


@dataclass(frozen=True, eq=False)
class Below(Layer):
    """g_o = (a′ ∘ w_o) hᵀ, the dense layer next to the output layer.

    Args:
        inputs: h, n × in.
        slope: a′, n × out.
        weight: w_o for each output, k × out.
    """

    inputs: Tensor
    slope: Tensor
    weight: Tensor

    def along(self, signal: Tensor | None, coefficients: Tensor) -> Tensor:
        return self.inputs.square().sum(1) * (self.slope * (coefficients @ self.weight)).square().sum(1)

    def numbers(self, outputs: int) -> int:
        return 2 * (self.inputs.numel() + self.slope.numel())


@dataclass(frozen=True, eq=False)
class Outer(Layer):
    """g_o = δ_o hᵀ; h is n × in and δ_o has `width` numbers."""

    inputs: Tensor
    width: int

    def along(self, signal: Tensor | None, coefficients: Tensor) -> Tensor:
        return self.inputs.square().sum(1) * torch.einsum("ngw,g->nw", signal, coefficients).square().sum(1)

    @property
    def signal_numbers(self) -> int:
        return self.width * len(self.inputs)

    def numbers(self, outputs: int) -> int:
        return 2 * self.inputs.numel() + (1 + outputs) * self.signal_numbers


@dataclass(frozen=True, eq=False)
class Flat(Layer):
    """g_o = `gradient`(δ_o), a matrix n × p; `held` numbers, and for each output `signal_numbers`."""

    gradient: Callable[[Tensor], Tensor]
    held: int
    signal_numbers: int

    def along(self, signal: Tensor | None, coefficients: Tensor) -> Tensor:
        assert signal is not None
        total = sum(c * self.gradient(signal[:, o]) for o, c in enumerate(coefficients))
        assert isinstance(total, Tensor)
        return total.square().sum(1)

    def numbers(self, outputs: int) -> int:
        return self.held + outputs * self.signal_numbers


Signalled = Outer | Flat


@dataclass(frozen=True, eq=False)
class Factors:
    """The gradients of all layers at a block of points.

    Args:
        layers: what each of them contributes.
        outputs: k.
        signals: of some outputs the δ of every layer that is `Signalled`, in order, n × g × … each.
    """

    layers: Sequence[Layer]
    outputs: int
    signals: Callable[[slice], list[Tensor]]

    def along(self, coefficients: Tensor, outputs: slice) -> Tensor:
        """‖∇_θ Σ_o c_o f_o(x)‖², n, over some of the outputs."""
        signals = iter(self.signals(outputs))
        whole = coefficients.new_zeros(self.outputs)
        whole[outputs] = coefficients
        total: Tensor | None = None
        for layer in self.layers:
            if isinstance(layer, Signalled):
                part = layer.along(next(signals), coefficients)
            else:
                part = layer.along(None, whole)
            total = part if total is None else total + part
        assert total is not None
        return total

    def numbers(self, outputs: int) -> int:
        """About how many numbers are held with the signals of so many outputs at a time."""
        return sum(layer.numbers(outputs) for layer in self.layers)
