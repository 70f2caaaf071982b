"""Several teachers as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdtheory.doors import door

__all__ = ["Ensemble", "as_teacher"]


@door
class Ensemble(nn.Module):
    """ln (1/M) Σ_m φ_1(z_m): modules whose probabilities are averaged, with log-probabilities as its logits.

    Layers of a member are found at "members.0.…".

    Args:
        members: the modules, one or more.

    Raises:
        ValueError: there is no member.

    >>> heads, tails = nn.Linear(1, 2), nn.Linear(1, 2)
    >>> for member, bias in ((heads, [9.0, -9.0]), (tails, [-9.0, 9.0])):
    ...     _ = member.weight.data.zero_(), member.bias.data.copy_(torch.tensor(bias))
    >>> Ensemble([heads, tails])(torch.zeros(1, 1)).exp()
    tensor([[0.5000, 0.5000]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ValueError("members is empty; give one module or more")
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor) -> Tensor:
        """The log-probabilities of the mean."""
        logs = torch.stack([member(inputs).log_softmax(-1) for member in self.members])
        return logs.logsumexp(0) - math.log(len(self.members))


def as_teacher(teacher: nn.Module | Sequence[nn.Module]) -> nn.Module:
    """The teacher, or the ensemble of several."""
    if isinstance(teacher, nn.Module):
        return teacher
    for member in teacher:
        if not isinstance(member, nn.Module):
            raise ValueError(f"teacher is a {type(member).__name__}; give a module, or several")
    return Ensemble(teacher)
