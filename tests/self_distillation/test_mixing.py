"""Mixing in ridge regression against autodiff, finite differences, a grid over ξ, and Monte Carlo."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory.self_distillation import (
    Mixing,
    fixed_design_mixing,
    optimal_mixing,
    pure_distilled_ridge,
    ridge,
    ridge_derivative,
    ridge_path,
)
from kdtheory.streams import Stream


def problem(seed: int, n: int = 12, d: int = 4) -> tuple[torch.Tensor, ...]:
    generator = Stream(seed).torch()
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    truth = torch.randn(d, dtype=torch.float64, generator=generator)
    y = x @ truth + 2 * torch.randn(n, dtype=torch.float64, generator=generator)
    root = torch.randn(d, d, dtype=torch.float64, generator=generator)
    return x, y, truth, root @ root.mT


def test_ridge_minimises_its_objective() -> None:
    x, y, _, _ = problem(0)
    beta = ridge(x, y, penalty=0.4).requires_grad_()
    loss = (y - x @ beta).square().mean() + 0.4 * beta.square().sum()
    (gradient,) = torch.autograd.grad(loss, beta)
    assert float(gradient.norm()) < 1e-12


@pytest.mark.parametrize("columns", [(), (3,)])
def test_a_path_of_penalties_is_one_after_another(columns: tuple[int, ...]) -> None:
    x, y, _, _ = problem(2)
    y = y.reshape(-1, *(1 for _ in columns)).expand(-1, *columns)
    penalties = torch.tensor([1e-9, 0.4, 3.0], dtype=torch.float64)
    found = ridge_path(x, y, penalties=penalties)
    assert found.shape == (3, 4, *columns)
    for one, penalty in zip(found, penalties.tolist(), strict=True):
        assert torch.equal(one, ridge(x, y, penalty=penalty))


def test_derivative_against_autodiff_and_the_pure_student() -> None:
    x, y, _, _ = problem(1)

    def beta(penalty: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve(x.mT @ x / len(x) + penalty * torch.eye(4), x.mT @ y / len(x))

    exact = torch.autograd.functional.jacobian(beta, torch.tensor(0.3, dtype=torch.float64))
    found = ridge_derivative(x, y, penalty=0.3)
    assert torch.allclose(found, exact, atol=1e-12)
    difference = pure_distilled_ridge(x, y, penalty=0.3) - ridge(x, y, penalty=0.3)
    assert torch.allclose(difference, 0.3 * found, atol=1e-12)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 10.0))
def test_best_weight_and_gain_against_a_grid_of_students(seed: int, penalty: float) -> None:
    """Each student is fitted anew to (1−ξ)y + ξXβ_λ."""
    x, y, truth, covariance = problem(seed)
    mixing = optimal_mixing(x, y, penalty=penalty, truth=truth, covariance=covariance)
    teacher = x @ ridge(x, y, penalty=penalty)

    def risk(weight: float) -> float:
        student = ridge(x, (1 - weight) * y + weight * teacher, penalty=penalty) - truth
        return float(student @ covariance @ student)

    for offset in (-1.0, 0.0, 0.3):
        weight = mixing.weight + offset
        assert math.isclose(mixing.at(weight), risk(weight), rel_tol=1e-7, abs_tol=1e-9)
    assert all(risk(mixing.weight) <= risk(mixing.weight + step) for step in (-0.1, -0.01, 0.01, 0.1))
    assert math.isclose(risk(0.0) - risk(mixing.weight), mixing.gain, rel_tol=1e-6, abs_tol=1e-8)


def test_slope_against_finite_differences() -> None:
    x, y, truth, covariance = problem(2)
    at = [optimal_mixing(x, y, penalty=p, truth=truth, covariance=covariance) for p in (0.5, 0.5 + 1e-5)]
    assert math.isclose((at[1].risk - at[0].risk) / 1e-5, at[0].slope, rel_tol=1e-4)


def test_fixed_design_is_the_mean_over_the_noise() -> None:
    """10⁴ draws of the noise: mean risk, slope and curvature within 4.5 standard errors."""
    generator = Stream(3).torch()
    n, d, penalty, std = 10, 3, 0.2, 1.5
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    truth = torch.randn(d, dtype=torch.float64, generator=generator)
    values, vectors = torch.linalg.eigh(x.mT @ x / n)
    expected = fixed_design_mixing(values, vectors.mT @ truth, penalty=penalty, noise_variance=std**2, n=n)
    noise = std * torch.randn(10_000, n, dtype=torch.float64, generator=generator)
    inverse = torch.linalg.inv(x.mT @ x / n + penalty * torch.eye(d))
    betas = (x @ truth + noise) @ x / n @ inverse
    derivatives = -betas @ inverse
    design = x.mT @ x / n
    parts = {
        "risk": ((betas - truth) @ design * (betas - truth)).sum(-1),
        "slope": 2 * ((betas - truth) @ design * derivatives).sum(-1),
        "curvature": (derivatives @ design * derivatives).sum(-1),
    }
    for name, draws in parts.items():
        error = float(draws.std() / 100)
        assert abs(float(draws.mean()) - getattr(expected, name)) < 4.5 * error, name


def test_more_noise_wants_more_of_the_teacher_and_beyond_one() -> None:
    values = torch.tensor([0.2, 1.0, 3.0])
    weights = [
        fixed_design_mixing(values, torch.ones(3), penalty=0.1, noise_variance=s, n=20).weight
        for s in (0.1, 1.0, 3.0, 30.0, 1000.0)
    ]
    assert weights == sorted(weights)
    assert weights[0] < 0
    assert weights[-1] > 1


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x, y, b, s: ridge(x, y, penalty=0.0), "penalty"),
        (lambda x, y, b, s: ridge(x, y[:3], penalty=1.0), "targets"),
        (lambda x, y, b, s: ridge_path(x, y, penalties=torch.tensor([1.0, 0.0])), "penalty"),
        (lambda x, y, b, s: ridge_path(x, y, penalties=torch.ones(0)), "penalties"),
        (lambda x, y, b, s: ridge(x * math.nan, y, penalty=1.0), "inputs"),
        (lambda x, y, b, s: optimal_mixing(x, y, penalty=1.0, truth=b[:2], covariance=s), "truth"),
        (
            lambda x, y, b, s: optimal_mixing(x, y, penalty=1.0, truth=b, covariance=s.triu()),
            r"covariance is not symmetric",
        ),
        (
            lambda x, y, b, s: optimal_mixing(x, y, penalty=1.0, truth=b, covariance=-s),
            "covariance has eigenv",
        ),
        (
            lambda x, y, b, s: optimal_mixing(x, y, penalty=1.0, truth=b, covariance=0 * s),
            "covariance say noth",
        ),
        (lambda x, y, b, s: Mixing(1.0, 1.0, 0.0, 1.0), "curvature"),
        (
            lambda x, y, b, s: fixed_design_mixing(b.abs(), 0 * b, penalty=1.0, noise_variance=0.0, n=3),
            "signal",
        ),
        (lambda x, y, b, s: fixed_design_mixing(b.abs(), b, penalty=1.0, noise_variance=-1.0, n=3), "noise"),
    ],
)
def test_bad_input_is_named(call, named: str, unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=named):
        call(*problem(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("penalty", [1e-2, 1e-6, 1e-10, 1e-16])
def test_a_small_penalty_is_not_lost_beside_the_inputs(penalty: float, dtype: torch.dtype) -> None:
    # More features than points: X Xᵀ/n + λ is regular, and (XᵀX/n + λ)⁻ᵖXᵀ = Xᵀ(XXᵀ/n + λ)⁻ᵖ.
    generator = Stream(0).torch()
    inputs = torch.randn(10, 20, generator=generator, dtype=dtype)
    targets = torch.randn(10, generator=generator, dtype=dtype)
    x = inputs.double()
    dual = x @ x.mT / 10 + penalty * torch.eye(10, dtype=torch.float64)
    along = torch.linalg.solve(dual, targets.double() / 10)
    exact = x.mT @ along, -(x.mT @ torch.linalg.solve(dual, along))
    found = (
        ridge(inputs, targets, penalty=penalty),
        ridge_derivative(inputs, targets, penalty=penalty),
    )
    for one, truth in zip(found, exact, strict=True):
        assert float((one.double() - truth).norm() / truth.norm()) < 1e3 * torch.finfo(dtype).eps
