"""Chapter 3.5: how much weight a teacher should have in ridge regression (Das & Sanghavi 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint
from kdtheory.claims.schemes.image_kernels import some_images
from kdtheory.self_distillation.mixing import (
    Mixing,
    fixed_design_mixing,
    optimal_mixing,
    pure_distilled_ridge,
    ridge,
    ridge_derivative,
)
from kdtheory.streams import Stream

SOURCE = "das2023understanding"
GAIN = 1e-12
"""Share of the risk above which a gain is one: rounding makes up to 1e-13 of none."""


def _derivative_with_its_sign_changed(
    *both: Tensor, penalty: float, _true: Callable[..., Tensor] = ridge_derivative
) -> Tensor:
    changed: Tensor = -_true(*both, penalty=penalty)
    return changed


def _derivative_on_a_log_scale(
    *both: Tensor, penalty: float, _true: Callable[..., Tensor] = ridge_derivative
) -> Tensor:
    return penalty * _true(*both, penalty=penalty)


def _student_of_the_labels(inputs: Tensor, targets: Tensor, /, *, penalty: float) -> Tensor:
    return ridge(inputs, targets, penalty=penalty)


def _half_the_slope(
    *both: Tensor,
    penalty: float,
    truth: Tensor,
    covariance: Tensor,
    _true: Callable[..., Mixing] = optimal_mixing,
) -> Mixing:
    right = _true(*both, penalty=penalty, truth=truth, covariance=covariance)
    return replace(right, slope=right.slope / 2)


def _slope_with_its_sign_changed(
    *both: Tensor,
    penalty: float,
    truth: Tensor,
    covariance: Tensor,
    _true: Callable[..., Mixing] = optimal_mixing,
) -> Mixing:
    right = _true(*both, penalty=penalty, truth=truth, covariance=covariance)
    return replace(right, slope=-right.slope)


def _without_the_covariance(
    *both: Tensor,
    penalty: float,
    truth: Tensor,
    covariance: Tensor,
    _true: Callable[..., Mixing] = optimal_mixing,
) -> Mixing:
    return _true(*both, penalty=penalty, truth=truth, covariance=torch.eye(len(truth), dtype=truth.dtype))


def _noise_not_over_n(
    *both: Tensor,
    penalty: float,
    noise_variance: float,
    n: int,
    _true: Callable[..., Mixing] = fixed_design_mixing,
) -> Mixing:
    return _true(*both, penalty=penalty, noise_variance=noise_variance, n=1)


def _the_other_way(
    *both: Tensor,
    penalty: float,
    noise_variance: float,
    n: int,
    _true: Callable[..., Mixing] = fixed_design_mixing,
) -> Mixing:
    right = _true(*both, penalty=penalty, noise_variance=noise_variance, n=n)
    return replace(right, slope=-right.slope)


@claim(
    section="3.5",
    formula=r"\beta_{pd} - \beta_\lambda = \lambda\,\frac{d\beta_\lambda}{d\lambda}",
    source=SOURCE,
    assumes=("The student has the penalty of its teacher.",),
    control=Control("the student has twice the penalty of its teacher", penalties=2.0),
    uses=(pure_distilled_ridge, ridge_derivative, ridge),
    mutants=(
        Mutant("the derivative has the wrong sign", ridge_derivative, _derivative_with_its_sign_changed),
        Mutant("the derivative in ln λ", ridge_derivative, _derivative_on_a_log_scale),
        Mutant("the student learns the labels", pure_distilled_ridge, _student_of_the_labels),
    ),
)
def pure_student_is_a_step_along_the_ridge_path(setting: Setting, /, *, penalties: float = 1.0) -> Evidence:
    """A ridge regression on the outputs of its teacher moves on along the teacher's own regularisation path,
    by λ times the derivative.

    40 problems with 15 inputs of 6 coordinates and penalties from 0.01 to 3; the student also fitted to the
    outputs by hand, and the derivative by autodiff.
    """
    students, by_hand, along, differentiated = [], [], [], []
    for trial in range(setting.size(quick=40, full=400)):
        inputs, targets, _, _ = _problem(setting.stream.child(trial))
        penalty = 0.01 * 300 ** (trial % 8 / 7)
        teacher = ridge(inputs, targets, penalty=penalty)
        students.append((pure_distilled_ridge(inputs, targets, penalty=penalty) - teacher) / teacher.norm())
        fitted = ridge(inputs, inputs @ teacher, penalty=penalties * penalty)
        by_hand.append((fitted - teacher) / teacher.norm())
        along.append(penalty * ridge_derivative(inputs, targets, penalty=penalty) / teacher.norm())
        differentiated.append(penalty * _path_derivative(inputs, targets, penalty) / teacher.norm())
    return Joint(
        parts={
            "student": Identity.of(torch.stack(students), torch.stack(by_hand), tolerance=1e-9),
            "step": Identity.of(torch.stack(by_hand), torch.stack(along), tolerance=1e-9),
            "autodiff": Identity.of(torch.stack(along), torch.stack(differentiated), tolerance=1e-9),
        }
    )


@claim(
    section="3.5",
    formula=r"\xi^* = -\frac{R'(\lambda)}{2\lambda \lVert d\beta/d\lambda \rVert_\Sigma^2},\quad"
    r" R(\lambda) - R(\beta(\xi^*)) = \frac{R'(\lambda)^2}{4 \lVert d\beta/d\lambda \rVert_\Sigma^2} > 0",
    source=SOURCE,
    assumes=("R′(λ) ≠ 0.",),
    control=Control("R′(λ) = 0: the teacher's penalty is the best one", furthest=1.0),
    uses=(optimal_mixing, ridge),
    power=Scaled(optimal_mixing, entry="slope"),
    mutants=(
        Mutant("half of R′", optimal_mixing, _half_the_slope),
        Mutant("R′ with its sign changed", optimal_mixing, _slope_with_its_sign_changed),
        Mutant("Σ is left out", optimal_mixing, _without_the_covariance),
    ),
    cost=2,
)
def optimally_mixed_student_beats_its_teacher_by_the_slope_of_the_risk(
    setting: Setting, /, *, furthest: float = 30.0
) -> Evidence:
    """The best mixture of labels and teacher gains R′(λ)²/4‖dβ/dλ‖²_Σ over the teacher, at a weight with the
    sign of −R′(λ); "distillation always helps" is false where R′(λ) = 0.

    40 problems with 15 inputs of 6 coordinates; λ from 1/30 to 30 times the penalty of least risk, which is
    found by search, and never that one (problems that have none are left out). Students are fitted anew to
    every mixture and the best one is found by a search over ξ (Brent). The gain is a square, and small
    wherever R′(λ) is: it must be what is foretold, and above 1e-12 of the risk, ten times what rounding makes
    of none.
    """
    rows = []
    for trial in range(setting.size(quick=40, full=400)):
        problem = inputs, targets, truth, covariance = _problem(setting.stream.child(trial))
        best = _best_penalty(*problem)
        if best is None:
            continue
        chosen = best * furthest ** (trial % 8 / 3.5 - 1)
        mixing = optimal_mixing(inputs, targets, penalty=chosen, truth=truth, covariance=covariance)
        weight, risk = _searched(*problem, chosen)
        before = _risk(ridge(inputs, targets, penalty=chosen), truth, covariance)
        rows.append((weight, mixing.weight, before - risk, mixing.gain, before, -mixing.slope))
    searched, exact, seen, told, risks, downhill = np.array(rows).T
    small = told + 1e-5 * risks
    return Joint(
        parts={
            "weight": Identity.of(
                searched / (1 + abs(exact)), exact / (1 + abs(exact)), tolerance=1e-4, effect=1.0
            ),
            "gain": Identity.of(seen / small, told / small, tolerance=1e-6, effect=1.0),
            "helps": Inequality.of(np.full(len(seen), GAIN), seen / risks),
            "sign": Inequality.of(-downhill * searched, np.zeros(len(rows)), slack=1e-12),
        },
        notes={"problems": len(rows), "least gain, share of the risk": float((told / risks).min())},
    )


@claim(
    section="3.5",
    formula=r"\xi^* < 0 \text{ without noise},\quad \xi^* \text{ grows with } \sigma^2,\quad"
    r" \xi^* \to 1 + \mathbb E_w[d]/\lambda > 1",
    source=SOURCE,
    assumes=("The inputs are fixed and the noise is independent of them.",),
    control=Control("there is no noise", noise=0.0),
    uses=(fixed_design_mixing,),
    power=Scaled(fixed_design_mixing, entry="slope"),
    mutants=(
        Mutant("σ² is not divided by n", fixed_design_mixing, _noise_not_over_n),
        Mutant("R′ with its sign changed", fixed_design_mixing, _the_other_way),
    ),
    cost=3,
)
def best_weight_of_the_teacher_grows_with_the_noise_and_beyond_one(
    setting: Setting, /, *, noise: float = 1.0
) -> Evidence:
    """In ridge regression with fixed inputs the best weight of the teacher is negative without noise, grows
    with it, and ends above one: the labels are then used against themselves.

    Real images as inputs (8 principal coordinates of 100), a planted linear truth of norm 1, λ = 0.05, noise
    from 0 to 30. The closed form is compared with the best weight on the mean risk over drawn noise, four
    values of σ. The limit, derived here, is 1 + Σw_k d_k/λ, w_k ∝ d_k²/(d_k + λ)⁴.
    """
    inputs, truth = _image_design(setting)
    n, penalty = len(inputs), 0.05
    values, vectors = torch.linalg.eigh(inputs.mT @ inputs / n)
    along = vectors.mT @ truth
    levels = torch.tensor([0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0], dtype=torch.float64)
    stds = noise * levels
    weights = [
        fixed_design_mixing(values, along, penalty=penalty, noise_variance=float(std) ** 2, n=n).weight
        for std in stds
    ]
    share = values**2 / (values + penalty) ** 4
    limit = 1 + float((share * values).sum() / share.sum()) / penalty
    draws = setting.size(quick=20_000, full=100_000)
    measured = [
        _parabolas(inputs, truth, penalty, float(std), draws, setting.stream.child("noise", place))
        for place, std in enumerate(stds[2:6])
    ]
    parts: dict[str, Evidence] = {
        "negative without noise": Inequality.of([weights[0]], [0.0]),
        "grows": Inequality.of([weight + 1e-6 for weight in weights[:-1]], weights[1:]),
        "above one": Inequality.of([1.0], [weights[-1]]),
        "limit": Identity.of([weights[-1]], [limit], tolerance=0.05),
    }
    for level, weight, (slopes, curvatures) in zip(levels[2:6], weights[2:6], measured, strict=True):
        # ξ* is right iff the mean slope there is zero: E[R′ + 2ξ*λ‖dβ/dλ‖²] = 0.
        pull = 2 * weight * penalty * curvatures
        parts[f"measured at noise {float(level):g}"] = Equality.of(
            slopes + pull, torch.zeros_like(pull), margin=0.1, effect=float(slopes.abs().mean())
        )
    return Joint(parts=parts, notes={"weights": weights, "limit": limit})


def _problem(stream: Stream) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, noisy targets, the truth, and the covariance of fresh inputs."""
    generator = stream.torch()
    root = torch.randn(6, 6, dtype=torch.float64, generator=generator) / 6**0.5
    inputs = torch.randn(15, 6, dtype=torch.float64, generator=generator) @ root
    truth = torch.randn(6, dtype=torch.float64, generator=generator)
    targets = inputs @ truth + torch.randn(15, dtype=torch.float64, generator=generator)
    return inputs, targets, truth, root.mT @ root


