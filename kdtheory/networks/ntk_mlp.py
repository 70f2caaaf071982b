"""Multi-layer perceptrons in NTK parameterisation, trained by the same code as `MLP`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks._checks import check_member, check_params
from kdtheory.networks._mlp_tape import ACTIVATIONS, MLPTape
from kdtheory.networks.mlp import MLP
from kdtheory.networks.ntk_linear import NTKLinear
from kdtheory.streams import Stream
from kdtheory.types import promoted, resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["NTKMLP"]

_VECTOR = 16
"""Numbers: 64 bytes of float32."""


@door
@dataclass(frozen=True)
class NTKMLP:
    """f(x) = s·(W_std/√n)·W_L a(… a((W_std/√d)·W_1 x + b_std·b_1) …) + s·b_std·b_L, all parameters ~ N(0, 1).

    Jacot, Gabriel, Hongler (2018); the finite nets of `kdtheory.ntk.InfiniteMLP`. With s = 1 gradient descent
    at a fixed rate has a limit as the widths grow in which the tangent kernel stays as it was. With s = 1/√n
    and a rate n times as large (mean-field, or maximal-update, scaling: Yang and Hu 2021) the kernel moves at
    any width.

    Args:
        widths: input dimension, hidden widths, number of outputs.
        activation: "relu", "tanh", "sigmoid" or "identity".
        weight_std: W_std.
        bias_std: b_std; 0 is no bias.
        output_scale: s.

    Raises:
        ValueError: as `MLP`, or a scale is out of range.

    >>> net = NTKMLP((4, 9, 1), weight_std=2.0).module(torch.ones(1, 45), 0)
    >>> net(torch.ones(1, 4)).round()  # 2/2·4 = 4, then 2/3·9·4
    tensor([[24.]], grad_fn=<RoundBackward0>)
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    weight_std: float = 1.0
    bias_std: float = 0.0
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        check_positive("weight_std", self.weight_std)
        check_positive("output_scale", self.output_scale)
        if not 0 <= self.bias_std < math.inf:
            raise ValueError(f"bias_std = {self.bias_std} must be finite and at least 0")
        object.__setattr__(self, "widths", self._plain.widths)

    @cached_property
    def _plain(self) -> MLP:
        """The network that the scaled parameters make."""
        return MLP(self.widths, activation=self.activation, bias=self.bias_std > 0)

    @cached_property
    def _scales(self) -> Float[Tensor, "size"]:
        """The factor of every parameter, float64."""
        scales = torch.zeros(self.size, dtype=torch.float64)
        for name, view in self._plain.unpack(scales).items():
            view.fill_(self._scale(int(name.split(".")[0]) // 2, name.endswith("weight")))
        return scales

    def _scale(self, layer: int, weights: bool) -> float:
        last = self.output_scale if layer == len(self.widths) - 2 else 1.0
        return last * (self.weight_std / math.sqrt(self.widths[layer]) if weights else self.bias_std)

    @property
    def name(self) -> str:
        """The widths joined by hyphens."""
        return self._plain.name

    @property
    def size(self) -> int:
        """Parameters per member."""
        return self._plain.size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One vector."""
        return self._plain.input_shape

    @property
    def activations(self) -> int:
        """Numbers held per member and example: the units of every layer and their gradients."""
        return self._plain.activations

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Standard normal parameters; member i is drawn from `stream.child(i)` in float64."""
        check_at_least("members", members, 1)
        rows = [
            torch.randn(self.size, dtype=torch.float64, generator=stream.child(member).torch()).to(dtype)
            for member in range(members)
        ]
        return torch.stack(rows).to(resolve_device(device))

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "*own n d"], /
    ) -> Float[Tensor, "*members n k"]:
        """The outputs of every member; inputs n × d are shared, members × n × d are each member's own."""
        check_params(params, self.size)
        params, inputs = promoted(params, inputs)
        return self._plain.logits(params * self._scales.to(params), inputs)

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """Views named as in the `nn.Sequential` of `module`."""
        return self._plain.unpack(params)

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`."""
        return self._plain.pack(named)

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> nn.Sequential:
        """One member as an `nn.Sequential` of `NTKLinear` layers with its own copy of the parameters."""
        check_member(params, member, self.size)
        layers: list[nn.Module] = []
        for depth, (inside, out) in enumerate(zip(self.widths[:-1], self.widths[1:], strict=True)):
            last = self.output_scale if depth == len(self.widths) - 2 else 1.0
            layer = NTKLinear(
                inside,
                out,
                bias_std=last * self.bias_std,
                weight_scale=self._scale(depth, weights=True),
                generator=torch.Generator(),
                dtype=params.dtype,
            )
            layers += [layer.to(params.device), ACTIVATIONS[self.activation].module()]
        module = nn.Sequential(*layers[:-1])
        module.load_state_dict(self.unpack(params[member]))
        return module

    def tape(
        self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /
    ) -> _Tape:
        """The tape of the plain network at the scaled parameters."""
        return _Tape(self._plain, self._scales.to(params), params, gradient)


class _Tape:
    """Steps of θ whose network is that of s·θ: gradients are multiplied by s on the way back.

    s·θ lies layer by layer, in rows that begin at whole vectors: products are added to such rows in place.
    """

    def __init__(self, plain: MLP, scales: Tensor, params: Tensor, gradient: Tensor) -> None:
        self._scales, self._gradient = scales, gradient
        self._scaled = [_in_whole_vectors(block) for block in plain._blocks(params)]
        self._tape: MLPTape = plain._tape_of(self._scaled, plain._blocks(gradient))
        # One row of scales a layer: they differ between weights and bias, not between units.
        factors = [block[0] for block in plain._blocks(scales)]
        self._places = list(zip(self._scaled, plain._blocks(params), factors, strict=True))
        self._squares = [factor.square() for factor in factors]
        self._ahead = False

    def prepare(self, inputs: Float[Tensor, "members n d"], /) -> Float[Tensor, "members n inside"]:
        return self._tape.prepare(inputs)

    def forward(self, prepared: Float[Tensor, "members n inside"], /) -> Float[Tensor, "members n k"]:
        if not self._ahead:
            for scaled, params, factor in self._places:
                torch.mul(params, factor, out=scaled)
        return self._tape.forward(prepared)

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        self._tape.backward(logit_gradient)
        self._gradient.mul_(self._scales)

    def step(self, logit_gradient: Float[Tensor, "members n k"], rate: float, /) -> None:
        """s·θ −= rate·s²·(the plain gradient); θ itself follows in `settle`."""
        self._tape.step(logit_gradient, rate, factors=self._squares)
        self._ahead = True

    def settle(self) -> None:
        if self._ahead:
            for scaled, params, factor in self._places:
                torch.div(scaled, factor, out=params)
        self._ahead = False


def _in_whole_vectors(block: Float[Tensor, "members out inside"], /) -> Float[Tensor, "members out inside"]:
    """An array of this shape, each row of which begins at a multiple of a vector's bytes."""
    members, out, inside = block.shape
    whole = math.ceil(inside / _VECTOR) * _VECTOR
    return block.new_empty(members, out, whole)[..., :inside]
