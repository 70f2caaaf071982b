"""Which views a network holds, and whether an ensemble holds them all."""

from __future__ import annotations

from math import comb

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite

__all__ = ["first_view", "missed_share", "missed_view_probability", "views_held"]


@door
def views_held(
    projections: Float[Tensor, "*members k r f"], /, *, num_views: int, threshold: float
) -> Bool[Tensor, "*members k v"]:
    """Which of its views each class holds: max_r ⟨w_{c,r}, v⟩ above half of the largest one, and above ϱ.

    Below the threshold ϱ of the activation nothing was learned: a class that memorised all of its points
    holds no view.

    Args:
        projections: u_{c,r,f}; features of class c are cV, …, cV + V − 1.
        num_views: V.
        threshold: ϱ.

    Raises:
        ValueError: a projection is not finite, or there are not V features for each class.

    >>> views_held(torch.tensor([[[2.0, 0.1, 0.0, 0.0]], [[0.1, 0.1, 0.9, 1.0]]]), num_views=2, threshold=0.2)
    tensor([[ True, False],
            [ True,  True]])
    """
    top = _own_tops(projections, num_views)
    return (top > 0.5 * top.amax(-1, keepdim=True)) & (top > threshold)


@door
def first_view(
    projections: Float[Tensor, "*members k r f"], /, *, num_views: int
) -> Int[Tensor, "*members k"]:
    """The view with the largest projection max_r ⟨w_{c,r}, v⟩: at the start, the one that should win.

    Raises:
        ValueError: as `views_held`.
    """
    return _own_tops(projections, num_views).argmax(-1)


def _own_tops(projections: Tensor, num_views: int) -> Tensor:
    classes, features = projections.shape[-3], projections.shape[-1]
    check_at_least("num_views", num_views, 1)
    check_finite("projections", projections)
    if features != classes * num_views:
        raise ValueError(
            f"projections have {features} features; {classes} classes of {num_views} views have "
            f"{classes * num_views}"
        )
    top = projections.amax(-2).unflatten(-1, (classes, num_views))
    own: Tensor = top.diagonal(dim1=-3, dim2=-2).movedim(-1, -2)
    return own


@door
def missed_view_probability(members: int, /, *, num_views: int = 2) -> float:
    """Σ_{j≥1} (−1)^{j+1} C(V, j) (1 − j/V)^N: some view is held by none of N; (1/2)^{N−1} at V = 2.

    Each network holds exactly one view, drawn uniformly and by itself (inclusion–exclusion).

    Args:
        members: N.
        num_views: V.

    >>> missed_view_probability(3), round(missed_view_probability(3, num_views=3), 6)  # 1 − 3!/3³
    (0.25, 0.777778)
    """
    check_at_least("members", members, 1)
    check_at_least("num_views", num_views, 1)
    # In whole numbers: of many views the terms are far larger than their sum.
    terms = ((-1) ** (j + 1) * comb(num_views, j) * (num_views - j) ** members for j in range(1, num_views))
    return sum(terms) / num_views**members if num_views > 1 else 0.0


@door
def missed_share(held: Bool[Tensor, "members k v"], /, *, size: int) -> Float[Tensor, "k"]:
    """The share of all ensembles of `size` of these networks with a view that none holds.

    Inclusion–exclusion over sets J of views: the networks that hold none of J make C(m_J, N) of the C(M, N)
    ensembles. Unbiased for the chance that N fresh networks miss a view.

    Args:
        held: of M networks.
        size: N ≤ M.

    Raises:
        ValueError: N is not between 1 and M.

    >>> held = torch.tensor([[[True, False]], [[True, False]], [[False, True]]])
    >>> missed_share(held, size=2)  # 1 of 3 pairs
    tensor([0.3333], dtype=torch.float64)
    """
    members, classes, views = held.shape
    check_at_least("size", size, 1)
    if size > members:
        raise ValueError(f"size = {size} is more than the {members} networks there are; take a smaller one")
    missed = [0] * classes
    for subset in range(1, 2**views):
        chosen = [view for view in range(views) if subset >> view & 1]
        for place, without in enumerate((~held[..., chosen].any(-1)).sum(0).tolist()):
            missed[place] += (-1) ** (len(chosen) + 1) * comb(without, size)
    return torch.tensor([count / comb(members, size) for count in missed], dtype=torch.float64)
