"""No line can beat the triangle: err(g) + Pr[f ≠ g] is attained by an f that agrees with all that was seen.

Let g and labelled points S be given, S of no mass, and d at most the mass where g is right. Then there is an
f that is right on S, leaves g only where g is right, and differs from it with probability d: it errs wherever
g errs and wherever it leaves g, so that err(f) = err(g) + d. A bound that holds for every f, whatever it has
seen of S, and is known from S, g and the points where f leaves g, is never below that sum (derived here).
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_fraction, check_labels, check_same_shape, check_weights

__all__ = ["farthest_predictor"]


@door
def farthest_predictor(
    witness: Int[Tensor, "n"],
    labels: Int[Tensor, "n"],
    weights: Float[Tensor, "n"],
    seen: Bool[Tensor, "n"],
    /,
    *,
    classes: int,
    apart: float,
) -> Int[Tensor, "n"]:
    """f with err(f) = err(g) + Pr[f ≠ g]: right where it was seen, else it leaves g only where g is right.

    Args:
        witness: g's class at each point of a finite world.
        labels: the class there.
        weights: the law of the points; those that were seen have no mass.
        seen: the labelled points that f has seen.
        classes: k.
        apart: the largest mass at which f may leave g; points are taken in order while they fit.

    Raises:
        ValueError: shapes differ, a class outside 0 to k − 1, weights that are no probabilities, or a point
            that was seen has mass.

    >>> import torch
    >>> g, y, w = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), torch.tensor([0.5, 0.25, 0.25])
    >>> farthest_predictor(g, y, w, torch.zeros(3).bool(), classes=2, apart=0.5)  # leaves g at the first
    tensor([1, 1, 1])
    """
    check_fraction("apart", apart)
    for name, values in (("witness", witness), ("labels", labels)):
        check_labels(name, values, classes)
        check_same_shape(name, values, "seen", seen)
    check_weights("weights", weights[None])
    if bool((weights[seen] > 0).any()):
        raise ValueError("weights: a point that was seen has mass; the points of S have none")
    found, left = witness.clone(), apart * (1 + 1e-12)
    found[seen] = labels[seen]
    for point in ((witness == labels) & ~seen).nonzero()[:, 0].tolist():
        if float(weights[point]) <= left:
            left -= float(weights[point])
            found[point] = (labels[point] + 1) % classes
    return found
