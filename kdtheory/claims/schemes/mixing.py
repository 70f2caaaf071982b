"""Chapter 3.5: how much weight a teacher should have in ridge regression (Das & Sanghavi 2023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.mixing import (
    best_mixtures_of_labels_and_teacher,
    best_weights_over_the_noise,
    students_of_ridge_regressions,
)
from kdtheory.self_distillation.mixing import (
    fixed_design_mixing,
    optimal_mixing,
    pure_distilled_ridge,
    ridge,
    ridge_derivative,
)

SOURCE = "das2023understanding"
GAIN = 1e-12
"""Share of the risk above which a gain is one: rounding makes up to 1e-13 of none."""


def _derivative_on_a_log_scale(inputs: Tensor, targets: Tensor, /, *, penalty: float) -> Tensor:
    return pure_distilled_ridge(inputs, targets, penalty=penalty) - ridge(inputs, targets, penalty=penalty)


def _no_covariance(covariance: Tensor) -> Tensor:
    return torch.eye(len(covariance), dtype=covariance.dtype)


@claim(
    section="3.5",
    formula=r"\beta_{pd} - \beta_\lambda = \lambda\,\frac{d\beta_\lambda}{d\lambda}",
    source=SOURCE,
    place="derived here",
    assumes=("The student has the penalty of its teacher.",),
    experiment=students_of_ridge_regressions,
    control=Control("the student has twice the penalty of its teacher", penalties=2.0),
    mutants=(
        Mutant("the derivative has the wrong sign", ridge_derivative, scaled(-1.0)),
        Mutant("the derivative in ln λ", ridge_derivative, _derivative_on_a_log_scale),
        Mutant("the student learns the labels", pure_distilled_ridge, ridge),
    ),
)
def pure_student_is_a_step_along_the_ridge_path(rows: Rows, /) -> Evidence:
    """A ridge regression on the outputs of its teacher moves on along the teacher's own regularisation path,
    by λ times the derivative.
    """
    return Joint(
        parts={
            "student": Identity.of(rows.student, rows.by_hand, tolerance=1e-9),
            "step": Identity.of(rows.by_hand, rows.step, tolerance=1e-9),
            "autodiff": Identity.of(rows.step, rows.by_autodiff, tolerance=1e-9),
        }
    )


@claim(
    section="3.5",
    formula=r"\xi^* = -\frac{R'(\lambda)}{2\lambda \lVert d\beta/d\lambda \rVert_\Sigma^2},\quad"
    r" R(\lambda) - R(\beta(\xi^*)) = \frac{R'(\lambda)^2}{4 \lVert d\beta/d\lambda \rVert_\Sigma^2} > 0",
    source=SOURCE,
    place="derived here",
    assumes=("R′(λ) ≠ 0.",),
    experiment=best_mixtures_of_labels_and_teacher,
    control=Control("R′(λ) = 0: the teacher's penalty is the best one", furthest=1.0),
    power=Scaled(optimal_mixing, entry="slope"),
    mutants=(
        Mutant("half of R′", optimal_mixing, scaled(0.5, entry="slope")),
        Mutant("R′ with its sign changed", optimal_mixing, scaled(-1.0, entry="slope")),
        Mutant("Σ is left out", optimal_mixing, given(covariance=_no_covariance)),
    ),
    cost=2,
)
def optimally_mixed_student_beats_its_teacher_by_the_slope_of_the_risk(rows: Rows, /) -> Evidence:
    """The best mixture of labels and teacher gains R′(λ)²/4‖dβ/dλ‖²_Σ over the teacher, at a weight with the
    sign of −R′(λ); "distillation always helps" is false where R′(λ) = 0.

    The gain is a square, and small wherever R′(λ) is: it must be what is foretold, and above 1e-12 of the
    risk, ten times what rounding makes of none.
    """
    small, scale = rows.gain + 1e-5 * rows.risk_before, 1 + abs(rows.weight)
    return Joint(
        parts={
            "weight": Identity.of(rows.searched / scale, rows.weight / scale, tolerance=1e-4, effect=1.0),
            "gain": Identity.of(rows.gain_seen / small, rows.gain / small, tolerance=1e-6, effect=1.0),
            "helps": Inequality.of(np.full(len(small), GAIN), rows.gain_seen / rows.risk_before),
            "sign": Inequality.of(rows.slope * rows.searched, np.zeros(len(small)), slack=1e-12),
        },
        notes={
            "problems": len(small),
            "least gain, share of the risk": float((rows.gain / rows.risk_before).min()),
        },
    )


@claim(
    section="3.5",
    formula=r"\xi^* < 0 \text{ without noise},\quad \xi^* \text{ grows with } \sigma^2,\quad"
    r" \xi^* \to 1 + \mathbb E_w[d]/\lambda > 1",
    source=SOURCE,
    place="derived here",
    assumes=("The inputs are fixed and the noise is independent of them.",),
    experiment=best_weights_over_the_noise,
    control=Control("there is no noise", noise=0.0),
    power=Scaled(fixed_design_mixing, entry="slope"),
    mutants=(
        Mutant("σ² is not divided by n", fixed_design_mixing, given(n=1)),
        Mutant("R′ with its sign changed", fixed_design_mixing, scaled(-1.0, entry="slope")),
    ),
    cost=3,
)
def best_weight_of_the_teacher_grows_with_the_noise_and_beyond_one(rows: Rows, /) -> Evidence:
    """In ridge regression with fixed inputs the best weight of the teacher is negative without noise, grows
    with it, and ends above one: the labels are then used against themselves.

    The best weight ξ* is right if and only if the mean of R′ + 2ξ*λ‖dβ/dλ‖²_Σ over the drawn noise is 0. The
    limit, derived here, is 1 + Σw_k d_k/λ, w_k ∝ d_k²/(d_k + λ)⁴.
    """
    first, last = rows.weight[:1], rows.weight[-1:]
    pulls = 2 * rows.penalty * rows.drawn_weight[:, None] * rows.squared_norm
    measured = {
        f"measured at noise {float(level):g}": Equality.of(
            slope + pull, torch.zeros_like(pull), margin=0.1, effect=float(slope.abs().mean())
        )
        for level, slope, pull in zip(rows.drawn_level, rows.slope, pulls, strict=True)
    }
    return Joint(
        parts={
            "negative without noise": Inequality.of(first, torch.zeros(1)),
            "grows": Inequality.of(rows.weight[:-1] + 1e-6, rows.weight[1:]),
            "above one": Inequality.of(torch.ones(1), last),
            "limit": Identity.of(last, [rows.limit], tolerance=0.05),
            **measured,
        },
        notes={"weights": rows.weight.tolist(), "limit": rows.limit},
    )
