"""Back-propagation through any module for a group of members at once: autograd under `vmap`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vmap

from kdtheory.doors import inside
from kdtheory.networks._called_with import called_with
from kdtheory.networks.outputs import outputs_in

__all__ = ["ModuleTape", "mapped"]

_read = inside(outputs_in)


def mapped(module: nn.Module, named: dict[str, Tensor], inputs: Tensor, own: bool) -> Tensor:
    """The module called once per member, with the members' weights and shared or own inputs."""

    def call(weights: dict[str, Tensor], examples: Tensor) -> Tensor:
        said = called_with(module, weights, examples)
        return _read(said, examples=len(examples), name="the module of factory")

    return vmap(call, in_dims=(0, 0 if own else None))(named, inputs)


class ModuleTape:
    """The steps of one group of modules: autograd keeps what `forward` did until `backward`.

    The module is the tape's own: a call swaps its weights, which threads must not share.
    """

    def __init__(
        self,
        module: nn.Module,
        unpack: Callable[[Tensor], dict[str, Tensor]],
        params: Float[Tensor, "members size"],
        gradient: Float[Tensor, "members size"],
    ) -> None:
        self._module = module
        self._unpack = unpack
        self._params = params
        self._gradient = gradient
        self._leaf = params
        self._logits = params

    def prepare(self, inputs: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n ..."]:
        """The inputs as they are."""
        return inputs

    def forward(self, prepared: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n k"]:
        """The logits, detached from the graph that `backward` walks."""
        shared = prepared.stride(0) == 0
        with torch.enable_grad():
            self._leaf = self._params.detach().requires_grad_()
            inputs = prepared[0] if shared else prepared
            self._logits = mapped(self._module, self._unpack(self._leaf), inputs, own=not shared)
        return self._logits.detach()

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        """Fill the gradient from ∂loss/∂logits, and drop the graph."""
        (gradient,) = torch.autograd.grad(self._logits, self._leaf, logit_gradient)
        self._gradient.copy_(gradient)
        self._logits = self._leaf
