"""The slab: a world in which the tail of angles is a power, and how fast its students' angle and risk fall.

w_* is the first of D + 1 unit vectors and a feature is ‖g‖·(t, g/‖g‖), where |t| = τU^{1/b}, so that
p(π/2 − s) = (tan s/τ)^b near 0, and g is Gaussian in D dimensions with a spectrum. A flat spectrum with D far
above n leaves the weights an angle tan²ᾱ_n ≈ 1/Σt_i², which falls like 1/n; a decaying one is used up faster.
No spectrum makes it fall more slowly here: 1/tan²ᾱ_n = tᵀR⁻¹t, R the Gram matrix of the g/‖g‖, is
Σt_i²(R⁻¹)_ii in the mean over the signs of t, and (R⁻¹)_ii ≥ 1/R_ii = 1. Points that repeat others do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.streams import Stream
from kdtheory.transfer_risk import ji20_transfer_risk, nested_students, projection_angle

SIZES, EXPONENTS = (25, 50, 100, 200), (1, 2, 3)
DIM, FRESH = 4000, 100
REACH = 1.0


@dataclass(frozen=True)
class Slab:
    """p(β) of the world, exactly: (tan(π/2 − β)/τ)^b, where that is below 1."""

    exponent: float

    def __call__(self, beta: float, /) -> float:
        """P[ᾱ ≥ β] = P[|t| ≤ tan(π/2 − β)]."""
        reach = math.tan(math.pi / 2 - beta) / REACH if beta > 0 else math.inf
        return float(min(1.0, reach**self.exponent))


def sideways(size: int, decay: float, stream: Stream, /) -> Tensor:
    """g, a row each, float32."""
    rows = torch.randn(size, DIM, generator=stream.torch())
    return rows * torch.arange(1, DIM + 1) ** (-decay / 2)


def heights(size: int, exponent: float, stream: Stream, /) -> Tensor:
    """t of each point."""
    uniform = torch.rand(size, 2, dtype=torch.float64, generator=stream.torch())
    return REACH * uniform[:, 0] ** (1 / exponent) * torch.where(uniform[:, 1] < 0.5, -1.0, 1.0)


def slab_angles(rows: Tensor, t: Tensor, sizes: tuple[int, ...], /) -> Tensor:
    """ᾱ_n of the students of the first n points: cos²ᾱ_n = zᵀΘ⁻¹z. Lengths drop out of it."""
    unit = normalize(rows)
    return _angles_and_outputs((unit @ unit.mT).double(), torch.zeros(len(t), 1).to(t), t, sizes)[0]


def slab_risks(angles: Tensor, exponent: float, /) -> Tensor:
    """R_n = ½·E min(1, (tan ᾱ_n·|S|/τ)^b), S one coordinate of a uniform unit vector in R^D; flat spectrum.

    By the rotations around w_*, what the student has learned beside it meets a fresh g/‖g‖ at such an S.
    """
    levels = (np.arange(2001) + 0.5) / 2001  # S² has the Beta law with ½ and (D − 1)/2
    cosine = torch.from_numpy(np.sqrt(stats.beta.ppf(levels, 0.5, (DIM - 1) / 2)))
    reach = angles.tan()[..., None] * cosine / REACH
    return 0.5 * reach.clamp_max(1).pow(exponent).mean(-1)


def _angles_and_outputs(
    gram: Tensor, cross: Tensor, t: Tensor, sizes: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """ᾱ_n of the students of w_*, and their outputs at w_* (first) and at the fresh directions of `cross`."""
    shown = torch.cat([t[:, None], cross], 1)
    students = nested_students(
        gram + torch.outer(t, t), t, shown, torch.ones(shown.shape[1], dtype=t.dtype), sizes=sizes
    )
    angles, _ = projection_angle(students.squared_norms[:, 0], torch.tensor(1.0, dtype=t.dtype))
    return angles, students.outputs[..., 0]


@experiment
def directions_in_the_slab(run: Run, /) -> Rows:
    """16 samples of 200 points in 4,001 dimensions, flat spectrum: the Gram matrices of their g/‖g‖, and the
    products of these with 100 fresh directions.
    """
    grams, crosses = [], []
    for sample in range(run.size(quick=16, full=100)):
        unit = normalize(sideways(SIZES[-1] + FRESH, 0.0, run.stream.child(sample)))
        products = (unit[: SIZES[-1]] @ unit.mT).double()
        grams.append(products[:, : SIZES[-1]])
        crosses.append(products[:, SIZES[-1] :])
    return Rows(gram=torch.stack(grams), cross=torch.stack(crosses))


def angle_itself(_tail: Slab, angle: float, /) -> float:
    """ᾱ_n."""
    return angle


def closed_at_the_end(tail: Slab, angle: float, /) -> float:
    """ᾱ_n, of which "R_n ≤ p(π/2 − ᾱ_n = O(n^{−b/2})" says how it falls if the parenthesis ends last."""
    return angle_itself(tail, angle)


def closed_after_the_angle(tail: Slab, angle: float, /) -> float:
    """p(π/2 − ᾱ_n), of which it says so if the parenthesis ends after the angle."""
    return ji20_transfer_risk(tail, angle)


@experiment
def students_in_the_slab(
    run: Run,
    /,
    *,
    distinct: float = 1.0,
    tail: float = 1.0,
    closed: Callable[[Slab, float], float] = closed_after_the_angle,
) -> Rows:
    """16 samples for b = 1, 2, 3 with tails of the exponent b·`tail`, n = 25 to 200 points of which
    25·(n/25)^`distinct` are distinct: what falls with n (the bound by angles, or the angle itself), and the
    risk on 100 fresh directions g/‖g‖ each, given which the chance of t is exact.
    """
    seen = tuple(round(SIZES[0] * (n / SIZES[0]) ** distinct) for n in SIZES)
    drawn, falling, risks = directions_in_the_slab.rows(run), [], []
    for b in EXPONENTS:
        for sample, (gram, cross) in enumerate(zip(drawn.gram, drawn.cross, strict=True)):
            t = heights(SIZES[-1], tail * b, run.stream.child(b, sample))
            angles, outputs = _angles_and_outputs(gram, cross, t, seen)
            off = (outputs[:, 1:] / outputs[:, :1] / REACH).abs().clamp_max(1)
            risks.append(0.5 * off.pow(tail * b).mean(1))  # P[t is too small]
            falling.append([closed(Slab(tail * b), float(angle)) for angle in angles])
    shape = len(EXPONENTS), -1
    return Rows(
        n=SIZES,
        exponent=EXPONENTS,
        falling=torch.tensor(falling, dtype=torch.float64).unflatten(0, shape),
        risk=torch.stack(risks).unflatten(0, shape),
    )