def _path_derivative(inputs: Tensor, targets: Tensor, penalty: float) -> Tensor:
    def path(level: Tensor) -> Tensor:
        gram = inputs.mT @ inputs / len(inputs) + level * torch.eye(inputs.shape[1], dtype=inputs.dtype)
        solved: Tensor = torch.linalg.solve(gram, inputs.mT @ targets / len(inputs))
        return solved

    at = torch.tensor(penalty, dtype=inputs.dtype)
    derivative: Tensor = torch.autograd.functional.jacobian(path, at)  # type: ignore[no-untyped-call]
    return derivative


def _risk(beta: Tensor, truth: Tensor, covariance: Tensor) -> float:
    return float((beta - truth) @ covariance @ (beta - truth))


def _searched(
    inputs: Tensor, targets: Tensor, truth: Tensor, covariance: Tensor, penalty: float
) -> tuple[float, float]:
    """The best weight and its risk, by fitting students to mixtures."""
    outputs = inputs @ ridge(inputs, targets, penalty=penalty)

    def risk(weight: float) -> float:
        student = ridge(inputs, (1 - weight) * targets + weight * outputs, penalty=penalty)
        return _risk(student, truth, covariance)

    found = optimize.minimize_scalar(risk, bracket=(-1.0, 1.0), method="brent", options={"xtol": 1e-12})
    return float(found.x), float(found.fun)


