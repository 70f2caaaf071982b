"""Chapter 7.1: why the view that is ahead wins, one step of descent at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, WorstRatio
from kdtheory.networks.patches import smoothed_relu_slope
from kdtheory.search import worst_case

THRESHOLD = 0.2


def _relu(z: Tensor, /, *, power: int, threshold: float) -> Tensor:
    return (z > 0).to(z)


@claim(
    section="7.1",
    formula=r"0 < z_2 \le z_1 \le \varrho,\ q \ge 2:\quad"
    r" \frac{z_2 + c\,a'(z_2)}{z_1 + c\,a'(z_1)} \le \frac{z_2}{z_1}",
    source="allenzhu2020towards",
    assumes=("Both views are in the same points, so that one force c drives both.", "z₁ ≤ ϱ."),
    control=Control("the one ahead is past the threshold", ahead=(1.0, 3.0)),
    uses=(smoothed_relu_slope,),
    mutants=(Mutant("a ReLU, which has no race", smoothed_relu_slope, _relu),),
    loose="it holds for every force, so that a factor on the slope is one on the force",
)
def a_view_that_is_ahead_gains_on_the_others(
    setting: Setting, /, *, ahead: tuple[float, float] = (0.05, 1.0)
) -> Evidence:
    """While no view is learned yet, a step of descent never lessens the share by which one projection is
    ahead of another, for any power from 2 on: with equal force the view that is ahead at the start wins.

    Derived here (a′(z)/z does not fall on [0, ϱ]); with q = 2 it is an equality, so that there is no race.
    A search over starts, forces and powers 2, 3 and 6 tries to break it. Past the threshold
    the slope is 1, and the one behind catches up.
    """
    attempts = setting.size(quick=16, full=128)
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

    starts = torch.randn(attempts, 3, dtype=torch.float64, generator=setting.stream.torch())
    found = worst_case(ratio, starts, polished=1)
    return WorstRatio(attempts=attempts, ratio=found.ratio, must_reach=0.999)
