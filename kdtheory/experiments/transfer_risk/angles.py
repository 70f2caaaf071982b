"""Transfer risks beside their bounds by angles and by the power function: kernels, linear students, nets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.worlds import (
    KERNEL,
    SPREAD,
    LazyNets,
    circle,
    few_anchors,
    image_oracle,
)
from kdtheory.ntk import Kernel
from kdtheory.search import worst_case
from kdtheory.transfer_risk import (
    KernelFunction,
    acute_angles,
    angle_between,
    angle_tail,
    dkw_width,
    flipped_teacher,
    isotropic_angle_tail,
    ji20_transfer_risk,
    linear_function,
    nested_students,
    transfer_curve,
    transfer_risk,
)

CIRCLE_SIZES, IMAGE_SIZES = (10, 20, 40, 80), (30, 100, 300, 600)


@experiment
def bounds_on_the_circle(run: Run, /, *, strayed: float = 0.0) -> Rows:
    """40 draws of an oracle and of 80 points on the circle, the kernel of infinitely wide nets: the risk of
    the students of 10 to 80 points on 300 fresh ones, and its bounds.

    A teacher that has strayed is that much of another oracle; the bounds take it for the oracle.
    """
    return _joined(_circle_rows(run, trial, strayed) for trial in range(run.size(quick=40, full=400)))


def _circle_rows(run: Run, trial: int, strayed: float) -> Rows:
    stream = run.stream.child(trial)
    oracle, other = few_anchors(stream), few_anchors(stream.child("other"))
    inputs, fresh = circle(CIRCLE_SIZES[-1], stream.child("inputs")), circle(300, stream.child("fresh"))
    return _bounds(oracle, torch.lerp(oracle(inputs), other(inputs), strayed), inputs, fresh, CIRCLE_SIZES)


@experiment
def bounds_on_images(run: Run, /, *, strayed: float = 0.0, angles: float = 1.0) -> Rows:
    """The kernel of infinitely wide nets of two hidden layers; the oracle is the smoothest function through
    the labels of 900 real images (lower or upper half of the classes): the risk of the students of 30 to 600
    of them on 500 fresh ones, and its bounds, that by angles at `angles` times the student's angle.
    """
    oracle, fresh = image_oracle(run, pool=900, fresh=500)
    own = oracle(oracle.anchors)
    other = own.roll(1)  # each image has the value of another
    sizes = IMAGE_SIZES
    rows = _bounds(oracle, torch.lerp(own, other, strayed), oracle.anchors, fresh, sizes)
    tail = angle_tail(acute_angles(oracle, fresh))
    by_angles = [ji20_transfer_risk(tail, angles * float(angle)) for angle in rows.angle]
    return Rows(**{**rows, "n": sizes, "by_angles": torch.tensor(by_angles, dtype=torch.float64)})


@experiment
def bounds_of_linear_students(run: Run, /, *, strayed: float = 0.0) -> Rows:
    """40 draws of linear students of one and two points in three dimensions, where most points lie along the
    oracle, on 300 fresh ones.
    """
    return _joined(_linear_rows(run, trial, strayed) for trial in range(run.size(quick=40, full=400)))


def _linear_rows(run: Run, trial: int, strayed: float) -> Rows:
    stream = run.stream.child(trial)
    points = torch.randn(302, 3, dtype=torch.float64, generator=stream.torch())
    points[:, 0] *= 4
    weights = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)
    return _linear_bounds(weights, strayed, points[:2], points[2:], stream.child("other").torch())


@experiment
def bounds_on_the_far_side(run: Run, /, *, strayed: float = 0.0) -> Rows:
    """40 draws of linear students of one point in the plane, and 300 fresh ones at all angles on the side
    that the student leans away from.
    """
    return _joined(_far_side_rows(run, trial, strayed) for trial in range(run.size(quick=40, full=400)))


def _far_side_rows(run: Run, trial: int, strayed: float) -> Rows:
    stream = run.stream.child(trial)
    angles = torch.rand(301, dtype=torch.float64, generator=stream.torch()) * math.pi / 2
    angles[0] /= 2
    angles[1:] *= -1
    points = torch.stack([angles.cos(), angles.sin()], 1)
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return _linear_bounds(weights, strayed, points[:1], points[1:], stream.child("other").torch())


def _linear_bounds(
    weights: Tensor, strayed: float, inputs: Tensor, fresh: Tensor, generator: torch.Generator
) -> Rows:
    other = torch.randn(len(weights), dtype=torch.float64, generator=generator)
    targets = inputs @ torch.lerp(weights, other, strayed)
    return _bounds(linear_function(weights), targets, inputs, fresh, tuple(range(1, len(inputs) + 1)))


def _bounds(
    oracle: KernelFunction, targets: Tensor, inputs: Tensor, fresh: Tensor, sizes: tuple[int, ...]
) -> Rows:
    """R_n of the students of the targets, and the bounds on that of the oracle's own, for each size."""
    kernel: Kernel = oracle.kernel
    curve = transfer_curve(kernel, inputs, oracle, fresh, sizes=sizes)
    students = nested_students(
        kernel(inputs), targets, kernel(inputs, fresh), kernel.diagonal(fresh), sizes=sizes
    )
    values = students.outputs[..., 0]
    return Rows(
        risk=transfer_risk(values, oracle(fresh).expand_as(values)),
        by_angles=curve.ji_zhu,
        refined=curve.refined,
        label_free=curve.label_free,
        angle=curve.angle,
    )


