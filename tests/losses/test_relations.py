"""Losses on relations against explicit loops, published conventions and their own laws."""

from __future__ import annotations

import doctest
import importlib
import math
from functools import partial

import naive_losses as naive
import pytest
import torch
from torch import nn

from kdtheory.losses import relations as library
from kdtheory.losses.relations import (
    angle_potentials,
    correlation_congruence,
    correlation_kernel,
    distance_potentials,
    flow_matrix,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    row_similarities,
    similarity_preserving,
    similarity_probs,
)

F64 = torch.float64
RIVALS = {
    "distance": (relational_distance_loss, naive.relational_distance),
    "angle": (relational_angle_loss, naive.relational_angle),
    "similarity": (similarity_preserving, naive.similarity_preserving),
    "congruence": (correlation_congruence, partial(naive.correlation_congruence, gamma=0.4, order=2)),
    "kernel": (
        partial(correlation_congruence, gamma=1.5, order=None),
        partial(naive.correlation_congruence, gamma=1.5, order=None),
    ),
    "transfer": (probabilistic_transfer, partial(naive.probabilistic_transfer, with_itself=False)),
    "with itself": (
        partial(probabilistic_transfer, with_itself=True),
        partial(naive.probabilistic_transfer, with_itself=True),
    ),
}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("module", ["flow", "relational", "similarity"])
def test_the_examples_of_the_docstrings_hold(module):
    assert doctest.testmod(importlib.import_module(f"{library.__name__}.{module}")).failed == 0


@pytest.mark.parametrize("name", RIVALS)
def test_each_loss_is_its_loop_for_any_two_widths(name):
    loss, rival = RIVALS[name]
    student, teacher = drawn(6, 3, seed=1), drawn(6, 2, 2, 2, seed=2)
    assert float(loss(student, teacher)) == pytest.approx(rival(student, teacher), rel=1e-10)


@pytest.mark.parametrize("name", RIVALS)
def test_each_loss_is_zero_at_home_and_has_right_gradients(name):
    loss, _ = RIVALS[name]
    student, teacher = drawn(5, 3, seed=1).requires_grad_(), drawn(5, 4, seed=2)
    assert float(loss(student, student.detach().clone()).detach()) == pytest.approx(0, abs=1e-15)
    assert torch.autograd.gradcheck(partial(loss), (student, teacher))


def test_the_means_of_published_code_are_multiples():
    student, teacher = drawn(6, 3, seed=1), drawn(6, 3, seed=2)
    pairs = nn.functional.smooth_l1_loss(distance_potentials(student), distance_potentials(teacher))
    torch.testing.assert_close(pairs, relational_distance_loss(student, teacher) * 5 / 6)
    triples = nn.functional.smooth_l1_loss(angle_potentials(student), angle_potentials(teacher))
    torch.testing.assert_close(triples, relational_angle_loss(student, teacher) * 5 * 4 / 36)


def test_examples_that_coincide_have_finite_losses_and_gradients():
    student = drawn(5, 3, seed=1)
    student[1] = student[0]
    student.requires_grad_()
    for loss in (relational_distance_loss, relational_angle_loss):
        value = loss(student, drawn(5, 3, seed=2))
        assert torch.isfinite(torch.autograd.grad(value, student)[0]).all()
    rows = student.detach()
    assert float(relational_distance_loss(rows, drawn(5, 3, seed=2))) == pytest.approx(
        naive.relational_distance(rows, drawn(5, 3, seed=2)), rel=1e-12
    )
    assert float(relational_angle_loss(rows, drawn(5, 3, seed=2))) == pytest.approx(
        naive.relational_angle(rows, drawn(5, 3, seed=2)), rel=1e-12
    )


def test_float32_distances_of_near_points_are_not_lost():
    far = torch.tensor([[1000.0], [1000.001], [1001.0]])
    exact = far.double()
    torch.testing.assert_close(
        distance_potentials(far).double(), distance_potentials(exact), rtol=1e-5, atol=1e-6
    )


