"""Back-propagation through an MLP for a group of members at once, by hand, into arrays that are kept.

Everything lies features × examples, so that the units of a layer and the constant unit that carries the bias
are one matrix and the logits come out classes × examples: along the examples a soft-max vectorises, along
ten classes it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Activation", "MLPTape"]

_aten = torch.ops.aten


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
            torch.bmm(weight, below, out=sums)
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
                torch.bmm(self._inner[depth], delta, out=lower)
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
        """W_l −= rate·δ_l (factors·h_{l−1})ᵀ, in one pass over the weights."""
        arrays = self._arrays_for(logit_gradient.shape[1])
        delta = logit_gradient.mT.contiguous()
        for depth in range(len(self._weights) - 1, -1, -1):
            pulled = delta
            if depth:
                lower = arrays.deltas[depth - 1]
                torch.bmm(self._inner[depth], delta, out=lower)
                self._activation.pull_back(lower, arrays.units[depth - 1])
                delta = lower
            read = arrays.read_back[depth]
            self._weights[depth].baddbmm_(
                pulled, read if factors is None else read * factors[depth], alpha=-rate
            )

    def settle(self) -> None:
        """The parameters are up to date after every step."""

    def _arrays_for(self, examples: int) -> _Arrays:
        if examples not in self._arrays:
            outs = [weight.shape[1] for weight in self._weights]
            new = partial(self._weights[0].new_ones, len(self._weights[0]))
            layers = [new(out + self._bias, examples) for out in outs[:-1]]
            logits = new(outs[-1], examples)
            inputs = layers[:1] or [logits]  # a place for what `forward` is given
            room = new(max(outs[:-1], default=0), examples).flatten()  # units have a row more, in which sums
            sizes = [len(self._weights[0]) * out * examples for out in outs[:-1]]  # would be split
            self._arrays[examples] = _Arrays(
                below=[*inputs, *layers],
                read_back=[layer.mT for layer in (*inputs, *layers)],
                sums=[
                    *(room[:size].view(-1, out, examples) for size, out in zip(sizes, outs, strict=False)),
                    logits,
                ],
                units=[*(layer[:, :out] for layer, out in zip(layers, outs, strict=False)), logits],
                deltas=[new(out, examples) for out in outs[:-1]],
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
