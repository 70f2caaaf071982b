"""Chapter 6.8: how fast the transfer risk falls, and how the notes' parenthesis is to be closed.

In the world of this file w_* is the first of D + 1 unit vectors and a feature is ‖g‖·(t, g/‖g‖), where
|t| = τU^{1/b}, so that p(π/2 − s) = (tan s/τ)^b near 0, and g is Gaussian in D dimensions with a spectrum. A
flat spectrum with D far above n leaves the weights an angle tan²ᾱ_n ≈ 1/Σt_i², which falls like 1/n; a
decaying one is used up faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, Rate
from kdtheory.claims.verdict import Verdict
from kdtheory.ntk import cholesky
from kdtheory.ntk.linear import LinearKernel
from kdtheory.streams import Stream
from kdtheory.transfer_risk import ji20_transfer_risk, nested_students, projection_angle

SIZES = (25, 50, 100, 200)
DIM = 4000
REACH = 1.0
EXPONENTS = (1, 2, 3)


@dataclass(frozen=True)
class Slab:
    """p(β) of the world, exactly: (tan(π/2 − β)/τ)^b, where that is below 1."""

    exponent: float

    def __call__(self, beta: float, /) -> float:
        """P[ᾱ ≥ β] = P[|t| ≤ tan(π/2 − β)]."""
        reach = math.tan(math.pi / 2 - beta) / REACH if beta > 0 else math.inf
        return float(min(1.0, reach**self.exponent))


def slab_features(size: int, exponent: float, decay: float, stream: Stream, /) -> Tensor:
    """Features of the world, a row each: t first."""
    generator = stream.torch()
    rest = torch.randn(size, DIM, dtype=torch.float64, generator=generator)
    if decay:
        rest *= torch.arange(1, DIM + 1, dtype=torch.float64) ** (-decay / 2)
    uniform = torch.rand(size, 2, dtype=torch.float64, generator=generator)
    t = REACH * uniform[:, 0] ** (1 / exponent) * torch.where(uniform[:, 1] < 0.5, -1.0, 1.0)
    lengths = rest.norm(dim=-1)
    return torch.cat([(t * lengths)[:, None], rest], 1)


def slab_angles(features: Tensor, sizes: tuple[int, ...], /) -> Tensor:
    """ᾱ_n of the students of the first n features: cos²ᾱ_n = zᵀΘ⁻¹z."""
    students = nested_students(
        LinearKernel()(features),
        features[:, 0],
        features[:, :1],
        torch.ones(1, dtype=torch.float64),
        sizes=sizes,
    )
    return projection_angle(students.squared_norms[:, 0], torch.tensor(1.0, dtype=torch.float64))[0]


def slab_risks(angles: Tensor, exponent: float, /) -> Tensor:
    """R_n = ½·E min(1, (tan ᾱ_n·|S|/τ)^b), S one coordinate of a uniform unit vector in R^D; flat spectrum.

    By the rotations around w_*, what the student has learned beside it meets a fresh g/‖g‖ at such an S.
    """
    cosine = _sphere_coordinates()
    reach = angles.tan()[..., None] * cosine / REACH
    return 0.5 * reach.clamp_max(1).pow(exponent).mean(-1)


def _sphere_coordinates(points: int = 2001) -> Tensor:
    """|S| at equally likely levels: S² has the Beta law with ½ and (D − 1)/2."""
    levels = (np.arange(points) + 0.5) / points
    return torch.from_numpy(np.sqrt(stats.beta.ppf(levels, 0.5, (DIM - 1) / 2)))


def _squared_angle(tail: Slab, angle: float, /) -> float:
    return tail(math.pi / 2 - min(angle**2, 1.5))


def _no_exponent(tail: Slab, angle: float, /) -> float:
    return math.sin(angle)


def _angle_squared(
    *norms: Tensor, _true: Callable[..., tuple[Tensor, Tensor]] = projection_angle
) -> tuple[Tensor, Tensor]:
    angle, unseen = _true(*norms)
    return angle.square(), unseen


def _one_point(
    *arrays: Tensor, sizes: tuple[int, ...], _true: Callable = nested_students, **other: float
) -> object:
    return _true(*arrays, sizes=tuple(range(1, len(sizes) + 1)), **other)


@claim(
    section="6.8",
    formula=r"p(\beta) \le c(\tfrac\pi2 - \beta)^b,\ \bar\alpha_n = O(n^{-1/2})"
    r"\ \Rightarrow\ R_n \le p(\tfrac\pi2 - \bar\alpha_n) = O(n^{-b/2})",
    source="ji2020knowledge",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2.", "ᾱ_n = O(n^{−1/2})."),
    control=Control("the spectrum decays, so that ᾱ_n falls at another power", decay=2.0),
    uses=(ji20_transfer_risk, nested_students, cholesky),
    mutants=(
        Mutant("the square of the angle", ji20_transfer_risk, _squared_angle),
        Mutant("b is forgotten", ji20_transfer_risk, _no_exponent),
        Mutant("students of one to four points", nested_students, _one_point),
    ),
)
def transfer_risk_falls_at_half_the_margin_exponent(setting: Setting, /, *, decay: float = 0.0) -> Evidence:
    """Where p(β) ≤ c(π/2 − β)^b near π/2 and ᾱ_n falls like n^{−1/2}, bound and transfer risk fall like
    n^{−b/2}; both conditions are needed.

    b = 1, 2, 3, n = 25 to 200 in 4,001 dimensions, 16 samples; the tail is known, and the risk a
    one-dimensional integral given ᾱ_n.
    """
    parts: dict[str, Evidence] = {}
    for b in EXPONENTS:
        angles = _angles(setting, b, decay)
        bounds = [[ji20_transfer_risk(Slab(b), float(a)) for a in row] for row in angles]
        parts[f"bound, b = {b}"] = Rate.of(SIZES, bounds, expected=-b / 2, margin=0.15 * b)
        if not decay:
            parts[f"risk, b = {b}"] = Rate.of(SIZES, slab_risks(angles, b), expected=-b / 2, margin=0.15 * b)
    return Joint(parts=parts)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac\pi2 - \bar\alpha_n = \mathcal O(n^{-b/2})",
    source="shen2021deep",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2, and a flat spectrum.",),
    control=Control(
        "closed after the angle: it is p(π/2 − ᾱ_n) that is O(n^{−b/2})", closed="after the angle"
    ),
    uses=(ji20_transfer_risk, nested_students, projection_angle),
    mutants=(Mutant("the square of the angle", projection_angle, _angle_squared),),
    expect=Verdict.REFUTED,
)
def angle_of_the_student_falls_at_half_the_margin_exponent(
    setting: Setting, /, *, closed: str = "at the end"
) -> Evidence:
    """The notes print R_n ≤ p(π/2 − ᾱ_n = O(n^{−b/2}) and never close the parenthesis. Closed at the end, it
    is the angle ᾱ_n that falls like n^{−b/2}, with the exponent of the tail.

    It falls like n^{−1/2} whatever b is: b = 2 and 3, n = 25 to 200, 16 samples.
    """
    parts: dict[str, Evidence] = {}
    for b in EXPONENTS[1:]:
        angles = _angles(setting, b, 0.0)
        if closed == "after the angle":
            values = [[ji20_transfer_risk(Slab(b), float(a)) for a in row] for row in angles]
        else:
            values = angles.tolist()
        parts[f"b = {b}"] = Rate.of(SIZES, values, expected=-b / 2, margin=0.2 * b)
    return Joint(parts=parts)


def _angles(setting: Setting, exponent: float, decay: float) -> Tensor:
    """ᾱ_n, one row for each sample."""
    samples = setting.size(quick=16, full=100)
    streams = [setting.stream.child(str(exponent), sample) for sample in range(samples)]
    return torch.stack([slab_angles(slab_features(SIZES[-1], exponent, decay, s), SIZES) for s in streams])