def _joined(draws: Iterable[Rows]) -> Rows:
    """The columns of all draws, one below the other."""
    every = list(draws)
    return Rows(**{name: torch.stack([rows[name] for rows in every]) for name in every[0]})


@experiment
def bounds_of_trained_nets(run: Run, /, *, strayed: float = 0.0) -> Rows:
    """40 nets trained by torch on 12 points of the circle, near their common start and taught by smooth
    teachers: their risk on 300 fresh points and its bound by the angle between what each has learned and its
    teacher's weights. A teacher that has strayed is judged as if it was that much of another net's teacher.
    """
    members = run.size(quick=40, full=400)
    nets, inputs = LazyNets(2, 64, run.stream.child("nets")), circle(12, run.stream.child("inputs"))
    anchors, fresh = circle(4, run.stream.child("anchors")), circle(300, run.stream.child("fresh"))
    mixing = torch.randn(members, 4, dtype=torch.float64, generator=run.stream.child("mixing").torch())
    teachers = SPREAD * mixing @ nets.features(anchors)
    features, seen = nets.features(fresh), nets.features(inputs)
    rate = len(inputs) / float(torch.linalg.eigvalsh(seen @ seen.mT)[-1])
    learned = nets.trained(inputs, teachers, steps=200, rate=rate).params - nets.start
    judged = torch.lerp(teachers, teachers.roll(1, 0), strayed)
    bounds = []
    for change, teacher, weights in zip(learned, teachers, judged, strict=True):
        tail = angle_tail(acute_angles(linear_function(weights), features))
        angle = float(angle_between(linear_function(change), linear_function(teacher)))
        bounds.append(ji20_transfer_risk(tail, angle))
    return Rows(
        risk=transfer_risk(nets.change(learned, fresh), nets.change(judged, fresh)),
        by_angles=torch.tensor(bounds, dtype=torch.float64),
    )


@experiment
def estimated_tails_of_angles(run: Run, /, *, counted: int = 1) -> Rows:
    """20,000 draws of 8 isotropic points in five dimensions, whose tail of angles is known: by how much it
    exceeds its estimate at most (the supremum is exact), and the width of the band at δ = 0.1, each point
    counted `counted` times.
    """
    draws, m, delta = run.size(quick=20_000, full=200_000), 8, 0.1
    points = torch.randn(draws, m, 5, dtype=torch.float64, generator=run.stream.torch())
    cosines = (points[..., 0].abs() / points.norm(dim=-1)).numpy()
    angles = np.sort(np.arccos(cosines), axis=-1)
    # Just above the i-th angle m − i of m points are left, and p has not fallen yet.
    excess = isotropic_angle_tail(angles, dim=5) - np.arange(m - 1, -1, -1) / m
    width = dkw_width(counted * m, delta=delta)
    return Rows(excess=excess.max(-1), width=np.full(draws, width), delta=delta)


@experiment
def furthest_misses_of_students(run: Run, /, *, flipped: float = 0.0) -> Rows:
    """The largest |z_s(x) − z_*(x)|/P_n(x)ρ_n that a search over oracles on the circle finds from 8 starts:
    sums of features of 10 fresh points, taught on 5, 10 and 20 others, with the sign turned on a share of
    them.
    """
    attempts = run.size(quick=8, full=64)
    inputs, fresh = (circle(size, run.stream.child(size)) for size in (20, 10))
    gram, cross, own = KERNEL(inputs), KERNEL(inputs, fresh), KERNEL(fresh)
    signs = flipped_teacher(torch.ones(len(inputs)), share=flipped, stream=run.stream.child("teacher"))

    def ratio(coefficients: Tensor) -> Tensor:
        targets = signs.to(cross)[:, None] * (cross @ coefficients.mT)
        students = nested_students(gram, targets, cross, own.diagonal(), sizes=(5, 10, 20))
        truth = own @ coefficients.mT
        squared = (coefficients @ own * coefficients).sum(-1)
        unseen = (squared - students.squared_norms).clamp_min(1e-12 * squared).sqrt()
        miss = (students.outputs - truth).abs() / (students.power[..., None] * unseen[:, None])
        worst: Tensor = miss.flatten(0, 1).amax(0)
        return worst

    starts = torch.randn(
        attempts, len(fresh), dtype=torch.float64, generator=run.stream.child("starts").torch()
    )
    return Rows(ratio=worst_case(ratio, starts, polished=1).ratio, attempts=attempts)
