"""Back-propagation through an MLP for a group of members at once, by hand, into arrays that are kept.

Everything lies features × examples, so that the units of a layer and the constant unit that carries the bias
are one matrix and the logits come out classes × examples: along the examples a soft-max vectorises, along
ten classes it does not. With few examples the products of wide layers are written examples × units, as they
are computed several times sooner so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Activation", "MLPTape"]

_aten = torch.ops.aten
_FEW = 16
"""So many examples, and matrix products that end in them vectorise along nothing."""
_LONG = 128


@dataclass(frozen=True)
class Activation:
    """An activation a whose derivative is a function of its value: a′(z) = d(a(z))."""

    function: Callable[[Tensor], Tensor]
    into: Callable[[Tensor, Tensor], object]
    pull_back: Callable[[Tensor, Tensor], object]
    module: Callable[[], nn.Module]


ACTIVATIONS = {
    "relu": Activation(
        torch.relu,
        lambda z, out: torch.clamp_min(z, 0, out=out),
        lambda gradient, value: _aten.threshold_backward.grad_input(gradient, value, 0, grad_input=gradient),
        nn.ReLU,
    ),
    "tanh": Activation(
        torch.tanh,
        lambda z, out: torch.tanh(z, out=out),
        lambda gradient, value: _aten.tanh_backward.grad_input(gradient, value, grad_input=gradient),
        nn.Tanh,
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        lambda z, out: torch.sigmoid(z, out=out),
        lambda gradient, value: _aten.sigmoid_backward.grad_input(gradient, value, grad_input=gradient),
        nn.Sigmoid,
    ),
    "identity": Activation(
        lambda z: z, lambda z, out: out.copy_(z), lambda gradient, value: gradient, nn.Identity
    ),
}


class MLPTape:
    """The steps of one group of MLPs: weights and gradients are views of the flat arrays."""

    def __init__(
        self, weights: list[Tensor], gradients: list[Tensor], activation: Activation, bias: bool
    ) -> None:
        self._weights = weights
        self._gradients = gradients
        self._inner = [weight[..., : weight.shape[-1] - bias].mT for weight in weights]
        self._activation = activation
        self._bias = bias
        self._arrays: dict[int, _Arrays] = {}

    def prepare(self, inputs: Float[Tensor, "members n d"], /) -> Float[Tensor, "members n inside"]:
        """The inputs with the constant one beside them, features first; a shared sample stays one array."""
        features = (inputs[:1] if inputs.stride(0) == 0 else inputs).mT
        if not self._bias:
            return features.contiguous().mT.expand(len(inputs), -1, -1)
        own, width, examples = features.shape
        with_one = features.new_empty(own, width + 1, examples)
        with_one[:, :width], with_one[:, width] = features, 1
        return with_one.mT.expand(len(inputs), -1, -1)

    def forward(self, prepared: Float[Tensor, "members n inside"], /) -> Float[Tensor, "members n k"]:
        """The logits, a transposed view of classes × examples."""
        arrays = self._arrays_for(prepared.shape[1])
        arrays.below[0], arrays.read_back[0] = prepared.mT, prepared
        for weight, below, sums, units in zip(
            self._weights, arrays.below, arrays.sums, arrays.units, strict=True
        ):
            _product(weight, below, sums)
            if units is not sums:
                self._activation.into(sums, units)
        return arrays.logits

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        """Fill the gradient from ∂loss/∂logits: δ_l = (W_{l+1}ᵀ δ_{l+1}) a′, ∂W_l = δ_l h_{l−1}ᵀ."""
        arrays = self._arrays_for(logit_gradient.shape[1])
        delta = logit_gradient.mT.contiguous()
        for depth in range(len(self._weights) - 1, -1, -1):
            torch.bmm(delta, arrays.read_back[depth], out=self._gradients[depth])
            if depth:
                lower = arrays.deltas[depth - 1]
                _product(self._inner[depth], delta, lower)
                self._activation.pull_back(lower, arrays.units[depth - 1])
                delta = lower

    def step(
        self,
        logit_gradient: Float[Tensor, "members n k"],
        rate: float,
        /,
        *,
        factors: Sequence[Tensor] | None = None,
    ) -> None:
        """W_l −= rate·δ_l (factors·h_{l−1})ᵀ, in one pass over the weights or in two, whichever is sooner."""
        arrays = self._arrays_for(logit_gradient.shape[1])
        delta = logit_gradient.mT.contiguous()
        for depth in range(len(self._weights) - 1, -1, -1):
            pulled = delta
            if depth:
                lower = arrays.deltas[depth - 1]
                _product(self._inner[depth], delta, lower)
                self._activation.pull_back(lower, arrays.units[depth - 1])
                delta = lower
            read = arrays.read_back[depth] if factors is None else arrays.read_back[depth] * factors[depth]
            weight, gradient = self._weights[depth], self._gradients[depth]
            if _adds_slowly(weight):
                torch.bmm(pulled, read, out=gradient)
                weight.add_(gradient, alpha=-rate)
            else:
                weight.baddbmm_(pulled, read, alpha=-rate)

    def settle(self) -> None:
        """The parameters are up to date after every step."""

    def _arrays_for(self, examples: int) -> _Arrays:
        if examples not in self._arrays:
            members, outs = len(self._weights[0]), [weight.shape[1] for weight in self._weights]
            new = self._weights[0].new_ones
            layers = [new(members, out + self._bias, examples) for out in outs[:-1]]
            logits = new(members, outs[-1], examples)
            inputs = layers[:1] or [logits]  # a place for what `forward` is given
            sizes = [members * out * examples for out in outs[:-1]]  # units have a row more, in which sums
            room = new(max(sizes, default=0))  # would be split
            self._arrays[examples] = _Arrays(
                below=[*inputs, *layers],
                read_back=[layer.mT for layer in (*inputs, *layers)],
                sums=[
                    *(_room(room[:size], out, examples) for size, out in zip(sizes, outs, strict=False)),
                    logits,
                ],
                units=[*(layer[:, :out] for layer, out in zip(layers, outs, strict=False)), logits],
                deltas=[_room(new(size), out, examples) for size, out in zip(sizes, outs, strict=False)],
                logits=logits.mT,
            )
        return self._arrays[examples]


@dataclass(frozen=True)
class _Arrays:
    """Room for the values of one forward and backward pass, and the views of it that the products take.

    `below` is what each layer reads, with its constant unit, and `read_back` the same transposed; `sums` is
    what its product writes, and `units` what is made of it, without the constant unit.
    """

    below: list[Tensor]
    read_back: list[Tensor]
    sums: list[Tensor]
    units: list[Tensor]
    deltas: list[Tensor]
    logits: Tensor


def _room(flat: Tensor, out: int, examples: int) -> Tensor:
    """The array as units × examples, of which the units lie one after another where the examples are few."""
    if examples > _FEW:
        return flat.view(-1, out, examples)
    return flat.view(-1, examples, out).mT


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """left·right into `out`, transposed where it lies so."""
    if out.is_contiguous():
        torch.bmm(left, right, out=out)
    else:
        torch.bmm(right.mT, left.mT, out=out.mT)


def _adds_slowly(weight: Tensor) -> bool:
    """Whether a product added in place takes longer than one that is written and then added.

    It does, by up to three times, where rows are long and do not begin at multiples of a vector's 32 bytes.
    """
    return weight.shape[-1] >= _LONG and weight.stride(-2) * weight.element_size() % 32 > 0
