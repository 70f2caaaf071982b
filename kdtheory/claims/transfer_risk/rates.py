"""Chapter 6.8: how fast the transfer risk falls, and how the notes' parenthesis is to be closed.

In the world of this file w_* is the first of D + 1 unit vectors and a feature is ‖g‖·(t, g/‖g‖), where
|t| = τU^{1/b}, so that p(π/2 − s) = (tan s/τ)^b near 0, and g is Gaussian in D dimensions with a spectrum. A
flat spectrum with D far above n leaves the weights an angle tan²ᾱ_n ≈ 1/Σt_i², which falls like 1/n; a
decaying one is used up faster. No spectrum makes it fall more slowly here: 1/tan²ᾱ_n = tᵀR⁻¹t, R the Gram
matrix of the g/‖g‖, is Σt_i²(R⁻¹)_ii in the mean over the signs of t, and (R⁻¹)_ii ≥ 1/R_ii = 1. Points that
repeat others do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, Rate
from kdtheory.claims.verdict import Verdict
from kdtheory.ntk.linear import LinearKernel
from kdtheory.streams import Stream
from kdtheory.transfer_risk import NestedStudents, ji20_transfer_risk, nested_students, projection_angle

SIZES = (25, 50, 100, 200)
DIM, FRESH = 4000, 100
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


Bound = Callable[..., float]


def _root_of_the_angle(
    tail: Callable[[float], float], angle: float, /, *, _true: Bound = ji20_transfer_risk
) -> float:
    return _true(tail, angle**0.5)


def _squared_angle(
    tail: Callable[[float], float], angle: float, /, *, _true: Bound = ji20_transfer_risk
) -> float:
    return _true(tail, min(angle**2, 1.5))


def _no_exponent(tail: Callable[[float], float], angle: float, /) -> float:
    return math.sin(angle)


def _one_point(
    *arrays: Tensor, sizes: tuple[int, ...], _true: Callable[..., NestedStudents] = nested_students
) -> NestedStudents:
    return _true(*arrays, sizes=tuple(range(1, len(sizes) + 1)))


def _outputs_squared(
    *arrays: Tensor, sizes: tuple[int, ...], _true: Callable[..., NestedStudents] = nested_students
) -> NestedStudents:
    found = _true(*arrays, sizes=sizes)
    return replace(found, outputs=found.outputs.sign() * found.outputs.square())


@claim(
    section="6.8",
    formula=r"p(\beta) \le c(\tfrac\pi2 - \beta)^b,\ \bar\alpha_n = O(n^{-1/2})"
    r"\ \Rightarrow\ R_n \le p(\tfrac\pi2 - \bar\alpha_n) = O(n^{-b/2})",
    source="ji2020knowledge",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2.", "ᾱ_n = O(n^{−1/2})."),
    control=(
        Control("ᾱ_n falls like n^{−1/4}: only √n of the n points are distinct", distinct=0.5),
        Control("the tail p has half the exponent", tail=0.5),
    ),
    uses=(ji20_transfer_risk, nested_students),
    mutants=(
        Mutant("the root of the angle", ji20_transfer_risk, _root_of_the_angle),
        Mutant("the square of the angle", ji20_transfer_risk, _squared_angle),
        Mutant("b is forgotten", ji20_transfer_risk, _no_exponent),
        Mutant("students of one to four points", nested_students, _one_point),
        Mutant("the squares of the students' outputs", nested_students, _outputs_squared),
    ),
    loose="exponents: a constant factor moves no slope",
)
def transfer_risk_falls_at_half_the_margin_exponent(
    setting: Setting, /, *, distinct: float = 1.0, tail: float = 1.0
) -> Evidence:
    """Where p(β) ≤ c(π/2 − β)^b near π/2 and ᾱ_n = O(n^{−1/2}), bound and transfer risk fall at least like
    n^{−b/2}, and in the world below no faster. Without the one condition or the other they fall more slowly.

    b = 1, 2, 3, n = 25 to 200 in 4,001 dimensions, 16 samples; the slopes are within 0.15·b of −b/2. The risk
    is that of the students on 100 fresh directions g/‖g‖ each, given which the chance of t is exact.

    The controls take one condition away and leave the other: with √n distinct points the angle falls like
    n^{−1/4}; with a tail of half the exponent, more points lie close to the boundary.
    """
    parts: dict[str, Evidence] = {}
    for b in EXPONENTS:
        samples = range(setting.size(quick=16, full=100))
        rows = [_bound_and_risk(setting.stream.child(str(b), i), tail * b, distinct) for i in samples]
        for name, values in zip(("bound", "risk"), np.moveaxis(np.array(rows), 1, 0), strict=True):
            margin = 0.15 * b
            parts[f"{name}, b = {b}: falls"] = Rate.of(
                SIZES, values, expected=-b / 2, margin=margin, one_sided=True
            )
            parts[f"{name}, b = {b}: no faster"] = Rate.of(
                SIZES, 1 / values, expected=b / 2, margin=margin, one_sided=True
            )
    return Joint(parts=parts)


def _bound_and_risk(stream: Stream, exponent: float, distinct: float) -> tuple[list[float], list[float]]:
    """p(π/2 − ᾱ_n) and R_n of the students of one sample of points, for every n."""
    seen = tuple(round(SIZES[0] * (n / SIZES[0]) ** distinct) for n in SIZES)
    features = slab_features(seen[-1], exponent, 0.0, stream)
    fresh = torch.randn(FRESH, DIM, dtype=torch.float64, generator=stream.child("fresh").torch())
    shown = torch.cat([torch.zeros(FRESH, 1, dtype=torch.float64), torch.nn.functional.normalize(fresh)], 1)
    shown = torch.cat([torch.eye(1, DIM + 1, dtype=torch.float64), shown])  # w_* first
    students = nested_students(
        LinearKernel()(features),
        features[:, 0],
        features @ shown.mT,
        torch.ones(len(shown), dtype=torch.float64),
        sizes=seen,
    )
    along, beside = students.outputs[:, 0, 0], students.outputs[:, 1:, 0]
    wrong = 0.5 * (beside / along[:, None] / REACH).abs().clamp_max(1).pow(exponent)  # P[t is too small]
    angles = projection_angle(students.squared_norms[:, 0], torch.tensor(1.0, dtype=torch.float64))[0]
    return [ji20_transfer_risk(Slab(exponent), float(a)) for a in angles], wrong.mean(1).tolist()


def _angle_itself(_tail: Slab, angle: float, /) -> float:
    return angle


def _angle_to_the_exponent(tail: Slab, angle: float, /) -> float:
    return float(angle**tail.exponent)


_READINGS: dict[str, Callable[[], Callable[[Slab, float], float]]] = {
    "at the end": lambda: _angle_itself,
    "after the angle": lambda: ji20_transfer_risk,
}


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n = \mathcal O(n^{-b/2})",
    source="shen2021deep",
    place="Section 8",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2, and a flat spectrum.", "b is not 1, where both readings agree."),
    control=Control(
        "closed after the angle: it is p(π/2 − ᾱ_n) that is O(n^{−b/2})", closed="after the angle"
    ),
    uses=(ji20_transfer_risk, nested_students, _angle_itself),
    mutants=(Mutant("the angle to the power b", _angle_itself, _angle_to_the_exponent),),
    expect=Verdict.REFUTED,
    reading="the parenthesis that is never closed is closed at the end",
    loose="exponents: a constant factor moves no slope",
)
def angle_of_the_student_falls_at_half_the_margin_exponent(
    setting: Setting, /, *, closed: str = "at the end"
) -> Evidence:
    """The notes print R_n ≤ p(π/2 − ᾱ_n = O(n^{−b/2}) and never close the parenthesis. Closed at the end, it
    is the angle ᾱ_n that falls like n^{−b/2}, with the exponent of the tail.

    It falls like n^{−1/2} whatever b is: b = 2 and 3, n = 25 to 200, 16 samples, slopes within 0.1·b. A
    reader closes it in the obvious place, after the angle.
    """
    parts: dict[str, Evidence] = {}
    for b in EXPONENTS[1:]:
        samples = setting.size(quick=16, full=100)
        streams = [setting.stream.child(str(b), sample) for sample in range(samples)]
        angles = [slab_angles(slab_features(SIZES[-1], b, 0.0, one), SIZES) for one in streams]
        values = [[_READINGS[closed]()(Slab(b), float(a)) for a in row] for row in angles]
        parts[f"b = {b}"] = Rate.of(SIZES, values, expected=-b / 2, margin=0.1 * b)
    return Joint(parts=parts)
