"""Students, angles, bounds and curves against explicit feature maps and separate solves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import distance_to_span, projected_student
from scipy import integrate, stats
from torch.func import functional_call, jacrev

from kdtheory.networks import MLP
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP
from kdtheory.ntk.linear import LinearKernel
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    KernelFunction,
    acute_angles,
    angle_between,
    angle_tail,
    average_transfer_risk,
    data_inefficiency,
    dkw_width,
    flipped_teacher,
    interpolant,
    isotropic_angle_tail,
    ji20_transfer_risk,
    linear_function,
    misjudging_probability,
    nested_students,
    power_function_transfer_risk,
    projection_angle,
    transfer_curve,
    transfer_risk,
)

KERNEL = InfiniteMLP(1, weight_std=2**0.5)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nested_students_equal_least_squares_on_explicit_features() -> None:
    features, fresh, targets = drawn(12, 30), drawn(5, 30, seed=1), drawn(12, seed=2)
    kernel, sizes = LinearKernel(), (1, 3, 7, 12)
    students = nested_students(
        kernel(features), targets, kernel(features, fresh), kernel.diagonal(fresh), sizes=sizes
    )
    for place, n in enumerate(sizes):
        weights = projected_student(features[:n], targets[:n])
        torch.testing.assert_close(students.outputs[place, :, 0], fresh @ weights)
        torch.testing.assert_close(students.squared_norms[place, 0], weights.square().sum())
        distances = [distance_to_span(x, features[:n]) for x in fresh]
        assert students.power[place].tolist() == pytest.approx(distances, rel=1e-9)


def test_tangent_kernel_of_a_network_goes_through_the_same_door_as_its_features() -> None:
    shape = MLP((3, 20, 1), activation="tanh")
    net = shape.module(shape.init(Stream(0), members=1, dtype=torch.float64), 0)
    params = {name: p.detach() for name, p in net.named_parameters()}

    def features(points: torch.Tensor) -> torch.Tensor:
        parts = jacrev(lambda p: functional_call(net, p, (points,))[:, 0])(params)
        return torch.cat([part.flatten(1) for part in parts.values()], 1)

    inputs, fresh, anchors, weights = drawn(12, 3), drawn(40, 3, seed=1), drawn(2, 3, seed=2), drawn(2)
    sizes = (2, 5, 12)
    tangent = transfer_curve(
        kernel := EmpiricalKernel(net),
        inputs,
        KernelFunction(kernel, anchors, weights),
        fresh,
        sizes=sizes,
    )
    linear = LinearKernel()
    oracle = KernelFunction(linear, features(anchors), weights)
    explicit = transfer_curve(linear, features(inputs), oracle, features(fresh), sizes=sizes)
    pd.testing.assert_frame_equal(tangent.to_frame(), explicit.to_frame(), rtol=1e-6, atol=1e-6)
    assert tangent.to_frame()["risk"].max() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nested_students_equal_separate_solves(dtype: torch.dtype) -> None:
    points, fresh, targets = drawn(60, 8).to(dtype), drawn(9, 8, seed=1).to(dtype), drawn(60, 2).to(dtype)
    gram, cross, diagonal = KERNEL(points), KERNEL(points, fresh), KERNEL.diagonal(fresh)
    students = nested_students(gram, targets, cross, diagonal, sizes=(5, 20, 60))
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    for place, n in enumerate((5, 20, 60)):
        solved = torch.linalg.solve(gram[:n, :n].double(), targets[:n].double())
        expected = cross[:n].double().T @ solved
        torch.testing.assert_close(students.outputs[place].double(), expected, rtol=0, atol=tolerance)
        inner = students.inner(0, 1)[place]
        assert float(inner) == pytest.approx(
            float(targets[:n, 0].double() @ solved[:, 1]), abs=100 * tolerance
        )
    assert students.outputs.dtype == dtype
    for bad in (2, -1, 10**30):
        with pytest.raises(ValueError, match=f"second = {bad} must be the number of a label set, 0 to 1"):
            students.inner(0, bad)


def test_every_kernel_has_the_same_door() -> None:
    points, fresh = drawn(20, 3), drawn(50, 3, seed=1)
    for kernel in (
        KERNEL,
        InfiniteMLP(2, "erf", bias_std=0.3),
        InfiniteMLP(1, weight_std=2**0.5, kind="nngp"),
    ):
        oracle = KernelFunction(kernel, drawn(4, 3, seed=2), drawn(4, seed=3))
        curve = transfer_curve(kernel, points, oracle, fresh, sizes=(4, 20))
        assert bool((curve.risk <= curve.refined).all())
        assert bool((curve.refined <= curve.ji_zhu).all())
        assert bool((curve.risk <= curve.label_free).all())


@settings(deadline=None, max_examples=30)  # compiled code is loaded by the first
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12))
def test_chain_of_bounds_holds_for_every_draw(seed: int, n: int) -> None:
    points, fresh = drawn(n, 3, seed=seed), drawn(40, 3, seed=seed + 1)
    oracle = KernelFunction(KERNEL, drawn(3, 3, seed=seed + 2), drawn(3, seed=seed + 3))
    curve = transfer_curve(KERNEL, points, oracle, fresh, sizes=(n,))
    assert float(curve.risk) <= float(curve.refined) <= float(curve.ji_zhu)
    assert float(curve.refined) <= float(curve.label_free)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_bounds_hold_for_an_imperfect_teacher(seed: int, share: float) -> None:
    points, fresh = drawn(10, 3, seed=seed), drawn(40, 3, seed=seed + 1)
    oracle = KernelFunction(KERNEL, drawn(3, 3, seed=seed + 2), drawn(3, seed=seed + 3))
    targets = flipped_teacher(oracle(points), share=share, stream=Stream(seed))
    curve = transfer_curve(KERNEL, points, oracle, fresh, sizes=(3, 10), targets=targets)
    assert bool((curve.risk <= curve.refined).all())
    assert bool((curve.risk <= curve.ji_zhu).all())
    students = [interpolant(KERNEL, points[:n], targets[:n]) for n in (3, 10)]
    for angle, norm, student in zip(curve.angle, curve.norm, students, strict=True):
        assert float(angle) == pytest.approx(float(angle_between(student, oracle)), abs=1e-6)
        assert float(norm) == pytest.approx(float(student.squared_norm) ** 0.5, rel=1e-8)


def test_refined_bound_is_attained() -> None:
    # One point seen; a fresh feature whose unseen part lies exactly along what is unseen of the oracle.
    oracle = linear_function(torch.tensor([1.0, -2.0], dtype=torch.float64))
    seen = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    fresh = torch.tensor([[1.0, 1.0], [1.0, 0.2]], dtype=torch.float64)
    curve = transfer_curve(LinearKernel(), seen, oracle, fresh, sizes=(1,))
    assert float(curve.risk) == float(curve.refined) == 0.5
    assert float(curve.label_free) == 0.5


def test_bound_by_angles_is_attained_on_a_slab() -> None:
    # All points at angle ᾱ_n from the boundary, on the student's wrong side.
    oracle, seen = torch.tensor([1.0, -1.0]).double(), torch.tensor([[1.0, 0.0]]).double()
    fresh = torch.tensor([[0.01, 1.0], [-0.01, -1.0]]).double()
    curve = transfer_curve(LinearKernel(), seen, linear_function(oracle), fresh, sizes=(1,))
    assert float(curve.risk) == float(curve.ji_zhu) == 1.0


def test_jitter_is_the_kernel_with_more_on_its_diagonal() -> None:
    points, fresh = drawn(9, 3), drawn(40, 3, seed=1)
    repeated = torch.cat([points, points])
    oracle = KernelFunction(KERNEL, drawn(4, 3, seed=2), drawn(4, seed=3))
    with pytest.raises(ValueError, match="row 9 lies in the span"):
        transfer_curve(KERNEL, repeated, oracle, fresh, sizes=(18,))
    curve = transfer_curve(KERNEL, repeated, oracle, fresh, sizes=(9, 18), jitter=0.01)
    assert bool((curve.risk <= curve.refined).all() and (curve.refined <= curve.ji_zhu).all())
    gram = KERNEL(repeated)
    ridge = gram + 0.01 * gram.diagonal().mean() * torch.eye(18)
    weights = torch.linalg.solve(ridge, oracle(repeated))
    assert float(curve.norm[1]) == pytest.approx(float((oracle(repeated) @ weights).sqrt()), rel=1e-9)


def test_angles_equal_those_of_explicit_features() -> None:
    weights, points = drawn(7), drawn(30, 7, seed=1)
    expected = ((points @ weights).abs() / (points.norm(dim=1) * weights.norm())).arccos()
    torch.testing.assert_close(acute_angles(linear_function(weights), points), expected)
    other = drawn(7, seed=2)
    cosine = float(weights @ other / (weights.norm() * other.norm()))
    assert float(angle_between(linear_function(weights), linear_function(other))) == pytest.approx(
        math.acos(cosine)
    )


def test_tail_counts_angles_at_the_edge() -> None:
    tail = angle_tail(torch.tensor([0.5, 0.5, 1.0, 1.2]))
    assert [tail(b) for b in (0.0, 0.5, 0.6, 1.2, 1.3)] == [1, 1, 0.5, 0.25, 0]
    assert tail.upper(1.2, delta=0.5) == pytest.approx(0.25 + math.sqrt(math.log(2) / 8))
    assert dkw_width(50, delta=0.9) == dkw_width(50, delta=0.5)


@pytest.mark.parametrize("dim", [2, 5, 60])
def test_isotropic_tail_equals_the_integral_over_the_sphere(dim: int) -> None:
    for beta in (0.2, 0.9, 1.5):
        upper, _ = integrate.quad(lambda t: math.sin(t) ** (dim - 2), beta, math.pi / 2)
        whole, _ = integrate.quad(lambda t: math.sin(t) ** (dim - 2), 0, math.pi / 2)
        assert float(isotropic_angle_tail(beta, dim=dim)) == pytest.approx(upper / whole, rel=1e-8)


def test_average_risk_is_the_mean_over_oracles() -> None:
    features, fresh = drawn(4, 8), drawn(6, 8, seed=1)
    oracles = drawn(40_000, 8, seed=2)
    students = oracles @ torch.linalg.pinv(features).mm(features)
    risks = transfer_risk(students @ fresh.T, oracles @ fresh.T)
    power = torch.tensor([distance_to_span(x, features) for x in fresh], dtype=torch.float64)
    expected = float(average_transfer_risk(power, fresh.square().sum(-1)))
    error = float(risks.std()) / len(risks) ** 0.5
    assert float(risks.mean()) == pytest.approx(expected, abs=4.5 * error)
    assert error < 0.01 * expected


def test_misjudging_probability_is_the_normal_tail() -> None:
    values, power = drawn(20), drawn(20, seed=1).abs()
    expected = stats.norm.sf((values.abs() / power).numpy())
    np.testing.assert_allclose(misjudging_probability(values, power).numpy(), expected, rtol=1e-12)
    zero = torch.zeros(2, dtype=torch.float64)
    assert misjudging_probability(torch.tensor([0.0, 1.0]).double(), zero).tolist() == [0.5, 0.0]


def test_projection_angle_keeps_small_angles() -> None:
    one = torch.tensor(1.0, dtype=torch.float64)
    angle, unseen = projection_angle(one - 1e-10, one)
    assert float(angle) == pytest.approx(1e-5, rel=1e-3)
    assert float(unseen) >= math.sqrt(1e-10) * (1 - 1e-6)
    assert float(projection_angle(one, one)[0]) > 0  # rounded up, so that a bound stays one


def test_inefficiency_of_independent_labels_is_a_half() -> None:
    features = drawn(40, 400, 400)  # nearly orthogonal after scaling: ‖Δw_n‖² grows like n
    norms = torch.stack([row.cumsum(0).sqrt() for row in features[:, 0].square()])
    late = data_inefficiency(norms)[50:].mean()
    assert float(late) == pytest.approx(0.5, abs=0.05)


def test_flipped_teacher_flips_its_share() -> None:
    logits = drawn(20_000)
    flipped = flipped_teacher(logits, share=0.3, stream=Stream(0))
    assert torch.equal(flipped.abs(), logits.abs())
    assert float((flipped != logits).double().mean()) == pytest.approx(0.3, abs=4.5 * (0.21 / 20_000) ** 0.5)


def test_ji_zhu_beyond_a_right_angle_is_one() -> None:
    assert ji20_transfer_risk(angle_tail(torch.tensor([0.3])), 3.0) == 1.0


GRAM, LABELS, CROSS, DIAG = torch.eye(3), torch.ones(3), torch.ones(3, 2), torch.ones(2)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: nested_students(GRAM, LABELS, CROSS, DIAG, sizes=()), "sizes is empty"),
        (lambda: nested_students(GRAM, LABELS, CROSS, DIAG, sizes=(2, 1)), "must ascend"),
        (lambda: nested_students(GRAM, LABELS, CROSS, DIAG, sizes=(4,)), "within the 3"),
        (lambda: nested_students(GRAM, LABELS, CROSS, DIAG, sizes=(0, 1)), "sizes = 0"),
        (lambda: nested_students(GRAM, LABELS[:2], CROSS, DIAG, sizes=(1,)), "targets has shape"),
        (lambda: nested_students(GRAM, LABELS, CROSS[:2], DIAG, sizes=(1,)), "cross has shape"),
        (lambda: nested_students(GRAM, LABELS, CROSS, DIAG[:1], sizes=(1,)), "diagonal has shape"),
        (lambda: nested_students(GRAM, LABELS * math.nan, CROSS, DIAG, sizes=(1,)), "targets holds"),
        (
            lambda: nested_students(torch.ones(3, 3), LABELS, CROSS, DIAG, sizes=(3,)),
            "row 1 lies in the span",
        ),
        (lambda: nested_students(-GRAM, LABELS, CROSS, DIAG, sizes=(3,)), "not positive definite"),
        (lambda: interpolant(LinearKernel(), torch.zeros(2, 3), torch.ones(2)), "row 0"),
        (lambda: interpolant(LinearKernel(), GRAM, torch.ones(2)), "targets has shape"),
        (lambda: LinearKernel()(GRAM * math.inf), "rows holds"),
        (lambda: LinearKernel()(torch.ones(1, 1).expand(10_000_000, 1)), "fill_gram"),
        (lambda: KernelFunction(LinearKernel(), GRAM, torch.ones(2)), "coefficients has shape"),
        (lambda: acute_angles(linear_function(LABELS), torch.zeros(1, 3)), "norm zero"),
        (lambda: angle_between(linear_function(LABELS), linear_function(0 * LABELS)), "norm zero"),
        (lambda: angle_tail(torch.tensor([2.0])), "acute angles"),
        (lambda: angle_tail(torch.tensor([math.nan])), "angles holds"),
        (lambda: dkw_width(0, delta=0.1), "points = 0"),
        (lambda: dkw_width(5, delta=1.0), "delta = 1"),
        (lambda: isotropic_angle_tail(2.0, dim=3), "beta"),
        (lambda: isotropic_angle_tail(1.0, dim=1), "dim = 1"),
        (lambda: projection_angle(2 * LABELS, torch.tensor(1.0)), "no projection is longer"),
        (lambda: ji20_transfer_risk(lambda _: 1.0, 4.0), "student_angle = 4"),
        (lambda: transfer_risk(LABELS, DIAG), "same"),
        (lambda: power_function_transfer_risk(LABELS, LABELS, DIAG, torch.tensor(1.0)), "same"),
        (lambda: average_transfer_risk(DIAG, 0 * DIAG), "feature is zero"),
        (lambda: data_inefficiency(torch.zeros(2, 3)), "norms must be positive"),
        (lambda: flipped_teacher(LABELS, share=1.5, stream=Stream(0)), "share = 1.5"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()


def test_bound_by_angles_keeps_its_digits():
    """Attained: all fresh points on the far side of the boundary, as many wrong as the bound says."""
    angles = torch.linspace(0.01, 1.5, 300, dtype=torch.float64)
    fresh, seen = (
        torch.stack([angles.cos(), -angles.sin()], 1),
        torch.tensor([[0.5, 0.3]], dtype=torch.float64),
    )
    curve = transfer_curve(
        LinearKernel(), seen, linear_function(torch.eye(2, dtype=torch.float64)[0]), fresh, sizes=(1,)
    )
    assert 0 < float(curve.risk) == float(curve.ji_zhu) < 1
