"""The start of witnesses: networks that do not depend on the labels of the points that test.

Where a network is the user's own, learned on other data altogether, every training point may test. Else it
is learned on the labels of a part of the training points, and the rest test. That a network of the user's own
saw none of these labels is the user's word; what is seen here is only whether it is the teacher itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kdtheory.networks import Architecture

__all__ = ["Prior", "is_the_teacher", "own_params"]

_CLOSE = 1e-3
_AT_ONCE = 2048


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

    def features(self, inputs: Float[Tensor, "n ..."], /) -> Float[Tensor, "n features"]:
        """The logits of all networks, side by side."""
        return torch.cat(list(_logits(self.architecture, self.params, inputs)), -1)


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
    said = module(inputs.to(own[0], copy=True)).cpu().float()
    if not torch.allclose(architecture.logits(params, inputs), said, rtol=1e-3, atol=1e-3):
        raise ValueError(f"prior has the parameters of {architecture.name} and says something else")
    return params


def is_the_teacher(
    architecture: Architecture,
    params: Float[Tensor, "size"],
    inputs: Float[Tensor, "n ..."],
    labels: Int[Tensor, "n"],
    teacher_logits: Float[Tensor, "n k"],
    unlabelled: Float[Tensor, "m ..."],
    teacher_classes: Int[Tensor, "m"],
    /,
) -> bool:
    """Whether a network is the teacher, as far as the points show.

    Either its logits on the training points are the teacher's, which two networks never share by chance; or
    both name the same class at every training point and at every other one, and err less than the commonest
    class does. A network that errs no less gains nothing by being the teacher.

    Args:
        architecture, params: the network.
        inputs, labels: the training points.
        teacher_logits: the teacher on them.
        unlabelled: the unlabelled points.
        teacher_classes: the teacher's class there.
    """
    own = _logits(architecture, params, inputs).double()
    classes, said = own.argmax(-1), teacher_logits.argmax(-1)
    size = float(teacher_logits[torch.isfinite(teacher_logits)].abs().amax())
    if own.shape == teacher_logits.shape and torch.allclose(own, teacher_logits, rtol=0, atol=_CLOSE * size):
        return True
    others = _logits(architecture, params, unlabelled).argmax(-1)
    same = torch.equal(classes, said) and torch.equal(others, teacher_classes)
    return same and int((classes != labels).sum()) < len(labels) - int(labels.bincount().max())


@torch.no_grad()
def _logits(architecture: Architecture, params: Tensor, inputs: Tensor) -> Tensor:
    return torch.cat([architecture.logits(params, part) for part in inputs.split(_AT_ONCE)], -2)
