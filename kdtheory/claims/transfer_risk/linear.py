"""Chapter 6.10: linear students of a linear teacher (Phuong & Lampert, 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.linear import (
    FEW,
    ends_of_linear_students,
    linear_students_in_training,
    risks_under_finite_laws,
    students_of_isotropic_points,
    students_of_one_more_point,
    students_of_separated_points,
    tail_of_separated_points,
)
from kdtheory.transfer_risk import (
    isotropic_angle_tail,
    phuong19_margin_rate,
    phuong19_student,
    phuong19_transfer_risk,
)

SOURCE = "phuong2019towards"
Tail = Callable[[float], float]


def _not_inverted(points: Tensor, oracle: Tensor, /) -> Tensor:
    return points.mT @ (points @ oracle) / len(points)


def _sum_of_the_points(points: Tensor, _oracle: Tensor, /) -> Tensor:
    return points.sum(0)


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


def _separated_tail(beta: ArrayLike, /, *, dim: int) -> np.ndarray:
    return np.asarray((1 - 2 * np.asarray(beta) / math.pi) ** 4)


@claim(
    section="6.10",
    formula=r"\hat w = w_*\ (n \ge d),\qquad \hat w = X(X^\top X)^{-1}X^\top w_*\ (n < d)",
    source=SOURCE,
    place="Theorem 1",
    assumes=("Gradient descent from zero on the cross-entropy with the teacher's soft labels.",),
    experiment=(linear_students_in_training, ends_of_linear_students),
    control=Control("hard labels", soft=0.0),
    mutants=(
        Mutant("w_* itself for every n", phuong19_student, lambda _points, oracle, /: oracle),
        Mutant("XᵀX is not inverted", phuong19_student, _not_inverted),
        Mutant("a point is forgotten", phuong19_student, arguments(lambda x, w: (x[x[:, 0] != x[0, 0]], w))),
    ),
    cost=2,
)
def linear_student_ends_at_the_projection_of_its_teacher(students: Rows, ends: Rows, /) -> Evidence:
    """Gradient descent from zero on a linear teacher's soft labels ends at the teacher, if the points span
    the space, and at its projection on them otherwise.

    Within 1 per cent of the weights.
    """
    both = zip(FEW, students.weights, ends.weights, strict=True)
    return Joint(parts={f"n = {n}": Identity.of(found, told, tolerance=0.01) for n, found, told in both})


@claim(
    section="6.10",
    formula=r"\mathbb E\,R_n \le p(\beta) + p(\tfrac{\pi}{2} - \beta)^n \text{ for every } \beta",
    source=SOURCE,
    place="Theorem 3",
    assumes=("Training and fresh points follow the law whose tail of angles is p.",),
    experiment=risks_under_finite_laws,
    control=Control("the students learn from another teacher", teacher=1),
    mutants=(
        Mutant("the fresh point is forgotten", phuong19_transfer_risk, _without_fresh_point),
        Mutant("the points seen are forgotten", phuong19_transfer_risk, _without_points_seen),
        Mutant("a product for the sum", phuong19_transfer_risk, _product),
        Mutant("p(π/2 − β) for its n-th power", phuong19_transfer_risk, given(n=1)),
        Mutant("the sum of the points for the projection", phuong19_student, _sum_of_the_points),
    ),
    power=Scaled(phuong19_transfer_risk, entry=0),
)
def linear_risk_is_bounded_by_the_tail_of_angles(rows: Rows, /) -> Evidence:
    """The expected transfer risk of linear students is at most p(β) + p(π/2 − β)ⁿ, for the best β; and no
    smaller multiple of that is a bound for every law.

    Under the leaning laws the risk is at least the bound times the n-th power of the common direction's
    probability.
    """
    return Joint(
        parts={
            "leaning laws": Inequality.of(rows.risk, rows.bound, slack=1e-12, trivial=0.5),
            "no smaller bound": Inequality.of(rows.reached * rows.bound, rows.risk, slack=1e-12),
            "random laws": Inequality.of(rows.random_risk, rows.random_bound, slack=1e-12, trivial=0.5),
        }
    )


@claim(
    section="6.10",
    formula=r"x \sim N(0, I_d):\ \mathbb E\,R_n \le \min_\beta\, p(\beta) + p(\tfrac{\pi}{2} - \beta)^n"
    r" \approx 1",
    source=SOURCE,
    place="Theorem 3",
    assumes=("Isotropic Gaussian points, d = 60.",),
    experiment=students_of_isotropic_points,
    control=Control("p is the tail of other, well separated points", tail=tail_of_separated_points),
    mutants=(
        Mutant("the tail of separated points", isotropic_angle_tail, _separated_tail),
        Mutant("the chance of angles below", isotropic_angle_tail, value(lambda chance: 1 - chance)),
    ),
    expect=Verdict.VACUOUS,
    power=Scaled(phuong19_transfer_risk, entry=0, towards="less"),
    loose="a bound that says nothing: it still says nothing a quarter lower",
)
def bound_of_linear_students_says_nothing_about_isotropic_points(rows: Rows, /) -> Evidence:
    """On isotropic Gaussians in 60 dimensions the bound by the tail of angles holds and is above one half,
    what a coin gives, although the students do better.
    """
    notes = {"n": rows.n, "bounds": rows.bound, "risks": rows.risk}
    return Inequality.of(rows.risk, rows.bound, trivial=0.5, notes=notes)


@claim(
    section="6.10",
    formula=r"\operatorname{span} X_- \subset \operatorname{span} X_+ \Rightarrow"
    r" \angle(w_*, \hat w_+) \le \angle(w_*, \hat w_-)",
    source=SOURCE,
    place="the monotonicity of the student",
    assumes=("The larger sample spans what the smaller one does.",),
    experiment=students_of_one_more_point,
    control=Control("the smaller sample is a fresh one", sample=1),
    mutants=(
        Mutant("the sum of the points for the projection", phuong19_student, _sum_of_the_points),
        Mutant("XᵀX is not inverted", phuong19_student, _not_inverted),
    ),
    loose="an order of two angles, which a factor on the student leaves",
)
def more_points_never_turn_the_student_away(rows: Rows, /) -> Evidence:
    """A linear student of more points is never at a larger angle to its teacher, for every sample."""
    return Inequality.of(rows.more, rows.fewer, slack=1e-9)


def _one_term(n: int, /, *, exponent: float) -> float:
    return float(1 / n**exponent)


def _other_term(n: int, /, *, exponent: float) -> float:
    return float(math.log(n) ** exponent / n**exponent)


@claim(
    section="6.10",
    formula=r"p(\theta) \le (1 - 2\theta/\pi)^\kappa \Rightarrow"
    r" \mathbb E\,R_n \le \frac{1 + (\ln n)^\kappa}{n^\kappa}",
    source=SOURCE,
    place="consequence of Theorem 3; this form derived here",
    assumes=("p(θ) ≤ (1 − 2θ/π)^κ.",),
    experiment=students_of_separated_points,
    control=Control("more points lie near the boundary: p(θ) = (1 − 2θ/π)^{0.4κ}", share=0.4),
    mutants=(
        Mutant("(ln n)^κ is forgotten", phuong19_margin_rate, _one_term),
        Mutant("the 1 is forgotten", phuong19_margin_rate, _other_term),
        Mutant("no logarithm", phuong19_margin_rate, lambda n, /, *, exponent: 2 / n**exponent),
        Mutant("a tenth larger", phuong19_margin_rate, scaled(1.1)),
        Mutant("κ a tenth larger", phuong19_margin_rate, given(exponent=lambda kappa: 1.1 * kappa)),
        Mutant("exponential in n", phuong19_margin_rate, lambda n, /, *, exponent: math.exp(-exponent * n)),
        Mutant("p(π/2 − β) for its n-th power", phuong19_transfer_risk, given(n=1)),
    ),
    power=Scaled(phuong19_margin_rate),
)
def separated_points_give_a_fast_rate(rows: Rows, /) -> Evidence:
    """Where few points lie close to the teacher's boundary, p(θ) ≤ (1 − 2θ/π)^κ, the expected transfer risk
    of linear students is at most (1 + (ln n)^κ)/n^κ, which falls faster than 1/n for κ > 1.

    As an upper edge of p(β) + p(π/2 − β)ⁿ at its best β; at κ = 1 and from n = 40 on it is within 5 per cent
    of that. As a bound on risks its constant is loose: the notes have the largest share of the bound that a
    risk came to, for each κ.
    """
    rates = rows.rate[:, : rows.risk.shape[1]]
    shares = (rows.risk / rates).amax(1).tolist()
    return Joint(
        parts={
            "above the tail of angles": Inequality.of(rows.bound, rows.rate),
            "near it": Inequality.of(0.95 * rows.rate[0, 3:], rows.bound[0, 3:]),
            "above the risk": Inequality.of(rows.risk, rates, trivial=1.0),
        },
        notes={
            "largest share of the bound": {
                f"κ = {kappa:g}": share for kappa, share in zip(rows.exponent, shares, strict=True)
            }
        },
    )
