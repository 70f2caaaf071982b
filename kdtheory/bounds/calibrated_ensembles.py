"""Disagreement is not error: E Dis(h, h′) = E err(h) where an ensemble is calibrated class by class.

q_k(x) is the share of networks that say class k at x, for networks h and h′ drawn independently from one law.
Then E Dis = 1 − E Σ_k q_k(x)² and E err = 1 − E Σ_k q_k(x)·p_k(x), p_k(x) = Pr[y = k | x]; both are equal
where Pr[y = k | q_k(x) = q] = q for every k and q (Jiang, Nagarajan, Baek & Kolter 2022, Theorem 4.1).
Nothing that is seen without labels shows that: as a bound on an error the disagreement is a heuristic.
"""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor

from kdtheory.bounds.disagreement import disagreement_limit, disagreement_table
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.validate import check_flags, check_probs, check_same_shape

__all__ = ["ensemble_disagreement", "ensemble_error", "jiang22_disagreement"]

CALIBRATED = "networks of this recipe, as an ensemble, are calibrated class by class"


@door
def ensemble_disagreement(shares: Float[Tensor, "n k"], weights: Float[Tensor, "n"], /) -> Float[Tensor, ""]:
    """E Dis(h, h′) = Σ_x w(x)·(1 − Σ_k q_k(x)²), for h and h′ drawn independently.

    Args:
        shares: q_k(x), of the networks that say k at x.
        weights: w(x), the law of x.

    Raises:
        ValueError: rows of shares, or the weights, are no probabilities.

    >>> import torch
    >>> ensemble_disagreement(torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([0.5, 0.5]))
    tensor(0.4375)
    """
    check_probs("shares", shares)
    check_probs("weights", weights)
    return (weights * (1 - shares.square().sum(-1))).sum()


@door
def ensemble_error(
    shares: Float[Tensor, "n k"], posterior: Float[Tensor, "n k"], weights: Float[Tensor, "n"], /
) -> Float[Tensor, ""]:
    """E err(h) = Σ_x w(x)·(1 − Σ_k q_k(x)·p_k(x)).

    Args:
        shares: q_k(x), of the networks that say k at x.
        posterior: p_k(x).
        weights: w(x), the law of x.

    Raises:
        ValueError: as `ensemble_disagreement`, or shapes differ.

    >>> import torch
    >>> shares, posterior = torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> ensemble_error(shares, posterior, torch.tensor([0.5, 0.5]))
    tensor(0.3750)
    """
    check_probs("shares", shares)
    check_probs("posterior", posterior)
    check_probs("weights", weights)
    check_same_shape("shares", shares, "posterior", posterior)
    return (weights * (1 - (shares * posterior).sum(-1))).sum()


@door
def jiang22_disagreement(
    disagreements: Shaped[Tensor, "*networks m"], /, *, delta: float, calibrated: bool
) -> Bound:
    """err(f) ≈ Pr[f ≠ h] for networks h of f's recipe: an upper limit of the right-hand side alone.

    Jiang et al. (2022), Theorem 4.1, has equality in the mean over f and h where `calibrated` is so; of one f
    it says nothing, and overconfident networks agree on their errors. Derived here: the limit, at δ.

    Args:
        disagreements: f ≠ h as 0 and 1 at each unlabelled point; one row for each h.
        delta: δ.
        calibrated: whether the recipe's networks are calibrated class by class, which no data without labels
            can show.

    Raises:
        ValueError: no point, a value other than 0 and 1, δ outside (0, 1), or a flag neither True nor False.

    >>> import torch
    >>> bound = jiang22_disagreement(torch.zeros(59), delta=0.05, calibrated=False)
    >>> bound.kind, round(bound.value, 4)  # 1 − 0.05^(1/59)
    ('heuristic', 0.0495)
    """
    check_flags(calibrated=calibrated)
    rows = disagreement_table(disagreements)
    limit, mean = disagreement_limit(disagreements, delta=delta), float(rows.mean())
    return Bound(
        "jiang22_disagreement",
        limit,
        {"disagreement": mean, "radius": limit - mean},
        delta,
        {CALIBRATED: calibrated, "one network's error is the mean of its recipe's": False},
        over=f"the {rows.shape[1]} unlabelled points",
        quantities={"networks": len(rows), "unlabelled points": rows.shape[1]},
    )
