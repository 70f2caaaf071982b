"""Linear students of a linear teacher: where training takes them, their risk and its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.finite_laws import FiniteLaw, leaning_law, power_tail, scattered_law
from kdtheory.experiments.transfer_risk.worlds import contrast, two_columns
from kdtheory.losses import distillation
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    isotropic_angle_tail,
    phuong19_margin_rate,
    phuong19_student,
    phuong19_transfer_risk,
    transfer_risk,
)

DIM = 60
FEW, RATE_SIZES, EXPONENTS = (3, 6, 16), (2, 5, 10, 40, 200, 1000), (1.0, 2.0, 3.0)


@experiment
def linear_students_in_training(run: Run, /, *, soft: float = 1.0) -> Rows:
    """Linear students in eight dimensions, trained by torch from zero with the weight `soft` on the teacher's
    soft labels and the rest on their signs: twelve for each of n = 3, 6 and 16 points, of which every student
    sees 48 in copies, so that all are one population. The singular values of the points lie between 1 and 3:
    along a direction that the points hardly have, training would take as long as one likes.
    """
    members, dim = run.size(quick=12, full=60), 8
    drawn = [_spread_evenly(members, n, dim, run.stream.child(n)) for n in FEW]
    points = torch.cat([own.repeat(1, 48 // n, 1) for own, n in zip(drawn, FEW, strict=True)])
    oracles = 0.5 * torch.randn(
        len(points), dim, dtype=torch.float64, generator=run.stream.child("oracles").torch()
    )
    logits = torch.einsum("mnd,md->mn", points, oracles)
    architecture = MLP((dim, 2), bias=False)
    students = train(
        architecture,
        points,
        (logits > 0).long(),
        teacher_probs=two_columns(logits),
        loss=distillation,
        settings={"weight": soft},
        members=len(points),
        stream=run.stream,
        recipe=Recipe(steps=800, learning_rate=0.3, optimizer="sgd", momentum=0.9, dtype=torch.float64),
        initial=torch.zeros(len(points), architecture.size, dtype=torch.float64),
        device="cpu",
    )
    weights = contrast(students.params.unflatten(-1, (2, dim)).mT)
    return Rows(points=points, oracles=oracles, weights=weights.unflatten(0, (len(FEW), members)))


def _spread_evenly(members: int, n: int, dim: int, stream: Stream) -> Tensor:
    """Matrices members × n × dim of uniform singular vectors, with singular values uniform in [1, 3]."""
    generator = stream.torch()
    left, _, right = torch.linalg.svd(
        torch.randn(members, n, dim, dtype=torch.float64, generator=generator), full_matrices=False
    )
    sizes = 1 + 2 * torch.rand(members, 1, min(n, dim), dtype=torch.float64, generator=generator)
    points: Tensor = (left * sizes) @ right
    return points


@experiment
def ends_of_linear_students(run: Run, /) -> Rows:
    """Where these students end, by the theorem."""
    rows = linear_students_in_training.rows(run)
    ends = [phuong19_student(x, w) for x, w in zip(rows.points, rows.oracles, strict=True)]
    return Rows(weights=torch.stack(ends).view_as(rows.weights))


@experiment
def risks_under_finite_laws(run: Run, /, *, teacher: int = 0) -> Rows:
    """Expected risks of students of 1, 2, 3 and 5 points against e_1 (exact sums) where `e_teacher` teaches,
    and their bounds: under laws of the plane with a rare direction (probability 0.005, 0.02 and 0.1) near the
    boundary and all others leaning the other way, and under 30 random laws of five directions in three to six
    dimensions; and the n-th power of the common direction's probability.
    """
    sizes, rares = (1, 2, 3, 5), (0.005, 0.02, 0.1)
    leaning = [leaning_law(rare=rare, margin=0.1, lean=0.2) for rare in rares]
    trials = run.size(quick=30, full=300)
    scattered = [scattered_law(run.stream.child(t), dim=3 + t % 4) for t in range(trials)]
    risk, bound = _risks_and_bounds(leaning, sizes, teacher)
    random_risk, random_bound = _risks_and_bounds(scattered, sizes, teacher)
    reached = torch.tensor([[(1 - rare) ** n for n in sizes] for rare in rares], dtype=torch.float64)
    return Rows(risk=risk, bound=bound, reached=reached, random_risk=random_risk, random_bound=random_bound)


def _risks_and_bounds(laws: list[FiniteLaw], sizes: tuple[int, ...], teacher: int) -> tuple[Tensor, Tensor]:
    risks = torch.stack([law.expected_risk(sizes, teacher=teacher) for law in laws])
    bounds = [[phuong19_transfer_risk(law.tail, n=n, betas=law.betas)[0] for n in sizes] for law in laws]
    return risks, torch.tensor(bounds, dtype=torch.float64)


def tail_of_isotropic_points(angle: float, /) -> float:
    """p(β) of isotropic points in R^60."""
    return float(isotropic_angle_tail(angle, dim=DIM))


def tail_of_separated_points(angle: float, /) -> float:
    """(1 − 2β/π)⁴."""
    return power_tail(4.0, angle)


@experiment
def students_of_isotropic_points(
    run: Run, /, *, tail: Callable[[float], float] = tail_of_isotropic_points
) -> Rows:
    """Students of 5, 20 and 40 isotropic Gaussian points in 60 dimensions: the mean risk of 60 of them on 400
    fresh points each, and the bound with a tail of angles.
    """
    sizes, trials = (5, 20, 40), run.size(quick=60, full=600)
    risks = [_isotropic_risk(run.stream.child(n), n, trials) for n in sizes]
    bounds = [phuong19_transfer_risk(tail, n=n)[0] for n in sizes]
    return Rows(n=sizes, risk=torch.stack(risks), bound=torch.tensor(bounds, dtype=torch.float64))


def _isotropic_risk(stream: Stream, n: int, trials: int) -> Tensor:
    oracle, risks = torch.eye(DIM, dtype=torch.float64)[0], []
    for trial in range(trials):
        student = phuong19_student(_isotropic(n, stream.child(trial, "seen")), oracle)
        fresh = _isotropic(400, stream.child(trial, "fresh"))
        risks.append(transfer_risk(fresh @ student, fresh[:, 0]))
    return torch.stack(risks).mean()


@experiment
def students_of_one_more_point(run: Run, /, *, sample: int = 0) -> Rows:
    """200 samples of 2 to 21 points in R^60, isotropic and separated in turn: the angle to the teacher of the
    student of all of them, and of all but the last of sample 0 or of another one.
    """
    oracle, more, fewer = torch.eye(DIM, dtype=torch.float64)[0], [], []
    for trial in range(run.size(quick=200, full=2000)):
        draw, n = (_separated, _isotropic)[trial % 2], 1 + trial % 20
        larger, other = (draw(n + 1, run.stream.child(trial, place)) for place in (0, sample))
        more.append(_angle(phuong19_student(larger, oracle)))
        fewer.append(_angle(phuong19_student(other[:n], oracle)))
    return Rows(more=torch.stack(more), fewer=torch.stack(fewer))


def _angle(student: Tensor) -> Tensor:
    return torch.atan2(student[1:].norm(), student[0])


def _isotropic(size: int, stream: Stream) -> Tensor:
    return torch.randn(size, DIM, dtype=torch.float64, generator=stream.torch())


def _separated(size: int, stream: Stream) -> Tensor:
    """Unit vectors with P[ᾱ(x, e_1) ≥ θ] = (1 − 2θ/π)², uniform around e_1 otherwise."""
    generator = stream.torch()
    rest = torch.randn(size, DIM - 1, dtype=torch.float64, generator=generator)
    uniform = torch.rand(size, 2, dtype=torch.float64, generator=generator)
    theta = (1 - uniform[:, 0].sqrt()) * math.pi / 2
    first = theta.cos() * torch.where(uniform[:, 1] < 0.5, -1.0, 1.0)
    around = theta.sin()[:, None] * rest / rest.norm(dim=-1, keepdim=True)
    return torch.cat([first[:, None], around], 1)


@experiment
def students_of_separated_points(_run: Run, /, *, share: float = 1.0) -> Rows:
    """With the tail p(θ) = (1 − 2θ/π)^{share·κ}, κ = 1, 2, 3: p(β) + p(π/2 − β)ⁿ at its best β for n = 2 to
    1,000; the largest exact risks under laws of the plane whose students err most, n = 2 to 40; and the rate
    for κ.
    """
    rates = [[phuong19_margin_rate(n, exponent=kappa) for n in RATE_SIZES] for kappa in EXPONENTS]
    bounds = [
        [phuong19_transfer_risk(partial(power_tail, share * kappa), n=n)[0] for n in RATE_SIZES]
        for kappa in EXPONENTS
    ]
    return Rows(
        exponent=EXPONENTS,
        rate=torch.tensor(rates, dtype=torch.float64),
        bound=torch.tensor(bounds, dtype=torch.float64),
        risk=torch.stack([_worst_risks(share * kappa, RATE_SIZES[:4]) for kappa in EXPONENTS]),
    )


def _worst_risks(exponent: float, sizes: tuple[int, ...]) -> Tensor:
    """The largest exact risks under leaning laws with p(θ) ≤ (1 − 2θ/π)^κ, for each n."""
    found = []
    for rare in np.geomspace(1e-3, 0.2, 12).tolist():
        near = rare ** (1 / exponent)  # the tail at the rare points' angle is their probability
        likely = power_tail(exponent, near * math.pi / 2) - rare
        if likely > 0:
            margin = near * math.pi / 2
            law = leaning_law(rare=rare, margin=0.999 * margin, lean=margin, certain=1 - rare - likely)
            found.append(law.expected_risk(sizes))
    return torch.stack(found).amax(0)
