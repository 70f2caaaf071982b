"""Several teachers as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks import Inputs, Pick, logits_in
from kdtheory.types import at_least_float32
from kdtheory.validate import check_not_probs

__all__ = ["Ensemble", "as_teacher", "pick_of"]


class FirstLook:
    """Refuses a net that gives probabilities, by the first rows of its logits; later ones cost nothing."""

    def __init__(self) -> None:
        self._few: dict[str, Tensor] = {}
        self._seen: set[str] = set()

    def at(self, name: str, logits: Tensor, /) -> None:
        """Look at the logits of the net of that name, until enough of its rows were seen."""
        if name in self._seen:
            return
        rows = logits.detach().flatten(0, -2)
        if len(rows) < _ROWS:  # of small batches several together
            rows = torch.cat([self._few.get(name, rows[:0]).to(rows), rows]).unique(dim=0)
            self._few[name] = rows
        if len(rows) >= _ROWS:
            self._seen.add(name)
            check_not_probs(name, rows)


_ROWS = 10
"""Enough to say that rows are no probabilities by chance."""


@door
class Ensemble(nn.Module):
    """ln (1/M) Σ_m φ_1(z_m): modules whose probabilities are averaged, with log-probabilities as its logits.

    Layers of a member are found at "members.0.…".

    Args:
        members: the modules, one or more, called alike.
        output: where the logits are in what a member gives, as in `evaluate`.

    Raises:
        ValueError: there is no member.

    >>> heads, tails = nn.Linear(1, 2), nn.Linear(1, 2)
    >>> for member, bias in ((heads, [9.0, -9.0]), (tails, [-9.0, 9.0])):
    ...     _ = member.weight.data.zero_(), member.bias.data.copy_(torch.tensor(bias))
    >>> Ensemble([heads, tails])(torch.zeros(1, 1)).exp()
    tensor([[0.5000, 0.5000]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, members: Sequence[nn.Module], output: Pick | None = None) -> None:
        super().__init__()
        if not members:
            raise ValueError("members is empty; give one module or more")
        self.members, self.output = nn.ModuleList(members), output
        self._first = FirstLook()

    def forward(self, *args: Any, **named: Any) -> Tensor:
        """The log-probabilities of the mean."""
        inputs, logs = Inputs(args, named), []
        for place, member in enumerate(self.members):
            own = inputs.like(member, graph=True)  # a member may write on it
            said, name = member(*own.args, **own.named), f"member {place}"
            logits = logits_in(said, examples=len(inputs), pick=self.output, name=name)
            self._first.at(name, logits)
            logs.append(at_least_float32(logits)[0].log_softmax(-1))
        return torch.stack(logs).logsumexp(0) - math.log(len(self.members))


def pick_of(net: nn.Module, output: Pick | None) -> Pick | None:
    """Where a net's logits are: an ensemble has picked those of its members already."""
    return None if isinstance(net, Ensemble) else output


def as_teacher(teacher: nn.Module | Sequence[nn.Module], output: Pick | None = None) -> nn.Module:
    """The teacher, or the ensemble of several."""
    if isinstance(teacher, nn.Module):
        return teacher
    for member in teacher:
        if not isinstance(member, nn.Module):
            raise ValueError(f"teacher is a {type(member).__name__}; give a module, or several")
    return Ensemble(teacher, output)
