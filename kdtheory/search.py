"""A search that tries to break an inequality lhs ≤ c·rhs: it maximises the ratio lhs/rhs from many starts.

What it reports is what it found, never a proof: "not falsified in N attempts". All starts climb at once, as
one batch, by torch's Adam; the best few are then polished one by one by SciPy's L-BFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = ["WorstCase", "worst_case"]

Ratio = Callable[[Tensor], Tensor]


@door
@dataclass(frozen=True)
class WorstCase:
    """The largest ratio that a search found.

    Args:
        ratio: the largest lhs/rhs.
        witness: the point that has it.
        attempts: how many starts there were.
        lost: how many of them ended in a ratio that is not finite; they do not count.
    """

    ratio: float
    witness: Float[Tensor, "dim"]
    attempts: int
    lost: int


@door
def worst_case(
    ratio: Ratio,
    starts: Float[Tensor, "attempts dim"],
    /,
    *,
    steps: int = 200,
    learning_rate: float = 0.05,
    polished: int = 3,
) -> WorstCase:
    """max_θ lhs(θ)/rhs(θ), climbed from every start; the best point ever visited, not the last.

    Args:
        ratio: lhs/rhs of each point, attempts × dim to attempts, differentiable almost everywhere, each point
            by itself. The caller keeps rhs away from 0, where rounding alone would break any inequality.
        starts: where the attempts begin.
        steps: of Adam.
        learning_rate: of Adam; it falls to a hundredth in the course of the search.
        polished: how many of the best points SciPy improves further; 0 skips it.

    Raises:
        ValueError: no start, a start that is not finite, or no attempt with a finite ratio.

    >>> found = worst_case(lambda x: 2 * x[:, 0].abs() / (1 + x[:, 0] ** 2), torch.tensor([[0.3], [-4.0]]))
    >>> found.attempts, round(found.ratio, 6), round(abs(float(found.witness)), 3)
    (2, 1.0, 1.0)
    """
    check_finite("starts", starts)
    check_at_least("steps", steps, 1)
    check_positive("learning_rate", learning_rate)
    best, points = _climbed(ratio, starts, steps, learning_rate)
    lost = int((~torch.isfinite(best)).sum())
    if lost == len(best):
        raise ValueError(f"ratio is not finite at any of the {lost} starts; begin where rhs > 0")
    order = best.argsort(descending=True)
    top, witness = float(best[order[0]]), points[order[0]]
    for place in order[: min(polished, len(best) - lost)]:
        found, point = _polished(ratio, points[place])
        if np.isfinite(found) and found > top:
            top, witness = found, point
    return WorstCase(top, witness, len(starts), lost)


def _climbed(ratio: Ratio, starts: Tensor, steps: int, learning_rate: float) -> tuple[Tensor, Tensor]:
    points = starts.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([points], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / steps))
    best, witness = torch.full_like(points[:, 0], -torch.inf).detach(), points.detach().clone()
    for _ in range(steps):
        values = ratio(points)
        better = torch.isfinite(values.detach()) & (values.detach() > best)
        best = torch.where(better, values.detach(), best)
        witness[better] = points.detach()[better]
        optimizer.zero_grad()
        (-values.sum()).backward()
        if points.grad is not None:
            points.grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        optimizer.step()
        schedule.step()
    return best, witness


def _polished(ratio: Ratio, start: Tensor) -> tuple[float, Tensor]:
    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.as_tensor(flat).to(start)[None].requires_grad_()
        value = -ratio(point).sum()
        (gradient,) = torch.autograd.grad(value, point)
        return float(value.detach()), gradient[0].cpu().double().numpy()

    outcome = optimize.minimize(negative, start.cpu().double().numpy(), jac=True, method="L-BFGS-B")
    point = torch.as_tensor(outcome.x).to(start)
    return float(ratio(point[None])[0].detach()), point
