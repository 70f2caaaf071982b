"""What coded and stochastic witnesses start from: networks that do not depend on the points that test them.

Where the network is the user's own, learned on other data altogether, every training point may test. Else it
is learned on the labels of a part of the training points, and the rest test.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kdtheory.networks import Architecture

__all__ = ["Prior", "own_params"]


@dataclass(frozen=True, eq=False)
class Prior:
    """Networks of one architecture, and the training points that they do not depend on.

    Args:
        architecture: of the networks.
        params: one row each; a stochastic witness starts from the first, a coded one from their mean logits.
        tested: the rows of the training points that test what starts here.
    """

    architecture: Architecture
    params: Float[Tensor, "members size"]
    tested: Int[Tensor, "b"]

    @torch.no_grad()
    def features(self, inputs: Float[Tensor, "n ..."], /) -> Float[Tensor, "n features"]:
        """The logits of all networks, side by side."""
        parts = [
            torch.cat(list(self.architecture.logits(self.params, part)), -1) for part in inputs.split(2048)
        ]
        return torch.cat(parts)


@torch.no_grad()
def own_params(
    module: nn.Module, architecture: Architecture, inputs: Float[Tensor, "n ..."], /
) -> Float[Tensor, "size"]:
    """A module's parameters as a flat vector of the architecture.

    Args:
        module: with as many parameters of the same shapes, in the same order.
        architecture: what the vector means.
        inputs: a few points, on which both must say the same.

    Raises:
        ValueError: the module is not of this architecture.
    """
    views = architecture.unpack(torch.zeros(architecture.size))
    own = list(module.parameters())
    if [part.shape for part in own] != [view.shape for view in views.values()]:
        raise ValueError(
            f"prior is not of the witnesses' architecture, {architecture.name}; give one that is, or name "
            "its own as WitnessPlan(architecture=…)"
        )
    params = architecture.pack({name: part.cpu().float() for name, part in zip(views, own, strict=True)})
    said = module(inputs.to(own[0])).cpu().float()
    if not torch.allclose(architecture.logits(params, inputs), said, rtol=1e-3, atol=1e-3):
        raise ValueError(f"prior has the parameters of {architecture.name} and says something else")
    return params
