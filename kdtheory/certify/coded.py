"""Coded witnesses: few bits, sent from what is known to both ends, and tested on points that taught them.

What is sent is a linear read-out of a prior's logits, as its difference from their mean: k·(w·k + 1) numbers
for w networks and k classes, whatever the size of the networks. It is distilled from the teacher on all
points, and put on lattices; finer or coarser, whole or in part, as the bound would have it. Where no
difference pays for its bits, the mean itself is sent, for as good as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.result import Bound
from kdtheory.coding import QuantisedNetwork, code_length, quantise
from kdtheory.networks import MLP

__all__ = ["least_coded", "mean_readout", "readouts"]

Logits = Callable[[Tensor], Tensor]
_LEVELS = (1, 3)
_CLIPS = (1.0, 0.5, 0.25, 0.1)
_KEPT = (1.0, 0.3, 0.1, 0.03)


def mean_readout(networks: int, classes: int, /) -> tuple[MLP, Float[Tensor, "size"]]:
    """The linear maps from w·k logits to k, and the one that is their mean.

    >>> architecture, mean = mean_readout(2, 3)
    >>> architecture.logits(mean, torch.tensor([[1.0, 2.0, 3.0, 3.0, 2.0, 1.0]]))
    tensor([[2., 2., 2.]])
    """
    architecture = MLP((networks * classes, classes))
    weight = torch.eye(classes).repeat(1, networks) / networks
    return architecture, architecture.pack({"0.weight": weight, "0.bias": torch.zeros(classes)})


def readouts(
    params: Float[Tensor, "size"], architecture: MLP, centre: Float[Tensor, "size"], /, *, centre_too: bool
) -> Iterator[QuantisedNetwork]:
    """A read-out on ever other lattices around `centre`; the centre itself too where that is wanted."""
    if centre_too:
        yield quantise(centre, architecture=architecture, levels=1, centre=centre)
    for levels, clip, keep in product(_LEVELS, _CLIPS, _KEPT):
        network = quantise(
            params, architecture=architecture, levels=levels, centre=centre, clip=clip, keep=keep
        )
        if bool(network.integers.any()):
            yield network


def least_coded(
    networks: Iterable[QuantisedNetwork],
    inputs: Float[Tensor, "n ..."],
    labels: Int[Tensor, "n"],
    /,
    *,
    delta: float,
    centre: Float[Tensor, "size"] | None = None,
    cost: Callable[[Logits], float] = lambda logits: 0.0,
) -> tuple[QuantisedNetwork, Bound]:
    """The coded network whose Occam bound on the points, plus its `cost`, is least; and that bound.

    The bound holds for all messages at once, so the choice may look at the points; `cost` must not look at
    any that will be used afterwards.

    Args:
        networks: to choose from.
        inputs, labels: the points that the code, and `centre`, do not depend on.
        delta: δ.
        centre: where differences are sent from; zero where not given.
        cost: what else a choice costs, from inputs ↦ logits.

    Raises:
        ValueError: there is no network.
    """
    best: tuple[float, QuantisedNetwork, Bound] | None = None
    for network in networks:
        logits = partial(network.architecture.logits, network.params(centre))
        wrong = logits(inputs).argmax(-1) != labels
        bound = langford05_occam(wrong, bits=code_length(network), delta=delta, coded_beforehand=True)
        value = bound.value + cost(logits)
        if best is None or value < best[0]:
            best = value, network, bound
    if best is None:
        raise ValueError("networks is empty; give at least one")
    return best[1], best[2]
