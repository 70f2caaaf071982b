"""Rounds that keep labels against a loop; the filters of gradient flow against an ODE solver."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from kdtheory.self_distillation import (
    borup21_contraction,
    borup21_fixed_point,
    borup21_rounds,
    flow_filter,
    kernel_ridge,
    nagarajan23_lag,
    pure_distilled_ridge,
    ridge,
    student_filter,
    time_at_progress,
)
from kdtheory.streams import Stream


def problem(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Stream(seed).torch()
    features = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    return features @ features.mT, torch.randn(7, 2, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_rounds_are_the_loop_and_reach_the_fixed_point(alpha: float) -> None:
    kernel, y = problem(0)
    found = borup21_rounds(kernel, y, penalty=0.7, alpha=alpha, rounds=200)
    smoother = kernel @ torch.linalg.inv(kernel + 0.7 * torch.eye(7))
    now = y
    for t in range(1, 201):
        now = smoother @ (alpha * y + (1 - alpha) * now)
        assert torch.allclose(found[t], now, atol=1e-10)
    limit = borup21_fixed_point(kernel, y, penalty=0.7, alpha=alpha)
    assert torch.allclose(smoother @ (alpha * y + (1 - alpha) * limit), limit, atol=1e-10)
    if alpha:
        assert torch.allclose(limit, kernel_ridge(kernel, y, penalty=0.7 / alpha), atol=1e-10)
        assert torch.allclose(now, limit, atol=1e-10)


def test_contraction_holds_and_is_attained() -> None:
    kernel, y = problem(1)
    q = borup21_contraction(kernel, penalty=2.0, alpha=0.2)
    top = torch.linalg.eigh(kernel).eigenvectors[:, -1:]
    for targets, attained in ((y, False), (top, True)):
        limit = borup21_fixed_point(kernel, targets, penalty=2.0, alpha=0.2)
        off = (
            (borup21_rounds(kernel, targets, penalty=2.0, alpha=0.2, rounds=5) - limit).flatten(1).norm(dim=1)
        )
        assert bool((off[1:] <= q * off[:-1] * (1 + 1e-9)).all())
        assert torch.allclose(off[1:] / off[:-1], torch.full((5,), q).double(), rtol=1e-9) == attained


def test_filter_is_the_flow_of_the_regression() -> None:
    """Teacher, then student on its outputs: an ODE solver on the weights."""
    generator = Stream(2).torch()
    x = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    y = torch.randn(6, dtype=torch.float64, generator=generator)
    values, vectors = torch.linalg.eigh(x @ x.mT)
    values = values.clamp_min(0)

    def flowed(targets: torch.Tensor, time: float) -> torch.Tensor:
        a = x.numpy()
        outcome = solve_ivp(
            lambda _, w: a.T @ (targets.numpy() - a @ w), (0, time), [0.0] * 4, rtol=1e-10, atol=1e-12
        )
        return x @ torch.from_numpy(outcome.y[:, -1])

    teacher, student = 0.3, 0.5
    expected = vectors @ (
        student_filter(values, student_time=student, teacher_time=teacher) * (vectors.mT @ y)
    )
    assert torch.allclose(flowed(flowed(y, teacher), student), expected, atol=1e-7)
    exact = torch.eye(6).double() - torch.from_numpy(expm(-teacher * (x @ x.mT).numpy()))
    assert torch.allclose(
        vectors @ torch.diag(flow_filter(values, time=teacher)) @ vectors.mT, exact, atol=1e-12
    )


@pytest.mark.parametrize(("student_time", "teacher_time"), [(0.1, 0.1), (1.0, 3.0), (0.01, 5.0), (8.0, 8.0)])
def test_student_lags_below_the_top(student_time: float, teacher_time: float) -> None:
    values = torch.linspace(0.01, 2.0, 100, dtype=torch.float64)
    lag = nagarajan23_lag(values, student_time=student_time, teacher_time=teacher_time)
    assert bool((lag[:-1] > 0).all())
    assert abs(float(lag[-1])) < 1e-12
    product = student_filter(values, student_time=student_time, teacher_time=teacher_time)
    time = time_at_progress(2.0, progress=float(product[-1]))
    # 1 − progress loses digits that the complements keep: compare where it has some left.
    if time < 10:
        assert torch.allclose(lag, flow_filter(values, time=time) - product, atol=1e-9)


def test_the_lag_keeps_its_digits_where_the_top_is_learned_whole() -> None:
    values = torch.tensor([0.5, 4000.0], dtype=torch.float64)
    lag = nagarajan23_lag(values, student_time=1.0, teacher_time=2.0)
    # At d_max 1 − a_s·a_t is e^{−t_s d_max} to the last digit, so that τ = t_s: the lag is a_s(1 − a_t).
    assert float(lag[0]) == pytest.approx(math.exp(-1.0) * -math.expm1(-0.5), rel=1e-12)
    assert float(lag[1]) == 0.0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: borup21_rounds(torch.eye(2), torch.ones(2), penalty=0.0, alpha=0.5, rounds=1), "penalty"),
        (lambda: borup21_fixed_point(torch.eye(2), torch.ones(2), penalty=1.0, alpha=1.5), "alpha"),
        (lambda: kernel_ridge(torch.eye(2), torch.ones(3), penalty=1.0), "n = 2 in kernel"),
        (lambda: flow_filter(torch.ones(2), time=-1.0), "time"),
        (lambda: flow_filter(-torch.ones(2), time=1.0), "eigenvalues"),
        (lambda: time_at_progress(1.0, progress=1.0), "progress"),
        (lambda: nagarajan23_lag(torch.zeros(2), student_time=1.0, teacher_time=1.0), "eigenvalue"),
    ],
)
def test_bad_input_is_named(call, named: str, unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=named):
        call()


def test_settings_may_lie_outside_the_range_of_the_data() -> None:
    zero, one = torch.zeros(1, 1), torch.ones(1)
    assert kernel_ridge(zero, one, penalty=1e-50).tolist() == [0.0]
    assert borup21_rounds(zero, one, penalty=1e-50, alpha=0.5, rounds=1).tolist() == [[1.0], [0.0]]
    assert flow_filter(torch.tensor([0.0, 1.0]), time=1e39).tolist() == [0.0, 1.0]
    far = torch.tensor([[1e20]]), torch.tensor([1e20])
    assert ridge(*far, penalty=1.0).tolist() == pure_distilled_ridge(*far, penalty=1.0).tolist() == [1.0]
    near = torch.tensor([[1e-25]]), torch.tensor([1e-25])
    assert ridge(*near, penalty=1e-50).tolist() == pytest.approx([0.5], rel=1e-6)


def test_half_progress_takes_half_a_life() -> None:
    assert math.isclose(time_at_progress(1.0, progress=0.5), math.log(2))


@pytest.mark.parametrize("student_time", [1e-12, 1e-8, 1e-4, 0.3, 5.0, 60.0])
@pytest.mark.parametrize("teacher_time", [1e-9, 1e-3, 2.0, 40.0])
def test_the_lag_keeps_its_digits_at_every_time(student_time: float, teacher_time: float) -> None:
    d = torch.tensor([0.5, 1.0, 2.0]).double()
    found = nagarajan23_lag(d, student_time=student_time, teacher_time=teacher_time)
    with mpmath.workdps(60):

        def fitted(t: float, x: float) -> mpmath.mpf:
            return -mpmath.expm1(-mpmath.mpf(t) * x)

        tau = -mpmath.log1p(-fitted(student_time, 2.0) * fitted(teacher_time, 2.0)) / 2
        both = [
            (-mpmath.expm1(-tau * x), fitted(student_time, x) * fitted(teacher_time, x)) for x in d.tolist()
        ]
        for (teacher, student), lag in zip(both, found.tolist(), strict=True):
            assert abs(lag - (teacher - student)) <= 1e-14 * teacher
