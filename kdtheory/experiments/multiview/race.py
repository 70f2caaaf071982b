"""One step of descent of two projections under equal force, searched for the worst ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.networks.patches import smoothed_relu_slope
from kdtheory.search import worst_case

__all__ = ["steps_of_two_projections"]

THRESHOLD = 0.2


@experiment
def steps_of_two_projections(run: Run, /, *, ahead: tuple[float, float] = (0.05, 1.0)) -> Rows:
    """A search over starts, forces and powers 2, 3 and 6: the largest ratio of z₂/z₁ after a step of descent
    to what it was before, with z₁ in `ahead` times the threshold.
    """
    attempts = run.size(quick=16, full=128)
    low, high = (THRESHOLD * share for share in ahead)

    def ratio(points: Tensor) -> Tensor:
        position, share, force = points.sigmoid().unbind(-1)
        first = low + (high - low) * position
        pair = torch.stack([first, share * first], -1)
        ratios = []
        for power in (2, 3, 6):
            moved = pair + 0.5 * force[:, None] * smoothed_relu_slope(pair, power=power, threshold=THRESHOLD)
            ratios.append(moved[:, 1] / moved[:, 0] / share)
        worst: Tensor = torch.stack(ratios).amax(0)
        return worst

    starts = torch.randn(attempts, 3, dtype=torch.float64, generator=run.stream.torch())
    return Rows(attempts=attempts, ratio=worst_case(ratio, starts, polished=1).ratio)
