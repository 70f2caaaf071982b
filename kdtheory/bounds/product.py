"""Disagreement transfer under one δ, whatever f has seen: the product of two p-values (Fisher 1932).

Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g] = p + q. P₁ is the p-value of p from the labelled points (`RiskTail`), P₂(q)
that of q from unlabelled ones that were drawn after f and g were fixed. f, and so q, may depend on the
labelled points in any way. Then with probability at least 1 − δ

    p + q ≤ sup{p + q : P₁(p)·P₂(q) ≥ c},   c(1 − ln c) = δ.

Proof: given the labelled points q is a number and P[P₂(q) ≤ u] ≤ u, so P[P₁P₂ ≤ c] ≤ E min(1, c/P₁), which
falls with P₁; P₁ lies above a uniform variable in law, whence at most c + c∫_c^1 du/u = c(1 − ln c).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import ONE_LAW, UNSEEN
from kdtheory.bounds.disagreement import disagreement_table
from kdtheory.bounds.holdout import unit_mean
from kdtheory.bounds.result import Bound
from kdtheory.bounds.tails import RiskTail
from kdtheory.doors import door
from kdtheory.validate import check_flags, check_fraction

if TYPE_CHECKING:
    from kdtheory.bounds.tails import Levels

__all__ = ["fisher32_log_level", "product_disagreement_transfer", "product_upper_limit"]

_ROUGH = 200
_STEP = 0.01
_FINEST = 1e-9
_CLOSE = 0.002  # of the radius
_EDGE = 1e-6
_MANY = 10**6  # beyond it a limit whose p-value is near ½ may be an event too large
_ROUNDING = 8e-12  # what the limits of single tails are rounded by, carried over from one node to the next


@door
def product_disagreement_transfer(
    witness: RiskTail,
    disagreements: Shaped[Tensor, "*witnesses m"],
    /,
    *,
    delta: float,
    drawn_afterwards: bool,
    same_law: bool,
) -> Bound:
    """Pr[f ≠ y] ≤ sup{p + q : P₁(p)·P₂(q) ≥ c}, c(1 − ln c) = δ minus what the witness has spent.

    Fisher (1932), the one-sided form derived above; whatever f has seen. P₂ is the binomial tail for one
    witness (or one fresh g at each point), Chernoff's for the means over several. `needed` is a number of
    unlabelled points, by Chernoff's tail, the witness being as it is; None where no number would do.

    Args:
        witness: P₁.
        disagreements: f ≠ g as 0 and 1 at each unlabelled point; one row for each witness; for a stochastic
            witness a fresh g at each point.
        delta: δ in total.
        drawn_afterwards: whether the unlabelled points were drawn after f and g (or Q) were fixed.
        same_law: whether they are independent draws from the distribution of the labelled points.

    Raises:
        ValueError: no point, values other than 0 and 1, δ outside (0, 1) or at most what the witness has
        spent,
            or a flag that is neither True nor False.

    >>> import torch
    >>> from kdtheory.bounds.tails import holdout_tail
    >>> witness = holdout_tail(torch.zeros(59), fixed_in_advance=True, independent_draws=True)
    >>> bound = product_disagreement_transfer(witness, torch.zeros(59), delta=0.05, drawn_afterwards=True,
    ...                                       same_law=True)
    >>> round(bound.value, 4), round(2 * (1 - 0.0087155 ** (1 / 118)), 4)  # c = .0087155, half of ln c each
    (0.0788, 0.0788)
    """
    check_fraction("delta", delta, open_interval=True)
    check_flags(drawn_afterwards=drawn_afterwards, same_law=same_law)
    if delta <= witness.spent:
        raise ValueError(f"delta = {delta} must be more than the {witness.spent} that the witness has spent")
    level = fisher32_log_level(delta - witness.spent)
    rows = disagreement_table(disagreements)
    apart, m = unit_mean("disagreements", rows.mean(0))
    second = RiskTail("disagreement", apart, m, len(rows) == 1, {ONE_LAW: same_law})
    limit = product_upper_limit(witness, second, log_level=level)
    plain = replace(witness, excess=0.0)
    free = limit if witness.excess == 0 else product_upper_limit(plain, second, log_level=level)

    def at_size(size: int) -> float:
        return product_upper_limit(witness, replace(second, points=size, exact=False), log_level=level)

    seen = witness.mean + apart
    terms = {**witness.terms, "disagreement": apart, "joint radius": free - seen}
    return Bound(
        f"product_disagreement_transfer({witness.name})",
        limit,
        terms if witness.excess == 0 else {**terms, witness.excess_name: limit - free},
        delta,
        {**witness.assumptions, UNSEEN: drawn_afterwards, ONE_LAW: same_law},
        value_at=at_size,
        over=f"the {witness.points} labelled points and the {m} unlabelled ones",
        quantities={**witness.quantities, "unlabelled points": m, "witnesses": len(rows)},
    )


@door
def fisher32_log_level(delta: float, /) -> float:
    """ln c with c(1 − ln c) = δ, rounded down: two independent p-values have a product below c so rarely.

    Fisher (1932): −2 ln(P₁P₂) is χ² with four degrees of freedom.

    Raises:
        ValueError: δ outside (0, 1).

    >>> round(fisher32_log_level(2 / math.e), 9)  # c = 1/e
    -1.0
    """
    check_fraction("delta", delta, open_interval=True)
    # With x = −ln c: x − ln(1+x) = ln(1/δ), convex; x₀ = L + √(2L) lies outside, for e^y ≥ 1 + y + y²/2.
    target = -math.log(delta)
    x = target + math.sqrt(2 * target)
    for _ in range(50):
        step = (x - math.log1p(x) - target) * (1 + x) / x
        if step <= 1e-15 * x:
            break
        x -= step
    return -x * (1 + 1e-12)


@door
def product_upper_limit(
    first: RiskTail, second: RiskTail, /, *, log_level: float, scale: float = 1.0
) -> float:
    """sup{p + ρq : ln P₁(p) + ln P₂(q) ≥ ln c} ≤ 1 + ρ, rounded outward by ¼ % of the radius at most.

    On the edge p is the limit of P₁ at t·ln c and q that of P₂ at (1−t)·ln c, 0 ≤ t ≤ 1. Both are concave in
    t, as inverses of concave functions, and so is their sum: between two nodes it lies below the chords of
    the nodes on either side, drawn on; the nodes move together until that is close. (For δ ≤ ½:
    near δ = 1 there is no radius to compare with.)

    Args:
        first, second: P₁ and P₂.
        log_level: ln c < 0.
        scale: ρ ≥ 0.

    Raises:
        ValueError: ln c is not negative and finite, or ρ negative or not finite.

    >>> flat = RiskTail("ten without an event", 0.0, 10, True, {"fixed": True})
    >>> round(product_upper_limit(flat, flat, log_level=-10 * math.log(4)), 3)  # p = q: 2(1 − 4^{−1/2})
    1.0
    """
    if not -math.inf < log_level < 0:
        raise ValueError(f"log_level = {log_level} must be negative and finite")
    if not 0 <= scale < math.inf:
        raise ValueError(f"scale = {scale} must be finite and at least 0")

    def sums(one: Levels, other: Levels, *, rough: bool = False) -> Levels:
        p, q = first.limits(one * log_level, rough=rough), second.limits(other * log_level, rough=rough)
        total: Levels = p + scale * q
        return total

    # Where one p-value is near one its limit is steep: there the two at either end of [0, edge] do.
    edge = min(_EDGE / -log_level, 0.01)
    ends = sums(np.array([edge, 1.0]), np.array([1.0, edge]))
    nodes: Levels = np.linspace(edge, 1 - edge, _ROUGH + 1)
    best, step = float(nodes[sums(nodes, 1 - nodes, rough=True).argmax()]), _STEP
    seen, above = first.mean + scale * second.mean, math.inf
    while True:
        nodes = best + step * np.arange(-4, 5)
        nodes[nodes < edge + step / 2], nodes[nodes > 1 - edge - step / 2] = edge, 1 - edge
        nodes = np.unique(nodes)
        found = sums(nodes, 1 - nodes)
        place = int(found.argmax())
        if (place > 0 or nodes[0] == edge) and (place < len(nodes) - 1 or nodes[-1] == 1 - edge):
            above = min(above, _above_concave(nodes, found))
        best, held = float(nodes[place]), above < math.inf
        if held and (above - found[place] <= _CLOSE * abs(above - seen) or step < _FINEST):
            break
        step = step / 4 if held else 2 * step  # the greatest lies within a step of the best
    both = zip((1.0, scale), (first, second), strict=True)
    events = sum(4 * weight / tail.points for weight, tail in both if tail.exact and tail.points > _MANY)
    highest = max(above, float(ends.max()))
    return min(1 + scale, highest * (1 + _ROUNDING) + events)


def _above_concave(places: Levels, values: Levels) -> float:
    """An upper bound of a concave function from its values, the greatest of them not at an open end."""
    slopes, steps = np.diff(values) / np.diff(places), np.diff(places)
    from_left = values[:-1] + steps * np.concatenate([[np.inf], np.maximum(slopes[:-1], 0)])
    from_right = values[1:] + steps * np.concatenate([np.maximum(-slopes[1:], 0), [np.inf]])
    return float(np.minimum(from_left, from_right).max())
