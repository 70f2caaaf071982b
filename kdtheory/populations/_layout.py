"""How the parameters of a group lie while they are trained: member by member, or layer by layer.

A product of all members' matrices is written in one go where these lie one after another, and member by
member where each is a part of a longer row.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.networks import Architecture, Tape

__all__ = ["ByLayer", "ByMember", "Layout", "layout_of"]


@runtime_checkable
class _Layered(Protocol):
    """An architecture whose parameters are matrices, one after another."""

    def _blocks(self, params: Tensor, /) -> list[Tensor]: ...

    def _tape_of(self, weights: list[Tensor], gradients: list[Tensor], /) -> Tape: ...


@runtime_checkable
class Layout(Protocol):
    """What a step reads and moves: numbers of all members, their gradient, and the tape that fills it."""

    weights: Tensor
    gradient: Tensor
    tape: Tape

    def members(self, array: Tensor, /) -> Float[Tensor, "members size"]:
        """An array that lies as the weights do, one row a member."""
        ...


class ByMember:
    """The parameters as they are given; steps move them where they are."""

    def __init__(self, architecture: Architecture, params: Float[Tensor, "members size"]) -> None:
        self.weights, self.gradient = params, torch.zeros_like(params)
        self.tape = architecture.tape(self.weights, self.gradient)

    def members(self, array: Tensor, /) -> Float[Tensor, "members size"]:
        """The array."""
        return array


class ByLayer:
    """A copy of the parameters, one layer of all members after another."""

    def __init__(self, architecture: _Layered, params: Float[Tensor, "members size"]) -> None:
        given = architecture._blocks(params)
        self._shapes = [block.shape for block in given]
        self.weights = torch.cat([block.flatten() for block in given])
        self.gradient = torch.zeros_like(self.weights)
        self.tape = architecture._tape_of(self._layers(self.weights), self._layers(self.gradient))

    def members(self, array: Tensor, /) -> Float[Tensor, "members size"]:
        """The layers of each member side by side."""
        return torch.cat([layer.flatten(1) for layer in self._layers(array)], 1)

    def _layers(self, array: Tensor) -> list[Tensor]:
        parts = array.split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


def layout_of(architecture: Architecture, params: Float[Tensor, "members size"], /, *, rows: bool) -> Layout:
    """By layer where the architecture can; by member where a step looks at the `rows` of members."""
    if isinstance(architecture, _Layered) and not rows:
        return ByLayer(architecture, params)
    return ByMember(architecture, params)
