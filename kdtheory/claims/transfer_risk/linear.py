"""Chapter 6.10: linear students of a linear teacher (Phuong & Lampert, 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.transfer_risk.finite_laws import FiniteLaw, leaning_law, power_tail, scattered_law
from kdtheory.claims.transfer_risk.worlds import contrast, two_columns
from kdtheory.claims.verdict import Verdict
from kdtheory.losses import distillation
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    isotropic_angle_tail,
    phuong19_student,
    phuong19_transfer_risk,
    transfer_risk,
)

DIM = 60
Tail = Callable[[float], float]


def _oracle_itself(points: Tensor, oracle: Tensor, /) -> Tensor:
    return oracle


def _not_inverted(points: Tensor, oracle: Tensor, /) -> Tensor:
    return points.mT @ (points @ oracle) / len(points)


def _last_point_forgotten(
    points: Tensor, oracle: Tensor, /, *, _true: Callable[..., Tensor] = phuong19_student
) -> Tensor:
    return _true(points[1:], oracle)


def _best(first: Tail, second: Tail) -> tuple[float, float]:
    """The least first(β) + second(π/2 − β) over β."""
    grid = np.linspace(0, math.pi / 2, 501).tolist()
    return min((first(beta) + second(math.pi / 2 - beta), beta) for beta in grid)


def _without_fresh_point(tail: Tail, /, *, n: int, **_: object) -> tuple[float, float]:
    return _best(lambda beta: 0.0, lambda beta: tail(beta) ** n)


def _without_points_seen(tail: Tail, /, *, n: int, **_: object) -> tuple[float, float]:
    return _best(tail, lambda beta: 0.0)


def _product(tail: Tail, /, *, n: int, **_: object) -> tuple[float, float]:
    return tail(math.pi / 4) * tail(math.pi / 4) ** n, math.pi / 4


def _points_not_independent(tail: Tail, /, *, n: int, **_: object) -> tuple[float, float]:
    return _best(tail, tail)


def _separated_tail(beta: ArrayLike, /, *, dim: int) -> np.ndarray:
    return np.asarray((1 - 2 * np.asarray(beta) / math.pi) ** 4)


def _complement(
    beta: ArrayLike, /, *, dim: int, _true: Callable[..., np.ndarray] = isotropic_angle_tail
) -> np.ndarray:
    return np.asarray(1 - _true(beta, dim=dim))


def _sum_of_the_points(
    points: Tensor, oracle: Tensor, /, *, _true: Callable[..., Tensor] = phuong19_student
) -> Tensor:
    return points.sum(0)


def with_angles(size: int, exponent: float, stream: Stream, /) -> Tensor:
    """Unit vectors in R^60 with P[ᾱ(x, e_1) ≥ θ] = (1 − 2θ/π)^κ, uniform around e_1 otherwise."""
    generator = stream.torch()
    rest = torch.randn(size, DIM - 1, dtype=torch.float64, generator=generator)
    uniform = torch.rand(size, 2, dtype=torch.float64, generator=generator)
    theta = (1 - uniform[:, 0] ** (1 / exponent)) * math.pi / 2
    first = theta.cos() * torch.where(uniform[:, 1] < 0.5, -1.0, 1.0)
    around = theta.sin()[:, None] * rest / rest.norm(dim=-1, keepdim=True)
    return torch.cat([first[:, None], around], 1)


def isotropic(size: int, stream: Stream, /) -> Tensor:
    """Isotropic Gaussians in R^60."""
    return torch.randn(size, DIM, dtype=torch.float64, generator=stream.torch())


def _risks(stream: Stream, n: int, trials: int) -> Tensor:
    """R_n on isotropic points of students of w_* = e_1, one for each sample."""
    oracle, risks = torch.eye(DIM, dtype=torch.float64)[0], []
    for trial in range(trials):
        student = phuong19_student(isotropic(n, stream.child(trial, "seen")), oracle)
        fresh = isotropic(400, stream.child(trial, "fresh"))
        risks.append(transfer_risk(fresh @ student, fresh[:, 0]))
    return torch.stack(risks)


@claim(
    section="6.10",
    formula=r"\hat w = w_*\ (n \ge d),\qquad \hat w = X(X^\top X)^{-1}X^\top w_*\ (n < d)",
    source="phuong2019towards",
    place="Theorem 1",
    assumes=("Gradient descent from zero on the cross-entropy with the teacher's soft labels.",),
    control=Control("hard labels", labels="hard"),
    uses=(phuong19_student, distillation),
    mutants=(
        Mutant("w_* itself for every n", phuong19_student, _oracle_itself),
        Mutant("XᵀX is not inverted", phuong19_student, _not_inverted),
        Mutant("a point is forgotten", phuong19_student, _last_point_forgotten),
    ),
)
def linear_student_ends_at_the_projection_of_its_teacher(
    setting: Setting, /, *, labels: str = "soft"
) -> Evidence:
    """Gradient descent from zero on a linear teacher's soft labels ends at the teacher, if the points span
    the space, and at its projection on them otherwise.

    Twelve students by torch for each of n = 3, 6, 16 points in eight dimensions; within 1 per cent of w_*.
    """
    members, parts = setting.size(quick=12, full=60), {}
    for n in (3, 6, 16):
        generator = setting.stream.child(n).torch()
        points = torch.randn(members, n, 8, dtype=torch.float64, generator=generator)
        oracle = 0.5 * torch.randn(members, 8, dtype=torch.float64, generator=generator)
        logits = torch.einsum("mnd,md->mn", points, oracle)
        architecture = MLP((8, 2), bias=False)
        students = train(
            architecture,
            points,
            (logits > 0).long(),
            teacher_probs=two_columns(logits),
            loss=distillation,
            settings={"weight": 1.0 if labels == "soft" else 0.0},
            members=members,
            stream=setting.stream,
            recipe=Recipe(steps=800, learning_rate=0.3, optimizer="sgd", momentum=0.9, dtype=torch.float64),
            initial=torch.zeros(members, architecture.size, dtype=torch.float64),
            device="cpu",
        )
        found = contrast(students.params.unflatten(-1, (2, 8)).mT)
        expected = torch.stack([phuong19_student(x, w) for x, w in zip(points, oracle, strict=True)])
        parts[f"n = {n}"] = Identity.of(found, expected, tolerance=0.01)
    return Joint(parts=parts)


@claim(
    section="6.10",
    formula=r"\mathbb E\,R_n \le p(\beta) + p(\tfrac{\pi}{2} - \beta)^n \text{ for every } \beta",
    source="phuong2019towards",
    place="Theorem 3",
    assumes=("Training and fresh points follow the law whose tail of angles is p.",),
    control=Control("the students learn from another teacher", teacher=1),
    uses=(phuong19_transfer_risk, phuong19_student, transfer_risk),
    mutants=(
        Mutant("the fresh point is forgotten", phuong19_transfer_risk, _without_fresh_point),
        Mutant("the points seen are forgotten", phuong19_transfer_risk, _without_points_seen),
        Mutant("a product for the sum", phuong19_transfer_risk, _product),
        Mutant("p(π/2 − β) for its n-th power", phuong19_transfer_risk, _points_not_independent),
        Mutant("the sum of the points for the projection", phuong19_student, _sum_of_the_points),
    ),
    power=Scaled(phuong19_transfer_risk, entry=0),
)
def linear_risk_is_bounded_by_the_tail_of_angles(setting: Setting, /, *, teacher: int = 0) -> Evidence:
    """The expected transfer risk of linear students is at most p(β) + p(π/2 − β)ⁿ, for the best β; and no
    smaller multiple of that is a bound for every law.

    Expected risks are exact, over laws of few directions: in the plane with a rare direction (probability
    0.005, 0.02 and 0.1) near the boundary and all others leaning the other way, n = 1 to 5, where the risk is
    at least the bound times the n-th power of the common direction's probability; and over random laws of
    five directions in three to six dimensions.
    """
    sizes = (1, 2, 3, 5)
    leaning = {rare: leaning_law(rare=rare, margin=0.1, lean=0.2) for rare in (0.005, 0.02, 0.1)}
    reached = torch.tensor([[(1 - rare) ** n for n in sizes] for rare in leaning], dtype=torch.float64)
    trials = setting.size(quick=30, full=300)
    scattered = [scattered_law(setting.stream.child(t), dim=3 + t % 4) for t in range(trials)]
    (risks, bounds), random = (
        _risks_and_bounds(laws, sizes, teacher) for laws in (list(leaning.values()), scattered)
    )
    return Joint(
        parts={
            "leaning laws": Inequality.of(risks, bounds, slack=1e-12, trivial=0.5),
            "no smaller bound": Inequality.of(reached * bounds, risks, slack=1e-12),
            "random laws": Inequality.of(*random, slack=1e-12, trivial=0.5),
        }
    )


def _risks_and_bounds(laws: list[FiniteLaw], sizes: tuple[int, ...], teacher: int) -> tuple[Tensor, Tensor]:
    risks = torch.stack([law.expected_risk(sizes, teacher=teacher) for law in laws])
    bounds = [[phuong19_transfer_risk(law.tail, n=n, betas=law.betas)[0] for n in sizes] for law in laws]
    return risks, torch.tensor(bounds, dtype=torch.float64)


@claim(
    section="6.10",
    formula=r"x \sim N(0, I_d):\ \mathbb E\,R_n \le \min_\beta\, p(\beta) + p(\tfrac{\pi}{2} - \beta)^n"
    r" \approx 1",
    source="phuong2019towards",
    place="Theorem 3",
    assumes=("Isotropic Gaussian points, d = 60.",),
    control=Control("p is the tail of other, well separated points", tail="separated"),
    uses=(isotropic_angle_tail, phuong19_transfer_risk),
    mutants=(
        Mutant("the tail of separated points", isotropic_angle_tail, _separated_tail),
        Mutant("the chance of angles below", isotropic_angle_tail, _complement),
    ),
    expect=Verdict.VACUOUS,
    power=Scaled(phuong19_transfer_risk, entry=0, towards="less"),
    loose="a bound that says nothing: it still says nothing a quarter lower",
)
def bound_of_linear_students_says_nothing_about_isotropic_points(
    setting: Setting, /, *, tail: str = "own"
) -> Evidence:
    """On isotropic Gaussians in 60 dimensions the bound by the tail of angles holds and is above one half,
    what a coin gives, although the students do better.

    n = 5, 20, 40; students of 60 samples each.
    """
    trials, risks, bounds = setting.size(quick=60, full=600), [], []
    for n in (5, 20, 40):
        own = (
            (lambda t: float(isotropic_angle_tail(t, dim=DIM))) if tail == "own" else partial(power_tail, 4.0)
        )
        risks.append(_risks(setting.stream.child(n), n, trials).mean())
        bounds.append(phuong19_transfer_risk(own, n=n)[0])
    return Inequality.of(
        torch.stack(risks), bounds, trivial=0.5, notes={"bounds": bounds, "risks": torch.stack(risks)}
    )


@claim(
    section="6.10",
    formula=r"\operatorname{span} X_- \subset \operatorname{span} X_+ \Rightarrow"
    r" \angle(w_*, \hat w_+) \le \angle(w_*, \hat w_-)",
    source="phuong2019towards",
    assumes=("The larger sample spans what the smaller one does.",),
    control=Control("the larger sample is a fresh one", nested=False),
    uses=(phuong19_student,),
    mutants=(
        Mutant("the sum of the points for the projection", phuong19_student, _sum_of_the_points),
        Mutant("XᵀX is not inverted", phuong19_student, _not_inverted),
    ),
    loose="an order of two angles, which a factor on the student leaves",
)
def more_points_never_turn_the_student_away(setting: Setting, /, *, nested: bool = True) -> Evidence:
    """A linear student of more points is never at a larger angle to its teacher, for every sample.

    Samples of 1 to 20 points in R^60, isotropic and separated, and one more point each.
    """
    oracle = torch.eye(DIM, dtype=torch.float64)[0]
    more: list[Tensor] = []
    fewer: list[Tensor] = []
    trials = setting.size(quick=200, full=2000)
    for trial in range(trials):
        stream, n = setting.stream.child(trial), 1 + trial % 20
        draw = isotropic if trial % 2 else lambda size, own: with_angles(size, 2.0, own)
        larger = draw(n + 1, stream.child("larger"))
        smaller = larger[:n] if nested else draw(n, stream.child("smaller"))
        for points, angles in ((larger, more), (smaller, fewer)):
            student = phuong19_student(points, oracle)
            angles.append(torch.atan2(student[1:].norm(), student[0]))
    return Inequality.of(torch.stack(more), torch.stack(fewer), slack=1e-9)