def test_the_taylor_series_tends_to_the_kernel():
    features = drawn(4, 3)
    exact = correlation_kernel(features, gamma=0.4, order=None)
    errors = [float((correlation_kernel(features, order=p) - exact).abs().max()) for p in (1, 2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12
    # Lagrange: |2γ cos|^{P+1}/(P+1)!, at most 0.8³/6 at P = 2.
    assert errors[1] <= 0.8**3 / 6


def test_flow_matrices_are_their_loops_and_sizes_meet():
    sides = [(drawn(3, 2, 2, 3, seed=s), drawn(3, 4, 2, 3, seed=s + 1)) for s in (1, 3)]
    expected = naive.flow_matrix_loss(*sides)
    assert float(flow_matrix_loss(*sides)) == pytest.approx(expected, rel=1e-12)
    large, small = drawn(2, 3, 4, 4, seed=5), drawn(2, 2, 2, 2, seed=6)
    pooled = nn.functional.avg_pool2d(large, 2)
    torch.testing.assert_close(flow_matrix(large, small), flow_matrix(pooled, small))


def test_neighbour_chances_sum_to_one_and_rows_have_norm_one():
    features = drawn(6, 3)
    ones = torch.ones(6, dtype=F64)
    for with_itself in (False, True):
        torch.testing.assert_close(similarity_probs(features, with_itself=with_itself).sum(1), ones)
    torch.testing.assert_close(row_similarities(features).norm(dim=1), ones)


def test_an_opposite_neighbour_costs_a_finite_sum():
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=F64)
    value = float(probabilistic_transfer(opposite, torch.ones(3, 2, dtype=F64)))
    # Two rows (0, 1) against (½, ½): ½ ln(½/10⁻⁷) + ½ ln ½ each; the third agrees.
    assert value == pytest.approx(2 / 3 * (0.5 * math.log(0.5e7) + 0.5 * math.log(0.5)), rel=1e-9)


Z = torch.arange(12.0).reshape(4, 3)
M = torch.zeros(2, 3, 2, 2)
OPPOSITE = torch.tensor([1.0, -1.0, -2.0, -0.3])[:, None] * drawn(1, 7, seed=3).float()
BAD = {
    "batches": (lambda: similarity_preserving(Z, Z[:2]), "b = 4 in student_features"),
    "one example": (lambda: relational_distance_loss(Z[:1], Z[:1]), "at least 2"),
    "two examples": (lambda: relational_angle_loss(Z[:2], Z[:2]), "at least 3"),
    "all alike": (lambda: relational_distance_loss(0 * Z, Z), "no distance is positive"),
    "NaN": (lambda: probabilistic_transfer(Z * torch.nan, Z), "student_features holds 12 NaN"),
    "gamma": (lambda: correlation_congruence(Z, Z, gamma=0.0), "gamma = 0"),
    "order": (lambda: correlation_congruence(Z, Z, order=-1), "order = -1"),
    "factorials": (lambda: correlation_kernel(Z, order=171), "order = 171 at gamma = 0.4"),
    "powers": (lambda: correlation_kernel(Z, gamma=300.0, order=150), "order = 150 at gamma = 300"),
    "opposite": (lambda: similarity_probs(torch.tensor([[1.0], [-1.0]])), "opposite to all others"),
    "opposite by rounding": (lambda: similarity_probs(OPPOSITE), "opposite to all others"),
    "no maps": (lambda: flow_matrix(Z, Z), "first has shape"),
    "flow batches": (lambda: flow_matrix(M, M[:1]), "b = 2 in first"),
    "flow widths": (lambda: flow_matrix_loss((M, M), (M, M[:, :1])), "the student's flow matrix"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(RIVALS.keys() - {"distance"}))  # torch has none of its distances
def test_second_derivatives_are_finite_where_features_vanish_or_coincide(name):
    loss, teacher = RIVALS[name][0], drawn(5, 3, seed=7)
    student = drawn(5, 4, seed=8)
    student[1], student[3] = student[0], 0.0
    student.requires_grad_()
    (slope,) = torch.autograd.grad(loss(student, teacher), student, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), student)
    assert bool(torch.isfinite(curvature).all())


@pytest.mark.parametrize("width", [3, 100, 10_000])
def test_chances_are_not_negative_beside_opposites(width):
    features = drawn(1, width, seed=width).float() * torch.linspace(-3.0, 3.0, 16)[:, None]
    assert bool((similarity_probs(features) >= 0).all())
    assert bool((similarity_probs(features, with_itself=True)[0, 8:] == 0).all())
