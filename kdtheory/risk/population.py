"""Risks under a law that is known: exact sums over the atoms of a finite world.

A finite world has s atoms x with masses w (rows sum to one) and Bayes class-probabilities p*(x). A predictor
enters as the table of its losses on the atoms, ℓ(f(x))_y. Leading axes broadcast.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.risk._doors import check_world
from kdtheory.types import at_least_float32
from kdtheory.validate import check_probs, check_weights

__all__ = ["bayes_brier_risk", "bayes_log_risk", "bayes_zero_one_risk", "excess_risk", "population_risk"]


@door
def population_risk(
    losses: Float[Tensor, "*#batch s k"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
) -> Float[Tensor, "*batch"]:
    """R(f) = Σ_x w(x) p*(x)ᵀℓ(f(x)), exact.

    Args:
        losses: ℓ(f(x))_y on the atoms.
        probs: p*(x).
        weights: the mass of each atom.

    Raises:
        ValueError: a loss is not finite, a row of `probs` or the masses do not sum to one, or sizes differ.

    >>> losses, probs = torch.tensor([[0.0, 1.0], [4.0, 2.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> population_risk(losses, probs, torch.tensor([0.5, 0.5]))
    tensor(2.2500)
    """
    check_world(losses, probs, weights)
    losses, probs, weights = at_least_float32(losses, probs, weights)
    return (weights * (probs * losses).sum(-1)).sum(-1)


@door
def excess_risk(
    losses: Float[Tensor, "*#batch s k"],
    bayes_losses: Float[Tensor, "*#batch s k"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
) -> Float[Tensor, "*batch"]:
    """R(f) − R(f*) = Σ_x w(x) p*(x)ᵀ(ℓ(f(x)) − ℓ(f*(x))), exact; ≥ 0 for a Bayes predictor f*.

    The difference is taken atom by atom, so that a small excess does not drown in two large risks. For a
    proper loss (log, zero-one, Brier) the Bayes predictor has the logits ln p*; for the log loss the excess
    risk is then Σ_x w(x) KL(p*(x) ‖ softmax f(x)).

    Args:
        losses: ℓ(f(x))_y on the atoms.
        bayes_losses: ℓ(f*(x))_y on the atoms.
        probs: p*(x).
        weights: the mass of each atom.

    Raises:
        ValueError: a loss is not finite, a row of `probs` or the masses do not sum to one, or sizes differ.

    >>> probs, weights = torch.tensor([[0.75, 0.25]]), torch.ones(1)
    >>> excess_risk(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), probs, weights)
    tensor(0.5000)
    """
    check_world(losses, probs, weights)
    check_world(bayes_losses, probs, weights)
    losses, bayes_losses, probs, weights = at_least_float32(losses, bayes_losses, probs, weights)
    return (weights * (probs * (losses - bayes_losses)).sum(-1)).sum(-1)


@door
def bayes_log_risk(
    probs: Float[Tensor, "*#batch s k"], weights: Float[Tensor, "*#batch s"], /
) -> Float[Tensor, "*batch"]:
    """min_f E[−ln φ(f(x))_y] = Σ_x w(x) H(p*(x)), the mean entropy in nats.

    Raises:
        ValueError: a row of `probs` or the masses do not sum to one.

    >>> 2 * bayes_log_risk(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0.5, 0.5]))  # ln 2
    tensor(0.6931)
    """
    return _mean_over_atoms(lambda p: -torch.special.xlogy(p, p).sum(-1), probs, weights)


@door
def bayes_zero_one_risk(
    probs: Float[Tensor, "*#batch s k"], weights: Float[Tensor, "*#batch s"], /
) -> Float[Tensor, "*batch"]:
    """min_f Pr[argmax f(x) ≠ y] = Σ_x w(x) (1 − max_y p*(x)_y).

    Raises:
        ValueError: a row of `probs` or the masses do not sum to one.

    >>> bayes_zero_one_risk(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0.5, 0.5]))
    tensor(0.2500)
    """
    return _mean_over_atoms(lambda p: 1 - p.amax(-1), probs, weights)


@door
def bayes_brier_risk(
    probs: Float[Tensor, "*#batch s k"], weights: Float[Tensor, "*#batch s"], /
) -> Float[Tensor, "*batch"]:
    """min_f E‖φ(f(x)) − e_y‖₂² = Σ_x w(x) (1 − ‖p*(x)‖₂²).

    Raises:
        ValueError: a row of `probs` or the masses do not sum to one.

    >>> bayes_brier_risk(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0.5, 0.5]))
    tensor(0.2500)
    """
    return _mean_over_atoms(lambda p: 1 - p.square().sum(-1), probs, weights)


def _mean_over_atoms(value: Callable[[Tensor], Tensor], probs: Tensor, weights: Tensor) -> Tensor:
    check_probs("probs", probs)
    check_weights("weights", weights)
    probs, weights = at_least_float32(probs, weights)
    return (weights * value(probs)).sum(-1)
