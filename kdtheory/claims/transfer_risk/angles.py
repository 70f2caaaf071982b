"""Chapter 6.5: the transfer risk and the tail of angles (Ji & Zhu, 2020), where it speaks and where not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.experiments.transfer_risk.worlds import (
    KERNEL,
    SPREAD,
    LazyNets,
    circle,
    few_anchors,
    image_oracle,
)
from kdtheory.ntk import Kernel
from kdtheory.ntk.linear import LinearKernel
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    KernelFunction,
    acute_angles,
    angle_between,
    angle_tail,
    dkw_width,
    isotropic_angle_tail,
    ji20_transfer_risk,
    linear_function,
    nested_students,
    transfer_curve,
    transfer_risk,
)

EVERY = "The bound is taken on the points on which the risk is."
PERFECT = "The teacher is perfect, so that Δŵ is the projection of Δw_* and sin ᾱ_n = ρ_n/‖Δw_*‖."
Tail = Callable[[float], float]


def _half_the_angle(
    tail: Tail, angle: float, /, *, _true: Callable[..., float] = ji20_transfer_risk
) -> float:
    return _true(tail, angle / 2)


def _most_of_the_angle(
    tail: Tail, angle: float, /, *, _true: Callable[..., float] = ji20_transfer_risk
) -> float:
    return _true(tail, 0.9 * angle)


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
    uses=(transfer_curve, nested_students, ji20_transfer_risk, acute_angles, transfer_risk),
    mutants=(
        Mutant("nine tenths of the angle", ji20_transfer_risk, _most_of_the_angle),
        Mutant("half of the angle", ji20_transfer_risk, _half_the_angle),
        Mutant("the chance of angles below", ji20_transfer_risk, _chance_below),
        Mutant("the cosine for the angle", acute_angles, _cosine_for_the_angle),
    ),
    power=Scaled(ji20_transfer_risk),
)
def transfer_risk_is_below_the_tail_of_angles(setting: Setting, /, *, taught: str = "oracle") -> Evidence:
    """The signs of student and oracle differ on at most the share p(π/2 − ᾱ_n) of the points, for every draw;
    in two dimensions that says something, and where all points lie on the far side of the boundary it is
    attained.

    The kernel of infinitely wide nets on the circle, n = 10 to 80; linear students in three dimensions, n = 1
    and 2; nets trained by torch on the circle, with the angle between what was learned and the teacher's
    weights. Attained: linear students of one point, and fresh points in its plane, on the side that it leans
    away from.
    """
    trials = setting.size(quick=40, full=400)
    worlds = {"infinitely wide": _on_the_circle, "linear": _in_space, "far side": _on_the_far_side}
    pairs = {
        name: torch.cat([world(setting.stream.child(name, t), taught) for t in range(trials)])
        for name, world in worlds.items()
    } | {"nets": _trained(setting.stream, trials, taught)}
    parts: dict[str, Evidence] = {
        name: Inequality.of(*found.unbind(1), slack=1e-12, trivial=0.5) for name, found in pairs.items()
    }
    return Joint(parts=parts | {"attained": Identity.of(*pairs["far side"].unbind(1), tolerance=1e-9)})


def _pairs(
    kernel: Kernel,
    inputs: Tensor,
    fresh: Tensor,
    oracles: tuple[KernelFunction, KernelFunction],
    sizes: tuple[int, ...],
) -> Tensor:
    """R_n of the students of the second oracle and the bound of the first: sizes × 2."""
    oracle, teacher = oracles
    bounds = transfer_curve(kernel, inputs, oracle, fresh, sizes=sizes).ji_zhu
    students = nested_students(
        kernel(inputs), teacher(inputs), kernel(inputs, fresh), kernel.diagonal(fresh), sizes=sizes
    )
    values = students.outputs[..., 0]
    return torch.stack([transfer_risk(values, oracle(fresh).expand_as(values)), bounds], 1)


def _on_the_circle(stream: Stream, taught: str) -> Tensor:
    oracles = {"oracle": few_anchors(stream), "other": few_anchors(stream.child("other"))}
    inputs, fresh = circle(80, stream.child("inputs")), circle(300, stream.child("fresh"))
    return _pairs(KERNEL, inputs, fresh, (oracles["oracle"], oracles[taught]), (10, 20, 40, 80))


def _linear_oracles(taught: str, stream: Stream, first: Tensor) -> tuple[KernelFunction, KernelFunction]:
    other = torch.randn(len(first), dtype=torch.float64, generator=stream.child("other").torch())
    return linear_function(first), linear_function({"oracle": first, "other": other}[taught])


def _in_space(stream: Stream, taught: str) -> Tensor:
    drawn = torch.randn(302, 3, dtype=torch.float64, generator=stream.torch())
    drawn[:, 0] *= 4  # most points lie along the oracle
    oracles = _linear_oracles(taught, stream, torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64))
    return _pairs(LinearKernel(), drawn[:2], drawn[2:], oracles, (1, 2))


def _on_the_far_side(stream: Stream, taught: str) -> Tensor:
    """One point at an angle to e_1, and fresh ones at all angles, on the other side of it."""
    angles = torch.rand(301, dtype=torch.float64, generator=stream.torch()) * math.pi / 2
    angles[0] /= 2
    angles[1:] *= -1
    points = torch.stack([angles.cos(), angles.sin()], 1)
    oracles = _linear_oracles(taught, stream, torch.tensor([1.0, 0.0], dtype=torch.float64))
    return _pairs(LinearKernel(), points[:1], points[1:], oracles, (1,))


def _trained(stream: Stream, members: int, taught: str) -> Tensor:
    """Nets near their start, taught by smooth teachers; their features and weights are explicit."""
    nets, inputs = LazyNets(2, 64, stream.child("nets")), circle(12, stream.child("inputs"))
    anchors, fresh = circle(4, stream.child("anchors")), circle(300, stream.child("fresh"))
    mixing = torch.randn(members, 4, dtype=torch.float64, generator=stream.child("mixing").torch())
    teachers = SPREAD * mixing @ nets.features(anchors)
    features, seen = nets.features(fresh), nets.features(inputs)
    rate = len(inputs) / float(torch.linalg.eigvalsh(seen @ seen.mT)[-1])
    learned = nets.trained(inputs, teachers, steps=200, rate=rate).params - nets.start
    # In the control the oracle is the teacher of the net before.
    judged = {"oracle": teachers, "other": teachers.roll(1, 0)}[taught]
    pairs = []
    for change, teacher, weights in zip(learned, teachers, judged, strict=True):
        tail = angle_tail(acute_angles(linear_function(weights), features))
        risk = transfer_risk(nets.change(change[None], fresh)[0], nets.change(weights[None], fresh)[0])
        angle = float(angle_between(linear_function(change), linear_function(teacher)))
        pairs.append([float(risk), ji20_transfer_risk(tail, angle)])
    return torch.tensor(pairs, dtype=torch.float64)


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
    power=Scaled(dkw_width, towards="less"),
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
    loose="a bound that says nothing: it still says nothing a quarter lower",
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
