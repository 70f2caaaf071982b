"""Multi-layer perceptrons f(x) = W_L a(… a(W_1 x + b_1) …) + b_L on flat parameter vectors.

Each layer lies in the flat vector as one block [W | b], out × (in + 1), row after row: the bias is the weight
of an input that is always one, so that a layer is a single matrix product, forward and backward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from kdtheory.doors import door
from kdtheory.networks._checks import check_member, check_named, check_own, check_params
from kdtheory.networks._mlp_tape import ACTIVATIONS, MLPTape
from kdtheory.streams import Stream
from kdtheory.types import promoted, resolve_device
from kdtheory.validate import check_at_least, check_one_of

__all__ = ["MLP"]


@door
@dataclass(frozen=True)
class MLP:
    """A multi-layer perceptron, as an architecture: no parameters of its own.

    Args:
        widths: input dimension, hidden widths, number of outputs; two numbers make a linear map.
        activation: after every layer but the last: "relu", "tanh", "sigmoid" or "identity".
        bias: whether layers have one.

    Raises:
        ValueError: fewer than two widths, a width below 1, or an unknown activation.

    >>> MLP((64, 128, 10)).size == 128 * 65 + 10 * 129
    True
    >>> MLP((2, 3, 2)).logits(MLP((2, 3, 2)).init(Stream(0), members=5), torch.zeros(7, 2)).shape
    torch.Size([5, 7, 2])
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    bias: bool = True

    def __post_init__(self) -> None:
        if len(self.widths) < 2:
            raise ValueError(f"widths = {self.widths} must name inputs and outputs: two numbers or more")
        for width in self.widths:
            check_at_least("widths", width, 1)
        check_one_of("activation", self.activation, tuple(ACTIVATIONS))
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))

    @property
    def name(self) -> str:
        """The widths joined by hyphens."""
        return "-".join(map(str, self.widths))

    @cached_property
    def size(self) -> int:
        """Parameters per member: Σ out·(in + 1)."""
        return sum(out * (inside + self.bias) for inside, out in self._layers)

    @property
    def _layers(self) -> list[tuple[int, int]]:
        return list(zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One vector."""
        return self.widths[:1]

    @property
    def activations(self) -> int:
        """Numbers held per member and example: the units of every layer and their gradients."""
        return 2 * sum(self.widths[1:])

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        law: str = "torch",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Fresh members, member i drawn from `stream.child(i)` whatever `members` is.

        Args:
            stream: where the members come from.
            members: how many.
            law: "torch", weights and biases uniform on ±1/√in as `nn.Linear` does; "he", weights
                N(0, 2/in) and no bias (He et al. 2015); "glorot", weights uniform on ±√(6/(in + out)) and no
                bias (Glorot & Bengio 2010).
            dtype: numbers are drawn in float64 and rounded to it.
            device: where they go; the draw itself is on the CPU, so it is the same on every device.

        Raises:
            ValueError: `members` < 1 or an unknown law.
        """
        check_at_least("members", members, 1)
        check_one_of("law", law, ("torch", "he", "glorot"))
        params = torch.empty(members, self.size, dtype=torch.float64)
        for member in range(members):
            generator = stream.child(member).torch()
            for block, (inside, out) in zip(self._blocks(params[member]), self._layers, strict=True):
                weight = block if law == "torch" else block[..., :inside]
                if law == "he":
                    block.zero_()
                    weight.normal_(0, math.sqrt(2 / inside), generator=generator)
                else:
                    limit = 1 / math.sqrt(inside) if law == "torch" else math.sqrt(6 / (inside + out))
                    block.zero_()
                    weight.uniform_(-limit, limit, generator=generator)
        return params.to(device=resolve_device(device), dtype=dtype)

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "*own n d"], /
    ) -> Float[Tensor, "*members n k"]:
        """The outputs of every member; inputs n × d are shared, members × n × d are each member's own."""
        check_own(params, inputs, self.input_shape)
        params, hidden = promoted(params, inputs)
        activate = ACTIVATIONS[self.activation].function
        for depth, block in enumerate(self._blocks(params)):
            inside = self.widths[depth]
            hidden = hidden @ block[..., :inside].mT
            if self.bias:
                hidden = hidden + block[..., None, :, inside]
            if depth < len(self.widths) - 2:
                hidden = activate(hidden)
        return hidden

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """Views named as in the `nn.Sequential` of `module`: "0.weight", "0.bias", "2.weight", …"""
        named = {}
        for depth, block in enumerate(self._blocks(params)):
            named[f"{2 * depth}.weight"] = block[..., : self.widths[depth]]
            if self.bias:
                named[f"{2 * depth}.bias"] = block[..., self.widths[depth]]
        return named

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`: flat parameters from a `state_dict()`, or from several, stacked."""
        names = [f"{2 * depth}.{part}" for depth in range(len(self.widths) - 1) for part in self._parts]
        check_named(named, names)
        first = named["0.weight"]
        params = first.new_zeros(*first.shape[:-2], self.size)
        for name, view in self.unpack(params).items():
            view.copy_(named[name])
        return params

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> nn.Sequential:
        """One member as a plain `nn.Sequential` with its own copy of the parameters."""
        check_member(params, member, self.size)
        layers: list[nn.Module] = []
        for inside, out in self._layers:
            layers += [
                skip_init(nn.Linear, inside, out, bias=self.bias, dtype=params.dtype, device=params.device),
                ACTIVATIONS[self.activation].module(),
            ]
        module = nn.Sequential(*layers[:-1])
        module.load_state_dict(self.unpack(params[member]))
        return module

    def tape(
        self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /
    ) -> MLPTape:
        """Hand-written back-propagation into preallocated arrays."""
        return self._tape_of(self._blocks(params), self._blocks(gradient))

    def _tape_of(self, weights: list[Tensor], gradients: list[Tensor], /) -> MLPTape:
        """`tape`, of layers that need not lie in one array: a tensor for each, as `_blocks` has it."""
        return MLPTape(weights, gradients, ACTIVATIONS[self.activation], self.bias)

    @property
    def _parts(self) -> tuple[str, ...]:
        return ("weight", "bias") if self.bias else ("weight",)

    def _blocks(self, params: Tensor) -> list[Tensor]:
        check_params(params, self.size)
        sizes = [out * (inside + self.bias) for inside, out in self._layers]
        return [
            flat.unflatten(-1, (out, inside + self.bias))
            for flat, (inside, out) in zip(params.split(sizes, -1), self._layers, strict=True)
        ]
