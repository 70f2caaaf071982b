"""Training on what the last model said: how the error grows over rounds, replaced or accumulated.

Linear regression in R^d on n Gaussian points a round, y = xᵀw + noise of variance σ². Round 1 sees the truth;
round g is fitted to fresh inputs labelled by the last fit, plus fresh noise. With each round's data in place
of those before, ŵ_g is a random walk, E‖ŵ_g − w‖² = g·σ²d/(n−d−1), by the mean of an inverse Wishart matrix;
with all data so far, at most (π²/6)·σ²d/(n−d−1) for every g (Gerstgrasser et al. 2024; derived here).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least, check_positive

__all__ = ["accumulated_error_limit", "recursive_errors", "replaced_error"]


@door
def replaced_error(rounds: int, /, *, n: int, dim: int, noise_variance: float) -> float:
    """E‖ŵ_g − w‖² = g·σ²d/(n−d−1), where each round's data replace those before.

    Raises:
        ValueError: g or d below 1, n below d + 2 (the mean is infinite), or σ² ≤ 0.

    >>> replaced_error(3, n=10, dim=1, noise_variance=2.0)
    0.75
    """
    check_at_least("rounds", rounds, 1)
    return rounds * _one_round(n, dim, noise_variance)


@door
def accumulated_error_limit(*, n: int, dim: int, noise_variance: float) -> float:
    """(π²/6)·σ²d/(n−d−1), above E‖ŵ_g − w‖² for every g, where each round is fitted to all data so far.

    Raises:
        ValueError: as `replaced_error`.
    """
    return math.pi**2 / 6 * _one_round(n, dim, noise_variance)


@door
def recursive_errors(
    stream: Stream,
    /,
    *,
    rounds: int,
    replicates: int,
    n: int,
    dim: int,
    noise_variance: float,
    accumulate: bool,
    noisy_labels: bool = True,
) -> Float[Tensor, "replicates rounds"]:
    """‖ŵ_g − w‖² of g = 1 … rounds in independent replicates, by fitting least squares; w = 0 without loss.

    Inputs and noise are drawn in float32, a fifth of the time, and fitted in float64.

    Args:
        stream: where inputs and noise come from.
        rounds: G.
        replicates: independent histories.
        n: points a round.
        dim: d.
        noise_variance: σ².
        accumulate: fit to the data of all rounds so far, not to the last round's alone.
        noisy_labels: add fresh noise to what the last fit says; without it its outputs are the labels.

    Raises:
        ValueError: as `replaced_error`.
    """
    check_at_least("rounds", rounds, 1)
    check_at_least("replicates", replicates, 1)
    _one_round(n, dim, noise_variance)
    generator = stream.torch()
    fitted = torch.zeros(replicates, dim, dtype=torch.float64)
    gram = torch.zeros(replicates, dim, dim, dtype=torch.float64)
    moment = torch.zeros_like(fitted)
    errors = []
    for done in range(rounds):
        inputs = torch.randn(replicates, n, dim, generator=generator).double()
        noise = torch.randn(replicates, n, generator=generator).double()
        labels = torch.einsum("rnd,rd->rn", inputs, fitted)
        if noisy_labels or done == 0:
            labels = labels + math.sqrt(noise_variance) * noise
        kept = 1.0 if accumulate else 0.0
        gram = kept * gram + inputs.mT @ inputs
        moment = kept * moment + torch.einsum("rnd,rn->rd", inputs, labels)
        fitted = torch.linalg.solve(gram, moment)
        errors.append(fitted.square().sum(-1))
    return torch.stack(errors, 1)


def _one_round(n: int, dim: int, noise_variance: float) -> float:
    check_at_least("dim", dim, 1)
    check_at_least("n", n, dim + 2)
    check_positive("noise_variance", noise_variance)
    return noise_variance * dim / (n - dim - 1)
