"""Back-propagation through an MLP for a group of members at once, by hand, into arrays that are kept.

Everything lies features × examples, so that the units of a layer and the constant unit that carries the bias
are one matrix and the logits come out classes × examples: along the examples a soft-max vectorises, along
ten classes it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Activation", "MLPTape"]

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An activation a whose derivative is a function of its value: a′(z) = d(a(z))."""

    function: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], object]
    pull_back: Callable[[Tensor, Tensor], object]
    module: Callable[[], nn.Module]


ACTIVATIONS = {
    "relu": Activation(
        torch.relu,
        torch.relu_,
        lambda gradient, value: _aten.threshold_backward(gradient, value, 0, grad_input=gradient),
        nn.ReLU,
    ),
    "tanh": Activation(
        torch.tanh,
        torch.tanh_,
        lambda gradient, value: _aten.tanh_backward(gradient, value, grad_input=gradient),
        nn.Tanh,
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        torch.sigmoid_,
        lambda gradient, value: _aten.sigmoid_backward(gradient, value, grad_input=gradient),
        nn.Sigmoid,
    ),
    "identity": Activation(lambda z: z, lambda z: z, lambda gradient, value: gradient, nn.Identity),
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
        self._arrays: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self._inputs: list[Tensor] = []

    def prepare(self, inputs: Float[Tensor, "members n d"], /) -> Float[Tensor, "members n inside"]:
        """The inputs with the constant one beside them, features first; a shared sample stays one array."""
        features = (inputs[:1] if inputs.stride(0) == 0 else inputs).mT
        if self._bias:
            features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
        return features.contiguous().mT.expand(len(inputs), -1, -1)

    def forward(self, prepared: Float[Tensor, "members n inside"], /) -> Float[Tensor, "members n k"]:
        """The logits, a transposed view of classes × examples."""
        layers, _ = self._arrays_for(prepared.shape[1])
        below = prepared.mT
        self._inputs = []
        last = len(self._weights) - 1
        for depth, (weight, layer) in enumerate(zip(self._weights, layers, strict=True)):
            self._inputs.append(below)
            units = layer[:, : weight.shape[1]]
            torch.bmm(weight, below, out=units)
            if depth < last:
                self._activation.in_place(units)
            below = layer
        return below.mT

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        """Fill the gradient from ∂loss/∂logits: δ_l = (W_{l+1}ᵀ δ_{l+1}) a′, ∂W_l = δ_l h_{l−1}ᵀ."""
        _, deltas = self._arrays_for(logit_gradient.shape[1])
        delta = logit_gradient.mT.contiguous()
        for depth in range(len(self._weights) - 1, -1, -1):
            below = self._inputs[depth]
            torch.bmm(delta, below.mT, out=self._gradients[depth])
            if depth:
                lower = deltas[depth - 1]
                torch.bmm(self._inner[depth], delta, out=lower)
                self._activation.pull_back(lower, below[:, : lower.shape[1]])
                delta = lower

    def _arrays_for(self, examples: int) -> tuple[list[Tensor], list[Tensor]]:
        """Layer values (hidden ones with their constant unit) and hidden deltas for that many examples."""
        if examples not in self._arrays:
            outs = [weight.shape[1] for weight in self._weights]
            extra = [int(self._bias)] * (len(outs) - 1) + [0]
            like, members = self._weights[0], len(self._weights[0])
            layers = [
                like.new_ones(members, out + more, examples) for out, more in zip(outs, extra, strict=True)
            ]
            deltas = [like.new_empty(members, out, examples) for out in outs[:-1]]
            self._arrays[examples] = layers, deltas
        return self._arrays[examples]
