"""An architecture as training needs it: flat parameters, logits, and a tape to differentiate by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.streams import Stream

__all__ = ["Architecture", "SteppingTape", "Tape"]


@runtime_checkable
class Tape(Protocol):
    """One group of members set up for many steps: forward, then backward into the same gradient array."""

    def prepare(self, inputs: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n ..."]:
        """The inputs as `forward` wants them; a shared sample comes in, and goes out, with stride 0."""
        ...

    def forward(self, prepared: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n k"]:
        """The logits, with no graph attached; valid until the next call."""
        ...

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        """Write the parameters' gradient for the inputs of the last `forward`."""
        ...


@runtime_checkable
class SteppingTape(Tape, Protocol):
    """A tape that takes a plain gradient step without forming the gradient, which is of low rank."""

    def step(self, logit_gradient: Float[Tensor, "members n k"], rate: float, /) -> None:
        """θ −= rate·gradient, for the inputs of the last `forward`."""
        ...

    def settle(self) -> None:
        """Bring the parameters up to date after the last step."""
        ...


@runtime_checkable
class Architecture(Protocol):
    """A family of networks indexed by a flat parameter vector."""

    @property
    def size(self) -> int:
        """Parameters per member."""
        ...

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        ...

    @property
    def activations(self) -> int:
        """Numbers held per member and example while a step runs: what the grouping is planned by."""
        ...

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Fresh members; member i is drawn from `stream.child(i)`."""
        ...

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "..."], /
    ) -> Float[Tensor, "*members n k"]:
        """Differentiable forward pass; inputs shared by all members, or each member's own."""
        ...

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """Views of the parameters under the names of the plain torch module."""
        ...

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`: a module's `state_dict()`, or several stacked, made flat."""
        ...

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> nn.Module:
        """One member as a plain torch module with its own copy of the parameters."""
        ...

    def tape(self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /) -> Tape:
        """Set up steps at `params`, which the optimiser changes in place, with gradients into `gradient`."""
        ...
