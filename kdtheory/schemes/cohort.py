"""A cohort: K networks of one shape side by side, as one architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.networks import Architecture, Tape
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least

__all__ = ["Cohort"]


@dataclass(frozen=True)
class Cohort:
    """K networks of one architecture that see the same inputs; their logits lie one after the other.

    Args:
        each: the architecture of one.
        peers: K ≥ 2.

    Raises:
        ValueError: `peers` < 2.

    >>> from kdtheory.networks import MLP
    >>> pair = Cohort(MLP((3, 2)), peers=2)
    >>> pair.size, pair.logits(pair.init(Stream(0), members=4), torch.zeros(5, 3)).shape
    (16, torch.Size([4, 5, 4]))
    """

    each: Architecture
    peers: int

    def __post_init__(self) -> None:
        check_at_least("peers", self.peers, 2)

    @property
    def size(self) -> int:
        """Parameters of all K."""
        return self.peers * self.each.size

    @property
    def name(self) -> str:
        """K and the name of one."""
        return f"{self.peers} × {self.each.name}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, which all see."""
        return self.each.input_shape

    @property
    def activations(self) -> int:
        """Numbers held per cohort and example."""
        return self.peers * self.each.activations

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Fresh cohorts; peer p of member i is member i of the population drawn at `stream.child("peer", p)`.

        Peer 0 is what a population of single networks would start from at `stream` itself.
        """
        places = [stream, *(stream.child("peer", p) for p in range(1, self.peers))]
        drawn = [self.each.init(place, members=members, dtype=dtype, device=device) for place in places]
        return torch.cat(drawn, -1)

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "..."], /
    ) -> Float[Tensor, "*members n k"]:
        """The logits of all peers, n × (K·k)."""
        parts = params.split(self.each.size, -1)
        return torch.cat([self.each.logits(part, inputs) for part in parts], -1)

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """Views under "peer.name"."""
        parts = params.split(self.each.size, -1)
        return {
            f"{p}.{name}": v for p, part in enumerate(parts) for name, v in self.each.unpack(part).items()
        }

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`."""
        parts = []
        for peer in range(self.peers):
            own = {name.split(".", 1)[1]: v for name, v in named.items() if name.startswith(f"{peer}.")}
            parts.append(self.each.pack(own))
        return torch.cat(parts, -1)

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> nn.ModuleList:
        """One cohort as a list of plain torch modules."""
        own = params[member].view(self.peers, self.each.size)
        return nn.ModuleList(self.each.module(own, peer) for peer in range(self.peers))

    def tape(
        self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /
    ) -> _CohortTape:
        """The tape of one, over members × K rows of the same arrays."""
        rows = params.view(-1, self.each.size), gradient.view(-1, self.each.size)
        return _CohortTape(self.each.tape(*rows), self.peers)


class _CohortTape:
    """Every network of every cohort is a row of the inner tape."""

    def __init__(self, inner: Tape, peers: int) -> None:
        self._inner, self._peers = inner, peers

    def prepare(self, inputs: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n ..."]:
        return self._inner.prepare(inputs)

    def forward(self, prepared: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n k"]:
        members = len(prepared)
        if members == 1 or prepared.stride(0) == 0:
            rows = prepared[:1].expand(members * self._peers, *prepared.shape[1:])
        else:
            rows = prepared.repeat_interleave(self._peers, 0)
        logits = self._inner.forward(rows)
        return logits.mT.reshape(members, -1, logits.shape[1]).mT

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        members, examples, _ = logit_gradient.shape
        rows = logit_gradient.mT.reshape(members * self._peers, -1, examples).mT
        self._inner.backward(rows)
