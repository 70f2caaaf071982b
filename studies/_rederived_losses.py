"""Losses of two codes that are no packages, derived again from what their sources compute.

HobbitLong/RepDistiller at b84f547 (2023-10-16, BSD 2-Clause) and megvii-research/mdistiller at
a08d46f (2023-11-05, MIT). Where the two compute the same they share a function. s and t are the features of
student and teacher, `weight` the factor that mdistiller's configuration gives by default.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, huber_loss, softplus

COMMITS = {"repdistiller": "b84f547", "mdistiller": "a08d46f"}


def hint(s: Tensor, t: Tensor, weight: float = 1.0) -> Tensor:
    """The mean over all numbers of (s − t)²."""
    return weight * (s - t).square().mean()


def attention(s: Tensor, t: Tensor, power: float = 2, weight: float = 1.0) -> Tensor:
    """The mean over examples and positions of (q_s − q_t)², q = Σ_c A_c^p at length one; A^p, not |A|^p."""
    q_s, q_t = (_unit(side.pow(power).sum(1).flatten(1)) for side in _smaller(s, t))
    return weight * (q_s - q_t).square().mean()


def factor(s: Tensor, t: Tensor, p2: int = 1) -> Tensor:
    """The mean over examples and positions of |q_s − q_t|^p₂, q as in `attention`, p₂ 1 or 2."""
    q_s, q_t = (_unit(side.square().sum(1).flatten(1)) for side in _smaller(s, t))
    return (q_s - q_t).abs().pow(p2).mean()


def similarity(s: Tensor, t: Tensor, weight: float = 1.0) -> Tensor:
    """‖G_t − G_s‖_F²/b², the rows of G = FFᵀ at length one."""
    g_s, g_t = (_unit(side.flatten(1) @ side.flatten(1).T) for side in (s, t))
    return weight * (g_t - g_s).square().sum() / len(s) ** 2


def relations(s: Tensor, t: Tensor, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """Huber losses of distances over their positive mean, over b² pairs, and of cosines, over b³ triples.

    Distances are (|a|² + |b|² − 2ab)^½, at least 10⁻⁶ off the diagonal.
    """
    d_s, d_t = (_distances(side.flatten(1)) for side in (s, t))
    lengths = huber_loss(*(d / d[d > 0].mean() for d in (d_s, d_t)))
    one, other = (_cosines(side.flatten(1)) for side in (s, t))
    return distance * lengths + angle * huber_loss(one, other)


def transfer(s: Tensor, t: Tensor, weight: float = 1.0, floor: float = 1e-7) -> Tensor:
    """The mean over b² pairs of p ln((p + ε)/(q + ε)), p and q shares of (cos + 1)/2, itself included."""
    p, q = (_shares(side, floor) for side in (t, s))
    return weight * (p * ((p + floor) / (q + floor)).log()).mean()


def neighbours(s: Tensor, t: Tensor) -> Tensor:
    """Σ_d |s_i − t_i|_d |s_{i+1} − t_{i+1}|_d, the mean over the b − 1 pairs of neighbours in the batch."""
    gaps = (s - t).abs()
    return (gaps[1:] * gaps[:-1]).sum() / (len(s) - 1)


def variational(s: Tensor, t: Tensor, variance: float = 5.0, least: float = 1e-5) -> Tensor:
    """The mean of ½((s − t)²/v + ln v), v = ln(1 + e^a) + ε where a is learned and begins at this v."""
    begun = torch.full((s.shape[1], 1, 1), math.log(math.exp(variance - least) - 1), dtype=s.dtype)
    v = softplus(begun) + least
    return ((s - t).square() / v + v.log()).mean() / 2


def selectivity(s: Tensor, t: Tensor, weight: float = 1.0) -> Tensor:
    """The squared distance of the means of x xᵀ over channels, x a channel's map at length one."""
    s, t = (_unit(side.flatten(2)) for side in _smaller(s, t))
    k = [torch.einsum("bcp,bdp->bcd", *pair).square().mean() for pair in ((s, s), (t, t), (s, t))]
    return weight * (k[0] + k[1].detach() - 2 * k[2])


def flow(s: Tensor, t: Tensor, before_s: Tensor, before_t: Tensor) -> Tensor:
    """The mean over examples and m·n entries of (G_s − G_t)², G = F¹F²ᵀ/HW, the larger map averaged down."""
    g = [
        torch.einsum("bmhw,bnhw->bmn", *_smaller(first, second))
        / min(first[0, 0].numel(), second[0, 0].numel())
        for first, second in ((before_s, s), (before_t, t))
    ]
    return (g[0] - g[1]).square().mean()


def boundary(s: Tensor, t: Tensor, margin: float = 1.0) -> Tensor:
    """3/1000 times Σ max(0, m − sign(t) s)² over all numbers of an example, the mean over b; sign(0) = −1."""
    sign = torch.where(t > 0, 1.0, -1.0)
    return 0.003 * (margin - sign * s).clamp_min(0).square().sum() / len(s)


def pyramid(s: Tensor, t: Tensor, weight: float = 1.0) -> Tensor:
    """Mean squares of the maps and of their averages to 4², 2² and 1², weighted 1, ½, ¼, ⅛ over their sum."""
    terms = [(s - t).square().mean()]
    for size in (size for size in (4, 2, 1) if size < s.shape[2]):
        terms.append((adaptive_avg_pool2d(s, size) - adaptive_avg_pool2d(t, size)).square().mean())
    shares = [2.0**-level for level in range(len(terms))]
    return weight * sum(share * term for share, term in zip(shares, terms, strict=True)) / sum(shares)


LOSSES = {
    "hint": hint, "attention": attention, "factor": factor, "similarity": similarity, "relations": relations,
    "transfer": transfer, "neighbours": neighbours, "variational": variational, "selectivity": selectivity,
    "flow": flow, "boundary": boundary, "pyramid": pyramid,
}  # fmt: skip


def _unit(rows: Tensor) -> Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min(1e-12)


def _smaller(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The map of larger height averaged down to a square of the smaller height."""
    least = min(one.shape[2], other.shape[2])
    return tuple(
        side if side.shape[2] == least else adaptive_avg_pool2d(side, least) for side in (one, other)
    )


def _distances(rows: Tensor) -> Tensor:
    squares = rows.square().sum(1)
    gaps = (squares[:, None] + squares[None] - 2 * rows @ rows.T).clamp_min(1e-12).sqrt()
    return gaps.masked_fill(torch.eye(len(rows), dtype=torch.bool), 0)


def _cosines(rows: Tensor) -> Tensor:
    directions = _unit(rows[None] - rows[:, None])
    return directions @ directions.mT


def _shares(rows: Tensor, floor: float) -> Tensor:
    unit = rows / (torch.linalg.vector_norm(rows, dim=1, keepdim=True) + floor)
    weights = (unit @ unit.T + 1) / 2
    return weights / weights.sum(1, keepdim=True)
