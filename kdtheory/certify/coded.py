"""Coded witnesses: few bits, sent from what is known to both ends, and tested on points that taught them.

What is sent is a linear read-out of a prior's logits, as its difference from their mean: k·(w·k + 1) numbers
for w networks and k classes, whatever the size of the networks. It is distilled from the teacher under an ℓ1
penalty, so that most numbers stay as they are, and put on lattices: the strength of the penalty, and how fine
the lattice is, are as the bound would have it. Where no difference pays for its bits, the mean itself is
sent, for as good as none.
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
_CLIPS = (1.0, 0.7, 0.5, 0.25)
_PENALTIES = (0.1, 0.03, 0.01, 3e-3, 1e-3, 0.0)
_STEPS = 150


def mean_readout(networks: int, classes: int, /) -> tuple[MLP, Float[Tensor, "size"]]:
    """The linear maps from w·k logits to k, and the one that is their mean.

    >>> architecture, mean = mean_readout(2, 3)
    >>> architecture.logits(mean, torch.tensor([[1.0, 2.0, 3.0, 3.0, 2.0, 1.0]]))
    tensor([[2., 2., 2.]])
    """
    architecture = MLP((networks * classes, classes))
    weight = torch.eye(classes).repeat(1, networks) / networks
    return architecture, architecture.pack({"0.weight": weight, "0.bias": torch.zeros(classes)})


def distilled_readouts(
    features: Float[Tensor, "n features"],
    probs: Float[Tensor, "n k"],
    architecture: MLP,
    centre: Float[Tensor, "size"],
    /,
) -> list[Float[Tensor, "size"]]:
    """min_D CE(p_t, softmax(D·x)) + λ‖D − centre‖₁ for one λ after the other, the strongest first.

    By FISTA (Beck & Teboulle 2009) at the rate 1/L, L = ½‖X‖²/n, each λ from the last one's solution; x is
    scaled to unit mean square, with a 1 appended, so that λ means the same everywhere.
    """
    scale = features.square().mean().sqrt()
    inputs = torch.cat([features / scale, features.new_ones(len(features), 1)], 1)
    rate = 2 * len(inputs) / float(torch.linalg.matrix_norm(inputs, ord=2)) ** 2
    units = torch.ones_like(architecture.unpack(centre)["0.weight"]) * scale
    middle = torch.cat([architecture.unpack(centre)["0.weight"] * units, centre.new_zeros(len(units), 1)], 1)
    found, current = [], middle
    for penalty in _PENALTIES:
        current = _lasso(inputs, probs, middle, current, rate, penalty)
        named = {"0.weight": current[:, :-1] / units, "0.bias": current[:, -1]}
        found.append(architecture.pack(named))
    return found


@torch.no_grad()
def _lasso(
    inputs: Tensor, probs: Tensor, middle: Tensor, start: Tensor, rate: float, penalty: float
) -> Tensor:
    current, ahead, inertia = start, start, 1.0
    for _ in range(_STEPS):
        slope = ((inputs @ ahead.T).softmax(-1) - probs).T @ inputs / len(inputs)
        difference = ahead - rate * slope - middle
        following = middle + difference.sign() * (difference.abs() - rate * penalty).clamp_min(0)
        after = (1 + (1 + 4 * inertia**2) ** 0.5) / 2
        ahead = following + (inertia - 1) / after * (following - current)
        current, inertia = following, after
    return current


def readouts(
    students: Iterable[Float[Tensor, "size"]],
    architecture: MLP,
    centre: Float[Tensor, "size"],
    /,
    *,
    centre_too: bool,
) -> Iterator[QuantisedNetwork]:
    """Read-outs on ever other lattices around `centre`; the centre itself too where that is wanted."""
    if centre_too:
        yield quantise(centre, architecture=architecture, levels=1, centre=centre)
    for params, levels, clip in product(students, _LEVELS, _CLIPS):
        network = quantise(params, architecture=architecture, levels=levels, centre=centre, clip=clip)
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
        bound = langford05_occam(
            wrong, bits=code_length(network), delta=delta, coded_beforehand=True, independent_draws=True
        )
        value = bound.value + cost(logits)
        if best is None or value < best[0]:
            best = value, network, bound
    if best is None:
        raise ValueError("networks is empty; give at least one")
    return best[1], best[2]
