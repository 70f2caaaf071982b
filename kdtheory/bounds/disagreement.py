"""Disagreement transfer: f inherits the certificate of a witness g, Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g].

The first term is any certificate of g; the second needs no labels: m points drawn after f and g were fixed.
f itself may have been trained on whatever there is, and is not touched. Witnesses:

- hold-out: g trained on a part of the labelled points, certified on the rest;
- Occam: g quantised and coded in b bits, certified on the points that it was trained on;
- stochastic: g ~ Q with a PAC-Bayes certificate, one fresh g at each unlabelled point, so that the second
  term is a proportion over points and draws, and a deterministic f inherits from a stochastic student;
- averaged: w witnesses, with (1/w)Σ Pr[g_j ≠ y] and (1/w)Σ Pr[f ≠ g_j] for the two terms. The means over the
  witnesses of loss and of disagreement, point by point, lie in [0, 1]: no δ is shared out among witnesses.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import ONE_LAW, UNSEEN
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.holdout import unit_mean
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse
from kdtheory.validate import check_at_least, check_flags, check_fraction, check_one_of

__all__ = ["disagreement_limit", "disagreement_transfer"]

Method = Literal["kl", "bernstein"]


@door
def disagreement_limit(
    disagreements: Shaped[Tensor, "*witnesses m"], /, *, delta: float, method: Method = "kl"
) -> float:
    """Upper limit of Pr[f ≠ g], or of its mean over witnesses, from m points: exact where values are 0 and 1.

    Clopper & Pearson (1934) for one witness; for the means of several, which lie in [0, 1], kl⁻¹ (Hoeffding
    1963, Theorem 1) or the empirical Bernstein radius (Maurer & Pontil 2009, Theorem 4).

    Args:
        disagreements: f ≠ g as 0 and 1 (or booleans) at each point; one row for each witness.
        delta: δ.
        method: "kl" or "bernstein", to be chosen before the points are seen; for one witness both are the
            exact limit.

    Raises:
        ValueError: no point, a single one for the variance of "bernstein", values other than 0 and 1, an
            unknown method, or δ outside (0, 1).

    >>> import torch
    >>> round(disagreement_limit(torch.zeros(59), delta=0.05), 4)  # 1 − 0.05^(1/59)
    0.0495
    """
    check_one_of("method", method, ("kl", "bernstein"))
    check_fraction("delta", delta, open_interval=True)
    rows = disagreement_table(disagreements)
    mean, points = unit_mean("disagreements", rows.mean(0))
    if len(rows) == 1:
        return binomial_upper_limit(int(rows.sum()), points, delta=delta)
    if method == "bernstein":
        check_at_least("the number of points", points, 2)
        variance = rows.mean(0).var()
        return mean + float(maurer09_finite_class_radius(variance, n=points, class_size=1, delta=delta))
    return float(kl_upper_inverse(mean, -math.log(delta) / points))


@door
def disagreement_transfer(
    witness: Bound,
    disagreements: Shaped[Tensor, "*witnesses m"],
    /,
    *,
    delta: float,
    drawn_afterwards: bool,
    same_law: bool,
    method: Method = "kl",
) -> Bound:
    """Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g]: the witness's bound at its δ₁, and the disagreement's limit at δ₂.

    Holds with probability 1 − δ₁ − δ₂. Tight where f errs wherever it leaves g, and g errs elsewhere. For
    averaged witnesses `witness` bounds the mean of their risks (a kl hold-out of the mean losses, say).
    `needed` is a number of unlabelled points, by kl inversion, the witness being as it is; None where no
    number would do.

    Args:
        witness: a bound on Pr[g ≠ y], for the zero-one loss.
        disagreements: f ≠ g as 0 and 1 at each unlabelled point; one row for each witness; for a stochastic
            witness a fresh g at each point.
        delta: δ₂.
        drawn_afterwards: whether the points were drawn after f and g (or Q) were fixed.
        same_law: whether the unlabelled points are independent draws from the distribution of labelled ones.
        method: for several witnesses, as in `disagreement_limit`.

    Raises:
        ValueError: no point, values other than 0 and 1, an unknown method, or δ₁ + δ₂ outside (0, 1).

    >>> import torch
    >>> from kdtheory.bounds.holdout import clopper34_holdout
    >>> witness = clopper34_holdout(torch.zeros(59), delta=0.05, fixed_in_advance=True,
    ...     independent_draws=True)
    >>> bound = disagreement_transfer(witness, torch.zeros(59), delta=0.05, drawn_afterwards=True,
    ...     same_law=True)
    >>> round(bound.value, 3), bound.delta  # twice 0.0495
    (0.099, 0.1)
    """
    check_flags(drawn_afterwards=drawn_afterwards, same_law=same_law)
    limit = disagreement_limit(disagreements, delta=delta, method=method)
    rows = disagreement_table(disagreements)
    mean = float(rows.mean())

    def at_size(size: int) -> float:
        return witness.value + float(kl_upper_inverse(mean, -math.log(delta) / size))

    sizes = {"unlabelled points": rows.shape[1], "witnesses": rows.shape[0]}
    return Bound(
        f"disagreement_transfer({witness.name})",
        (witness.value + limit) * (1 + 4e-16),
        {**witness.terms, "disagreement": mean, "disagreement radius": limit - mean},
        witness.delta + delta,
        {**witness.assumptions, UNSEEN: drawn_afterwards, ONE_LAW: same_law},
        trivial=witness.trivial,
        value_at=at_size,
        over=f"{witness.over} and the {rows.shape[1]} unlabelled ones",
        quantities={**witness.quantities, **sizes},
    )


def disagreement_table(disagreements: Tensor) -> Tensor:
    """A row of 0 and 1 for each witness, or a `ValueError`."""
    check_at_least("the number of disagreements", disagreements.numel(), 1)
    rows: Tensor = torch.atleast_2d(disagreements.double()).flatten(0, -2)
    if not bool(((rows == 0) | (rows == 1)).all()):
        raise ValueError("disagreements holds values other than 0 and 1; give f ≠ g at each point")
    return rows
