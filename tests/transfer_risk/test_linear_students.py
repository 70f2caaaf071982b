"""Linear students against least squares, the bound against its proof, and the rate against the bound."""

from __future__ import annotations

import math

import pytest
import torch
from naive import projected_student

from kdtheory.ntk.linear import LinearKernel
from kdtheory.transfer_risk import (
    interpolant,
    isotropic_angle_tail,
    phuong19_margin_rate,
    phuong19_student,
    phuong19_transfer_risk,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 4, 9, 20])
def test_student_is_the_projection(n: int) -> None:
    points, oracle = drawn(n, 9), drawn(9, seed=1)
    found = phuong19_student(points, oracle)
    torch.testing.assert_close(found, projected_student(points, points @ oracle))
    if n < 9:
        kernel = interpolant(LinearKernel(), points, points @ oracle)
        torch.testing.assert_close(found, points.T @ kernel.coefficients)
    else:
        torch.testing.assert_close(found, oracle)


def test_dependent_points_are_no_harm() -> None:
    points, oracle = drawn(3, 6), drawn(6, seed=1)
    twice = torch.cat([points, points[:1] + points[1:2], 0 * points[:1]])
    torch.testing.assert_close(phuong19_student(twice, oracle), phuong19_student(points, oracle))


def test_no_other_point_of_the_span_is_closer_in_angle() -> None:
    points, oracle = drawn(4, 10), drawn(10, seed=1)
    student = phuong19_student(points, oracle)
    cosine = student @ oracle / student.norm()
    others = drawn(500, 4, seed=2) @ points
    assert float((others @ oracle / others.norm(dim=1)).max()) <= float(cosine) + 1e-12


def test_bound_minimises_over_the_angle() -> None:
    def tail(theta: float) -> float:
        return (1 - 2 * theta / math.pi) ** 2

    bound, beta = phuong19_transfer_risk(tail, n=30)
    assert bound == pytest.approx(tail(beta) + tail(math.pi / 2 - beta) ** 30)
    for other in (0.3, 0.8, 1.4):
        assert bound <= phuong19_transfer_risk(tail, n=30, betas=[other])[0]
    assert phuong19_transfer_risk(tail, n=1)[0] <= 1


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_rate_is_above_the_best_bound_and_is_its_value_at_one_angle(exponent: float, n: int) -> None:
    def tail(theta: float) -> float:
        return max(0.0, 1 - 2 * theta / math.pi) ** exponent

    rate = phuong19_margin_rate(n, exponent=exponent)
    assert phuong19_transfer_risk(tail, n=n)[0] <= rate * (1 + 1e-9)
    beta = math.pi / 2 * (1 - math.log(n) / n)
    exact = phuong19_transfer_risk(tail, n=n, betas=[beta])[0]
    assert exact <= rate * (1 + 1e-9)
    if n == 1000:
        assert exact >= 0.95 * rate


def test_isotropic_points_leave_the_bound_near_one() -> None:
    bound, _ = phuong19_transfer_risk(lambda t: float(isotropic_angle_tail(t, dim=100)), n=20)
    assert bound > 0.9
    plane, _ = phuong19_transfer_risk(lambda t: float(isotropic_angle_tail(t, dim=2)), n=20)
    assert plane < 0.25


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: phuong19_student(torch.ones(2, 3), torch.ones(4)), "d = 3 in points"),
        (lambda: phuong19_student(torch.full((2, 3), math.nan), torch.ones(3)), "points holds"),
        (lambda: phuong19_transfer_risk(lambda t: 1.0, n=0), "n = 0"),
        (lambda: phuong19_transfer_risk(lambda t: 1.0, n=1, betas=[2.0]), "betas"),
        (lambda: phuong19_margin_rate(5, exponent=0.0), "exponent = 0"),
        (lambda: phuong19_margin_rate(0, exponent=1.0), "n = 0"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
