"""Bounds on the transfer risk where they are equalities, and the power function against rational numbers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch

from kdtheory.ntk.linear import LinearKernel
from kdtheory.transfer_risk import (
    angle_tail,
    average_transfer_risk,
    data_inefficiency,
    ji20_transfer_risk,
    label_free_transfer_risk,
    linear_function,
    misjudging_probability,
    nested_students,
    power_function_transfer_risk,
    projection_angle,
    transfer_curve,
    transfer_risk,
)


def exact_squares(cross: torch.Tensor, diagonal: torch.Tensor, size: int) -> list[Fraction]:
    """P_n(x)² where Θ is the identity, without rounding."""
    columns = cross[:size].T.tolist()
    return [
        Fraction(whole) - sum((Fraction(value) ** 2 for value in column), Fraction(0))
        for whole, column in zip(diagonal.tolist(), columns, strict=True)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 50, 400])
def test_the_power_function_is_rounded_up_and_by_little(size: int, dtype: torch.dtype) -> None:
    # Fresh points in the span of what was seen, but for a share of 0 to 1e-3 of them: all digits cancel.
    generator = torch.Generator().manual_seed(size)
    cross = torch.randn(size, 200, generator=generator, dtype=dtype)
    cross = cross / cross.norm(dim=0)
    diagonal = cross.double().square().sum(0).to(dtype)
    diagonal = diagonal * (1 + 1e-3 * torch.rand(200, generator=generator, dtype=dtype).round())
    gram, labels = torch.eye(size, dtype=dtype), torch.ones(size, dtype=dtype)
    students = nested_students(gram, labels, cross, diagonal, sizes=(size // 2 + 1, size))
    room = torch.finfo(dtype).eps
    for n, row in zip(students.sizes, students.power.tolist(), strict=True):
        for power, truth in zip(row, exact_squares(cross, diagonal, n), strict=True):
            square = Fraction(power) ** 2
            assert square >= truth * (1 - Fraction(4 * room))
            assert square <= truth + Fraction(3 * n * room)


def test_of_signs_that_differ_by_exactly_what_is_unseen_every_bound_counts_the_point() -> None:
    # |z_s| + |z_*| = P ρ with P, ρ and z in binary fractions: nothing is rounded.
    student, oracle = torch.tensor([0.5, -0.25, 1.0]).double(), torch.tensor([-0.5, 0.75, 0.0]).double()
    power, unseen = torch.tensor([0.5, 0.5, 0.5]).double(), torch.tensor(2.0).double()
    assert float(transfer_risk(student, oracle)) == 1.0  # zero has a sign of its own
    assert float(power_function_transfer_risk(student, oracle, power, unseen)) == 1.0
    assert float(label_free_transfer_risk(student, power, unseen)) == 1.0
    less = power * (1 - 2**-40)
    assert float(power_function_transfer_risk(student, oracle, less, unseen)) == 0.0
    assert float(label_free_transfer_risk(student, less, unseen)) == pytest.approx(2 / 3)


def test_an_imperfect_teacher_is_judged_by_the_side_of_its_student() -> None:
    # |z_*| + sign(z_s)·z_proj ≤ Pρ: z_proj on the student's side adds, on the other side it takes away.
    oracle, power = torch.tensor([-0.5, -0.5]).double(), torch.ones(2).double()
    unseen = torch.tensor(1.0).double()
    student, seen = torch.tensor([3.0, 3.0]).double(), torch.tensor([0.5, 0.75]).double()
    assert float(power_function_transfer_risk(student, oracle, power, unseen, projection=seen)) == 0.5
    assert float(power_function_transfer_risk(student, oracle, power, unseen, projection=-seen)) == 1.0
    assert float(power_function_transfer_risk(-student, oracle, power, unseen, projection=-seen)) == 0.5
    assert float(power_function_transfer_risk(student, oracle, power, unseen)) == 0.0


def test_students_in_a_batch_have_a_residual_each() -> None:
    student, power = torch.tensor([[0.5, 2.0], [0.5, 2.0]]).double(), torch.ones(2, 2).double()
    unseen = torch.tensor([1.0, 2.0]).double()
    assert label_free_transfer_risk(student, power, unseen).tolist() == [0.5, 1.0]
    assert power_function_transfer_risk(student, -student, power, unseen).tolist() == [0.5, 0.5]
    assert transfer_risk(student, torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double()).tolist() == [0.5, 0.0]


def test_the_angle_of_a_student_ends_at_a_straight_one() -> None:
    tail = angle_tail(torch.tensor([0.25, 1.0], dtype=torch.float64))
    assert ji20_transfer_risk(tail, math.pi / 2 - 0.25) == 1.0  # the edge itself counts
    assert ji20_transfer_risk(tail, math.pi / 2 - 0.26) == 0.5
    assert ji20_transfer_risk(tail, math.pi) == 1.0
    for angle in (-1e-3, math.pi + 1e-3, math.nan):
        with pytest.raises(ValueError, match="student_angle"):
            ji20_transfer_risk(tail, angle)


def test_the_average_over_oracles_at_its_ends() -> None:
    diagonal = torch.tensor([4.0, 4.0, 9.0]).double()
    assert float(average_transfer_risk(torch.zeros(3).double(), diagonal)) == 0.0
    assert float(average_transfer_risk(diagonal.sqrt(), diagonal)) == pytest.approx(0.5)
    assert float(average_transfer_risk(1.01 * diagonal.sqrt(), diagonal)) == pytest.approx(0.5)  # rounded up
    thirds = torch.tensor([1.0, 2.0, 0.0]).double()  # arcsin ½ and arcsin 1, over π
    assert float(average_transfer_risk(thirds, diagonal)) == pytest.approx((1 / 6 + 1 / 2) / 3)


def test_a_point_in_the_span_is_misjudged_half_the_time_only_where_its_value_is_zero() -> None:
    zero, small = torch.zeros(1).double(), torch.tensor([1e-12]).double()
    assert misjudging_probability(zero, zero).item() == 0.5
    assert misjudging_probability(zero, small).item() == 0.5
    assert misjudging_probability(small, zero).item() == 0.0
    assert misjudging_probability(-small, small).item() == misjudging_probability(small, small).item()


def test_inefficiency_is_of_the_mean_norm_and_not_of_its_logarithm() -> None:
    # E‖Δw‖ = 1, 2, 3: I(1) = ln 2, I(2) = 2 ln 3/2; the mean of the logarithms would give ½ ln 3 first.
    norms = torch.tensor([[1.0, 1.0, 2.0], [1.0, 3.0, 4.0]]).double()
    expected = [math.log(2), 2 * math.log(1.5)]
    assert data_inefficiency(norms).tolist() == pytest.approx(expected)
    assert data_inefficiency(norms.reshape(2, 1, 3)).tolist() == pytest.approx(expected)
    for first, second in itertools.pairwise((1.0, 7.0, 100.0)):  # no unit
        torch.testing.assert_close(data_inefficiency(first * norms), data_inefficiency(second * norms))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 2.0])
def test_inefficiency_of_a_power_of_n_is_the_power(exponent: float) -> None:
    norms = torch.arange(1.0, 2002.0, dtype=torch.float64)[None] ** exponent
    assert float(data_inefficiency(norms)[-1]) == pytest.approx(exponent, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_unseen_of_an_oracle_is_rounded_up_and_by_little(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    oracle = torch.tensor(3.0, dtype=dtype)
    seen = oracle * (1 - torch.tensor([0.0, eps, 100 * eps, 1e-3, 0.5, 1.0], dtype=torch.float64)).to(dtype)
    angles, unseen = projection_angle(seen, oracle)
    for square, angle, rest in zip(seen.tolist(), angles.tolist(), unseen.tolist(), strict=True):
        gap = 3 - Fraction(square)
        assert gap < Fraction(rest) ** 2 <= gap + Fraction(200 * eps)
        exact = math.asin(math.sqrt(float(gap) / 3))
        assert exact * (1 - 2 * eps) <= angle <= exact + 2 * math.sqrt(100 * eps)
    assert float(angles[-1]) == pytest.approx(math.pi / 2)
    with pytest.raises(ValueError, match="no projection is longer"):
        projection_angle(oracle * (1 + 2e4 * eps), oracle)


def test_shares_and_angles_keep_the_digits_of_their_type() -> None:
    # An angle of .3 is one of at least .3, and seven tenths of ten points are .7, in float64.
    for edge in (0.3, 0.7, 1.1):
        assert angle_tail(torch.tensor([edge], dtype=torch.float64))(edge) == 1.0
    angles = torch.linspace(0.05, 1.55, 10, dtype=torch.float64)
    tail = angle_tail(angles)
    assert [tail(angle) for angle in angles.tolist()] == [(10 - k) / 10 for k in range(10)]
    for count in range(11):
        wrong = torch.arange(10) < count
        assert float(transfer_risk(1 - 2 * wrong.double(), torch.ones(10).double())) == count / 10


@pytest.mark.parametrize("count", [0, 1, 3, 7, 9])
def test_the_bound_by_angles_in_a_curve_is_the_share_itself(count: int) -> None:
    # Seen (1, 1), oracle along the first axis: ᾱ = π/4; the points have angles of .2 or 1.2 with it.
    angles = torch.where(torch.arange(10) < count, 1.2, 0.2).double()
    fresh = torch.stack([angles.cos(), angles.sin()], 1)
    oracle = linear_function(torch.tensor([1.0, 0.0]).double())
    curve = transfer_curve(LinearKernel(), torch.ones(1, 2).double(), oracle, fresh, sizes=(1,))
    assert float(curve.ji_zhu) == count / 10


@pytest.mark.parametrize("seed", range(8))
def test_bounds_are_rounded_up_by_the_least_precise_of_what_is_given(seed: int) -> None:
    # What the students do not see of the oracle, 1e-6 along the last axis, is lost in float32.
    generator = torch.Generator().manual_seed(seed)
    seen, unseen = torch.randn(5, 5, generator=generator), torch.zeros(5, 1)
    weights = torch.cat([torch.randn(5, generator=generator), torch.tensor([1e-6])])
    fresh = torch.cat([torch.linalg.qr(weights[:5, None], mode="complete").Q.T[1:], torch.ones(4, 1)], 1)
    points = torch.cat([seen, unseen], 1)
    for oracle, inputs, others in itertools.product((weights, weights.double()), (points, points.double()), (
        fresh, fresh.double()
    )):  # fmt: skip
        if all(array.dtype == torch.float64 for array in (oracle, inputs, others)):
            continue
        curve = transfer_curve(LinearKernel(), inputs, linear_function(oracle), others, sizes=(5,))
        for bound in (curve.ji_zhu, curve.refined, curve.label_free):
            assert float(bound) == 1.0  # each of them may be wrong


def test_lengths_are_not_negative_and_shares_are_no_halves() -> None:
    one, less = torch.ones(2), torch.tensor([1.0, -1.0])
    for call in (
        lambda: power_function_transfer_risk(one, one, less, torch.tensor(1.0)),
        lambda: power_function_transfer_risk(one, one, one, torch.tensor(-1.0)),
        lambda: label_free_transfer_risk(one, one, torch.tensor(-1.0)),
        lambda: average_transfer_risk(less, one),
        lambda: misjudging_probability(one, less),
    ):
        with pytest.raises(ValueError, match=r"goes down to -1; give lengths"):
            call()
    third = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float16)
    assert float(transfer_risk(third, third.abs())) == pytest.approx(1 / 3, rel=1e-6)


def test_an_angle_within_its_rounding_of_the_edge_counts() -> None:
    tail = angle_tail(torch.tensor([0.5, 1.0], dtype=torch.float64))
    eps = torch.finfo(torch.float64).eps
    assert [tail(1.0 + shift * eps) for shift in (-1, 0, 2, 100)] == [0.5, 0.5, 0.5, 0.0]
    assert tail.upper(0.5, delta=0.1) == 1.0
    assert tail.upper(1.1, delta=0.4) == pytest.approx(math.sqrt(math.log(2.5) / 4))


def test_an_angle_at_the_edge_of_rounding_is_counted() -> None:
    edge = 1.0 - 4 * torch.finfo(torch.float64).eps
    assert angle_tail(torch.tensor([0.5, edge], dtype=torch.float64))(1.0) == 0.5
    assert angle_tail(torch.tensor([0.5, edge - 1e-15], dtype=torch.float64))(1.0) == 0.0


def test_a_student_that_says_zero_is_counted_whatever_the_projection_says() -> None:
    # x = (0, 1) is a point that was seen: P = ρ = 0, its projection is right, and the student was taught 0.
    axes, oracle = torch.eye(2).double(), linear_function(torch.tensor([1.0, 1.0]).double())
    curve = transfer_curve(
        LinearKernel(), axes, oracle, axes, sizes=(2,), targets=torch.tensor([1.0, 0.0]).double()
    )
    assert curve.risk.tolist() == [0.5]
    assert curve.refined.tolist() == [0.5]  # counted
    silent, projection = torch.zeros(3).double(), torch.tensor([-2.0, 0.5, 0.0]).double()
    found = power_function_transfer_risk(
        silent, projection, silent, torch.tensor(0.0).double(), projection=projection
    )
    assert float(found) == 1.0


def test_inefficiency_of_many_points_in_single_precision() -> None:
    norms = torch.arange(1, 200_001).double().sqrt().float()
    n = 2 ** torch.arange(4, 17)
    found = data_inefficiency(norms)
    exact = data_inefficiency(norms.double())
    assert found.dtype == torch.float32
    assert torch.allclose(found[n].double(), exact[n], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-4), (torch.float64, 3e-9)])
def test_the_angle_of_a_teacher_that_is_nearly_right_is_no_smaller_than_it_is(
    dtype: torch.dtype, off: float
) -> None:
    axes, right = torch.eye(3, dtype=dtype), torch.ones(3, dtype=dtype)
    taught = right + off * torch.tensor([1.0, -1.0, 0.0], dtype=dtype)
    curve = transfer_curve(LinearKernel(), axes, linear_function(right), axes, sizes=(3,), targets=taught)
    apart = (taught.double() - right.double()).norm() / right.double().norm()  # tan of the angle
    assert (
        float(apart.arctan())
        <= float(curve.angle)
        <= float(apart.arctan()) + 20 * torch.finfo(dtype).eps ** 0.5
    )
