"""Reading a module: what it says on some points, and its layers, if it is a plain ReLU net."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from kdtheory.bounds import NetNorms, homogeneous_layers, net_norms

__all__ = ["ReluNet", "relu_net", "said_on"]

_BATCH = 1024
_PLAIN = (nn.Linear, nn.ReLU, nn.Flatten, nn.Dropout, nn.Identity)


@torch.no_grad()
def said_on(
    module: nn.Module, inputs: Shaped[Tensor, "n *shape"], /, *, name: str, batch_size: int = _BATCH
) -> Float[Tensor, "n k"]:
    """A module's logits in evaluation mode, float64 on the CPU; each part's own mode is put back.

    The module stays where it is, and in its own type of number; the points go there, a batch at a time.

    Raises:
        ValueError: it does not take the points, or its output is not a row of numbers for each.
    """
    own = next(iter([*module.parameters(), *module.buffers()]), torch.empty(0))
    dtype = own.dtype if inputs.dtype.is_floating_point and own.dtype.is_floating_point else inputs.dtype
    parts = []
    with _evaluating(module):
        for part in inputs.split(batch_size):
            try:
                logits = module(part.to(device=own.device, dtype=dtype))
            except RuntimeError as error:
                why = str(error).partition("\n")[0]
                raise ValueError(
                    f"{name} does not take points of shape {tuple(part.shape)}: {why}"
                ) from error
            if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(part):
                shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise ValueError(f"{name} gives {shown} for {len(part)} points; wrap it to give n × k logits")
            parts.append(logits.double().cpu())
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class ReluNet:
    """x ↦ W_d ρ(… ρ(W_1 x + b_1) …) + b_d, float64, the input flattened.

    Args:
        weights: W_1, …, W_d.
        biases: b_1, …, b_d; zeros where a layer has none.
        biased: whether any layer has one.
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    biases: tuple[Float[Tensor, "_"], ...]
    biased: bool

    @property
    def widths(self) -> tuple[int, ...]:
        """d_0, …, d_d."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    @cached_property
    def layers(self) -> list[Float[Tensor, "_ _"]]:
        """The same net without biases, on inputs with a 1 appended if there were any."""
        return homogeneous_layers(self.weights, self.biases) if self.biased else list(self.weights)

    @property
    def norm_product(self) -> float:
        """ΠM_j of `layers`; zero if one of them is."""
        return math.prod(float(layer.norm()) for layer in self.layers)

    @cached_property
    def norms(self) -> NetNorms:
        """Of `layers`, none of which may be zero."""
        return net_norms(self.layers)

    @property
    def named(self) -> dict[str, Tensor]:
        """Weights and biases under the names that `MLP` gives them."""
        named = {}
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            named[f"{2 * depth}.weight"] = weight
            if self.biased:
                named[f"{2 * depth}.bias"] = bias
        return named

    def input_norm(self, inputs: Shaped[Tensor, "n *shape"], /) -> float:
        """(Σ‖x_i‖²)^½, each x_i with a 1 appended if there are biases."""
        square = sum(float(part.double().square().sum()) for part in inputs.split(_BATCH))
        return math.sqrt(square + len(inputs) * self.biased)

    def logits(self, inputs: Shaped[Tensor, "n *shape"], /) -> Float[Tensor, "n k"]:
        """The net's output."""
        hidden = inputs.detach().cpu().double().flatten(1)
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = (hidden.relu() if depth else hidden) @ weight.T + bias
        return hidden


def relu_net(
    module: nn.Module, inputs: Shaped[Tensor, "n *shape"], logits: Float[Tensor, "n k"], /
) -> ReluNet | None:
    """The layers of a module made of `nn.Linear` with ReLU between; None where it is something else.

    Seen by its parts, and by whether the chain of its linear layers, in the order in which they were
    declared, gives the module's own logits on the points.
    """
    leaves = [part for part in module.modules() if not list(part.children())]
    linear = [part for part in leaves if isinstance(part, nn.Linear)]
    if not linear or not all(isinstance(part, _PLAIN) for part in leaves):
        return None
    held = sum(parameter.numel() for part in linear for parameter in part.parameters())
    if held != sum(parameter.numel() for parameter in module.parameters()):
        return None
    weights = tuple(part.weight.detach().cpu().double() for part in linear)
    biases = tuple(
        weight.new_zeros(len(weight)) if part.bias is None else part.bias.detach().cpu().double()
        for part, weight in zip(linear, weights, strict=True)
    )
    net = ReluNet(weights, biases, any(part.bias is not None for part in linear))
    return net if _follows(net, inputs, logits) else None


def _follows(net: ReluNet, inputs: Tensor, logits: Tensor) -> bool:
    fits = all(after.shape[1] == before.shape[0] for before, after in pairwise(net.weights))
    if not fits or inputs[0].numel() != net.widths[0] or logits.shape[1] != net.widths[-1]:
        return False
    size = max(1.0, float(logits.abs().max()))
    parts = zip(inputs.split(_BATCH), logits.split(_BATCH), strict=True)
    return all(float((net.logits(part) - own).abs().max()) <= 1e-3 * size for part, own in parts)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
