"""Layers in NTK parameterisation: the scale of a weight is in the forward pass, not in its distribution."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_positive

__all__ = ["Erf", "NTKLinear"]


@door
class Erf(nn.Module):
    """erf(z), whose infinite-width kernels have a closed form."""

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Every entry by itself."""
        return torch.erf(inputs)


@door
class NTKLinear(nn.Linear):
    """z = s·Wh + b_std·b with s = W_std/√in unless given; all entries of W and b are drawn from N(0, 1).

    Jacot, Gabriel, Hongler (2018). An `nn.Linear` in every other way, with `weight_scale` = s and
    `bias_scale` = b_std.

    Args:
        inside: inputs.
        outside: outputs.
        weight_std: W_std.
        bias_std: b_std; 0 leaves the bias away.
        weight_scale: s itself, for other scalings than 1/√in.
        generator: where W and b are drawn from.

    Raises:
        ValueError: W_std or s is not positive, or b_std is negative.

    >>> layer = NTKLinear(4, 3, weight_std=2.0, bias_std=0.0)
    >>> layer.weight_scale, layer.bias
    (1.0, None)
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        /,
        *,
        weight_std: float = 1.0,
        bias_std: float = 0.0,
        weight_scale: float | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_at_least("inside", inside, 1)
        check_at_least("outside", outside, 1)
        check_positive("weight_std", weight_std)
        if not 0 <= bias_std < math.inf:
            raise ValueError(f"bias_std = {bias_std} must be finite and at least 0")
        self._generator = generator
        super().__init__(inside, outside, bias=bias_std > 0, dtype=dtype)
        self.weight_scale = weight_std / math.sqrt(inside) if weight_scale is None else weight_scale
        check_positive("weight_scale", self.weight_scale)
        self.bias_scale = bias_std
        del self._generator

    def reset_parameters(self) -> None:
        """N(0, 1), from torch's default generator where none was given."""
        generator = getattr(self, "_generator", None)
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, generator=generator)

    def forward(self, inputs: Float[Tensor, "*batch inside"]) -> Float[Tensor, "*batch outside"]:
        """W(s·h) + b_std·b: a scaled copy of the weights would cost more than the product."""
        bias = None if self.bias is None else self.bias_scale * self.bias
        return functional.linear(self.weight_scale * inputs, self.weight, bias)