def _best_penalty(inputs: Tensor, targets: Tensor, truth: Tensor, covariance: Tensor) -> float | None:
    """The λ of least risk, where it lies inside the range searched."""

    def risk(log_penalty: float) -> float:
        return _risk(ridge(inputs, targets, penalty=float(np.exp(log_penalty))), truth, covariance)

    found = optimize.minimize_scalar(risk, bounds=(-8, 4), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x)) if -7.9 < found.x < 3.9 else None


def _image_design(setting: Setting) -> tuple[Tensor, Tensor]:
    inputs, _ = some_images(setting, setting.stream.child("images"), 100)
    centred = inputs - inputs.mean(0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    coordinates = left[:, :8] * singular[:8]
    truth = torch.randn(8, dtype=torch.float64, generator=setting.stream.child("truth").torch())
    return coordinates, truth / truth.norm()


def _parabolas(
    inputs: Tensor, truth: Tensor, penalty: float, std: float, draws: int, stream: Stream
) -> tuple[Tensor, Tensor]:
    """R′(λ) and ‖dβ/dλ‖²_Σ of each draw of the noise, from fitted regressions."""
    noise = std * torch.randn(len(inputs), draws, dtype=torch.float64, generator=stream.torch())
    targets = (inputs @ truth)[:, None] + noise
    errors = ridge(inputs, targets, penalty=penalty) - truth[:, None]
    derivatives = ridge_derivative(inputs, targets, penalty=penalty)
    pulled = inputs.mT @ (inputs @ derivatives) / len(inputs)
    return 2 * (errors * pulled).sum(0), (derivatives * pulled).sum(0)
