"""Reading a module: what it says on some points, and its layers, if it is a plain ReLU net."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from kdtheory.bounds import NetNorms, homogeneous_layers, net_norms
from kdtheory.networks import Inputs, Pick, alike, at_rest, check_alone, copied, left_as_it_was

__all__ = ["NO_RELU_NET", "ReluNet", "relu_net", "said_on"]

NO_RELU_NET = "not a module made of Linear layers with ReLU between them"

_BATCH = 1024
_FEW = 64
_FAR = (-1.0, 10.0, -10.0, 1e4, -1e4)
_PLAIN = (nn.Linear, nn.ReLU, nn.Flatten, nn.Dropout, nn.Identity)


@torch.no_grad()
def said_on(
    module: nn.Module,
    inputs: Inputs,
    /,
    *,
    name: str,
    batch_size: int = _BATCH,
    pick: Pick | None = None,
) -> Float[Tensor, "n k"]:
    """A module's logits in evaluation mode, float64 on the CPU; the module is left as it was.

    It stays where it is, and in its own type of number; copies of the points go there, a batch at a time. A
    few points are asked again in other company, for a bound is about a function of one point.

    Raises:
        ValueError: it does not take the points, its output is not a row of numbers for each, or what it says
            of a point depends on the others of its batch, or on chance.
    """

    def ask(part: Inputs) -> Tensor:
        logits = part.logits(module, pick=pick, name=name)
        if logits.ndim != 2:
            raise ValueError(
                f"{name} gives logits of shape {tuple(logits.shape)}; a bound is about one class for each "
                "point, and tokens of a sequence are no independent draws: pick one place of it by output=…, "
                "as lambda logits: logits[:, -1]"
            )
        return logits.double().cpu()

    if any(
        (type(part).train, type(part).eval) != (nn.Module.train, nn.Module.eval) for part in module.modules()
    ):
        module = copied(module)  # one that does more than set its mode, as merging its weights
    with left_as_it_was(module):
        at_rest(module)
        starts = range(0, len(inputs), batch_size)
        said = torch.cat([ask(inputs.rows(slice(start, start + batch_size))) for start in starts])
        check_alone(ask, inputs, said, name=name, at_once=batch_size - 1)
    return said


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
        """An equal net without biases, on inputs with a 1 appended if there were any."""
        return homogeneous_layers(self.weights, self.biases) if self.biased else list(self.weights)

    @property
    def norm_product(self) -> float:
        """ΠM_j of `layers`; zero if one of them is."""
        return math.prod(float(layer.norm()) for layer in self.layers)

    @cached_property
    def norms(self) -> NetNorms:
        """Norms of `layers`, none of which may be zero."""
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
    module: nn.Module, said: Iterable[tuple[Tensor, Tensor]], /, *, pick: Pick | None = None
) -> ReluNet | None:
    """The layers of a module made of `nn.Linear` with ReLU between; None where it is something else.

    Seen by its parts, and by whether the chain of its linear layers, in the order in which they were
    declared, gives the module's own logits: on the points, and on multiples of some of them, −1 to ±10⁴
    times, where units that are always on or always off among the points change sides. One output is two, the
    first of which is zero.

    Args:
        module: the module.
        said: points and the module's logits on them, for each role.
        pick: where its logits are in what it gives.
    """
    leaves = [part for part in module.modules() if not list(part.children())]
    linear = [part for part in leaves if isinstance(part, nn.Linear)]
    if not linear or not all(isinstance(part, _PLAIN) for part in leaves):
        return None
    held = sum(parameter.numel() for part in linear for parameter in part.parameters())
    if held != sum(parameter.numel() for parameter in module.parameters()):
        return None
    weights = [part.weight.detach().cpu().double() for part in linear]
    biases = [
        weight.new_zeros(len(weight)) if part.bias is None else part.bias.detach().cpu().double()
        for part, weight in zip(linear, weights, strict=True)
    ]
    if len(weights[-1]) == 1:
        for last in (weights, biases):
            last[-1] = torch.cat([torch.zeros_like(last[-1]), last[-1]])
    net = ReluNet(tuple(weights), tuple(biases), any(part.bias is not None for part in linear))
    known = list(said)
    if not all(_follows(net, inputs, logits) for inputs, logits in known):
        return None
    few = known[0][0][:_FEW]
    return net if all(_follows_at(net, module, factor * few.double(), pick) for factor in _FAR) else None


def _follows_at(net: ReluNet, module: nn.Module, inputs: Tensor, pick: Pick | None) -> bool:
    try:
        return _follows(net, inputs, said_on(module, Inputs((inputs,)), name="module", pick=pick))
    except ValueError:  # no ReLU net refuses a point
        return False


def _follows(net: ReluNet, inputs: Tensor, logits: Tensor) -> bool:
    fits = all(after.shape[1] == before.shape[0] for before, after in pairwise(net.weights))
    if not fits or inputs[0].numel() != net.widths[0] or logits.shape[1] != net.widths[-1]:
        return False
    parts = zip(inputs.split(_BATCH), logits.split(_BATCH), strict=True)
    return all(alike(own, net.logits(part)) for part, own in parts)
