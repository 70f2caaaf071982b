"""Chapter 7.1: why the view that is ahead wins, one step of descent at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, WorstRatio
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.race import steps_of_two_projections
from kdtheory.networks.patches import smoothed_relu_slope


def _relu(z: Tensor, /, *, power: int, threshold: float) -> Tensor:
    return torch.ones_like(z) * (z > 0)


@claim(
    section="7.1",
    formula=r"0 < z_2 \le z_1 \le \varrho,\ q \ge 2:\quad"
    r" \frac{z_2 + c\,a'(z_2)}{z_1 + c\,a'(z_1)} \le \frac{z_2}{z_1}",
    source="allenzhu2020towards",
    place="derived here",
    assumes=("Both views are in the same points, so that one force c drives both.", "z₁ ≤ ϱ."),
    experiment=steps_of_two_projections,
    control=Control("the one ahead is past the threshold", ahead=(1.0, 3.0)),
    mutants=(Mutant("a ReLU, which has no race", smoothed_relu_slope, _relu),),
    loose="it holds for every force, so that a factor on the slope is one on the force",
)
def a_view_that_is_ahead_gains_on_the_others(rows: Rows, /) -> Evidence:
    """While no view is learned yet, a step of descent never lessens the share by which one projection is
    ahead of another, for any power from 2 on: with equal force the view that is ahead at the start wins.

    a′(z)/z does not fall on [0, ϱ]; with q = 2 it is an equality, so that there is no race. Past the
    threshold the slope is 1, and the one behind catches up.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, must_reach=0.999)
