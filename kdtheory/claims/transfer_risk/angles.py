"""Chapter 6.5: the transfer risk and the tail of angles (Ji & Zhu, 2020), where it speaks and where not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Inequality, Joint
from kdtheory.claims.transfer_risk.worlds import KERNEL, LazyNets, circle, few_anchors, image_oracle
from kdtheory.claims.verdict import Verdict
from kdtheory.ntk.linear import LinearKernel
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    KernelFunction,
    TransferCurve,
    acute_angles,
    angle_between,
    angle_tail,
    dkw_width,
    interpolant,
    isotropic_angle_tail,
    ji20_transfer_risk,
    linear_function,
    transfer_curve,
    transfer_risk,
)

EVERY = "The bound is taken on the points on which the risk is."
PERFECT = "The teacher is perfect, so that Δŵ is the projection of Δw_* and sin ᾱ_n = ρ_n/‖Δw_*‖."
Pairs = list[tuple[float, float]]
Tail = Callable[[float], float]


def _half_the_angle(
    tail: Tail, angle: float, /, *, _true: Callable[..., float] = ji20_transfer_risk
) -> float:
    return _true(tail, angle / 2)


def _chance_below(tail: Tail, angle: float, /) -> float:
    return 1 - tail(math.pi / 2 - angle)


def _cosine_for_the_angle(
    oracle: KernelFunction, inputs: Tensor, /, *, _true: Callable[..., Tensor] = acute_angles
) -> Tensor:
    return _true(oracle, inputs).cos()


def _two_for_one(points: int, /, *, delta: float, _true: Callable[..., float] = dkw_width) -> float:
    return _true(points, delta=delta) / math.sqrt(2)


def _delta_forgotten(points: int, /, *, delta: float) -> float:
    return 1 / math.sqrt(2 * points)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n),\quad"
    r" p(\beta) = \Pr_x[\bar\alpha(\varphi(x), \Delta w_*) \ge \beta]",
    source="ji2020knowledge",
    assumes=(EVERY, PERFECT),
    control=Control(
        "ᾱ_n is read from the norms although the labels are those of another oracle", taught="other"
    ),
    uses=(transfer_curve, ji20_transfer_risk, acute_angles, transfer_risk),
    mutants=(
        Mutant("half of the angle", ji20_transfer_risk, _half_the_angle),
        Mutant("the chance of angles below", ji20_transfer_risk, _chance_below),
        Mutant("the cosine for the angle", acute_angles, _cosine_for_the_angle),
    ),
)
def transfer_risk_is_below_the_tail_of_angles(setting: Setting, /, *, taught: str = "oracle") -> Evidence:
    """The signs of student and oracle differ on at most the share p(π/2 − ᾱ_n) of the points, for every draw;
    in two dimensions that says something.

    The kernel of infinitely wide nets on the circle, n = 10 to 80; linear students in three dimensions, n = 1
    and 2; nets trained by torch on the circle, with the angle between what was learned and the teacher's
    weights.
    """
    trials = setting.size(quick=40, full=400)
    wide = [_on_the_circle(setting.stream.child("circle", t), taught) for t in range(trials)]
    linear = [_in_space(setting.stream.child("space", t), taught) for t in range(trials)]
    parts = {"infinitely wide": wide, "linear": linear, "nets": [_trained(setting.stream, trials, taught)]}
    return Joint(
        parts={name: _of_pairs([pair for some in pairs for pair in some]) for name, pairs in parts.items()}
    )


def _of_pairs(pairs: Pairs) -> Inequality:
    risks, bounds = zip(*pairs, strict=True)
    return Inequality.of(risks, bounds, trivial=0.5)


def _pairs(curve: TransferCurve) -> Pairs:
    return list(zip(curve.risk.tolist(), curve.ji_zhu.tolist(), strict=True))


def _on_the_circle(stream: Stream, taught: str) -> Pairs:
    oracle, inputs = few_anchors(stream), circle(80, stream.child("inputs"))
    fresh = circle(300, stream.child("fresh"))
    curve = transfer_curve(KERNEL, inputs, oracle, fresh, sizes=(10, 20, 40, 80))
    if taught == "oracle":
        return _pairs(curve)
    student = interpolant(KERNEL, inputs, few_anchors(stream.child("other"))(inputs))
    risk = transfer_risk(student(fresh), oracle(fresh))
    return [(float(risk), float(curve.ji_zhu[-1]))]


def _in_space(stream: Stream, taught: str) -> Pairs:
    drawn = torch.randn(305, 3, dtype=torch.float64, generator=stream.torch())
    drawn[:, 0] *= 4  # most points lie along the oracle
    oracle = linear_function(torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64))
    curve = transfer_curve(LinearKernel(), drawn[:2], oracle, drawn[5:], sizes=(1, 2))
    if taught == "oracle":
        return _pairs(curve)
    risk = transfer_risk(drawn[5:] @ drawn[4], oracle(drawn[5:]))
    return [(float(risk), float(curve.ji_zhu[-1]))]


def _trained(stream: Stream, members: int, taught: str) -> Pairs:
    """Nets near their start; their features and weights are explicit."""
    nets = LazyNets(2, 64, stream.child("nets"))
    oracles = nets.gaussian_teachers(members)
    inputs, fresh = circle(6, stream.child("inputs")), circle(300, stream.child("fresh"))
    features = nets.features(torch.cat([inputs, fresh]))
    rate = 6 / float(torch.linalg.eigvalsh(features[:6] @ features[:6].mT)[-1])
    learned = nets.trained(inputs, oracles, steps=200, rate=rate).params - nets.start
    # In the control the angle is that of the student of the oracle before.
    judged = oracles if taught == "oracle" else oracles.roll(1, 0)
    pairs = []
    for change, taught_by, weights in zip(learned, oracles, judged, strict=True):
        oracle = linear_function(weights)
        risk = transfer_risk(nets.change(change[None], fresh)[0], nets.change(weights[None], fresh)[0])
        angle = float(angle_between(linear_function(change), linear_function(taught_by)))
        pairs.append((float(risk), ji20_transfer_risk(angle_tail(acute_angles(oracle, features[6:])), angle)))
    return pairs


@claim(
    section="6.5",
    formula=r"\Pr\bigl[\sup_\beta\, p(\beta) - \hat p(\beta) > \sqrt{\ln(1/\delta)/2m}\bigr] \le \delta",
    source="massart1990tight",
    assumes=("m independent points.", "δ ≤ ½."),
    control=Control("the points are counted twice", counted=2),
    uses=(dkw_width, isotropic_angle_tail),
    mutants=(
        Mutant("√2 too narrow", dkw_width, _two_for_one),
        Mutant("δ is forgotten", dkw_width, _delta_forgotten),
    ),
)
def band_covers_the_tail_of_angles_everywhere(setting: Setting, /, *, counted: int = 1) -> Evidence:
    """With probability at least 1 − δ the tail of angles is below its estimate plus √(ln(1/δ)/2m) at every
    angle at once.

    m = 8 isotropic points in five dimensions, whose tail is known; the supremum is exact; δ = 0.1.
    """
    draws, m, delta = setting.size(quick=20_000, full=200_000), 8, 0.1
    generator = setting.stream.torch()
    points = torch.randn(draws, m, 5, dtype=torch.float64, generator=generator)
    cosines = (points[..., 0].abs() / points.norm(dim=-1)).numpy()
    angles = np.sort(np.arccos(cosines), axis=-1)
    # Just above the i-th angle m − i of m points are left, and p has not fallen yet.
    excess = isotropic_angle_tail(angles, dim=5) - np.arange(m - 1, -1, -1) / m
    width = dkw_width(counted * m, delta=delta)
    return Coverage.of(excess.max(-1), np.full(draws, width), delta=delta)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n) \approx 1\text{ on images}",
    source="ji2020knowledge",
    assumes=(EVERY, PERFECT),
    control=Control("the angle between student and oracle is left out", scale=0.0),
    uses=(transfer_curve, ji20_transfer_risk),
    mutants=(Mutant("the chance of angles below", ji20_transfer_risk, _chance_below),),
    expect=Verdict.VACUOUS,
)
def bound_by_angles_says_nothing_on_images(setting: Setting, /, *, scale: float = 1.0) -> Evidence:
    """On real images the transfer risk is below p(π/2 − ᾱ_n), which is above one half, what a coin gives,
    even where the student hardly errs: nearly all features are nearly orthogonal to the oracle.

    Kernel of infinitely wide nets of two hidden layers; the oracle is the smoothest function through the
    labels of 900 images (lower or upper half of the classes), students of 30 to 600 of them, 500 fresh ones.
    """
    oracle, fresh = image_oracle(setting, pool=900, fresh=500)
    sizes = (30, 100, 300, 600)
    curve = transfer_curve(oracle.kernel, oracle.anchors, oracle, fresh, sizes=sizes)
    tail = angle_tail(acute_angles(oracle, fresh))
    bounds = [ji20_transfer_risk(tail, scale * float(angle)) for angle in curve.angle]
    notes = {"n": sizes, "risk": curve.risk, "bound": bounds}
    return Inequality.of(curve.risk, bounds, trivial=0.5, notes=notes)
