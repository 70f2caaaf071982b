"""Rademacher complexity: loops over signs, closed forms, contraction, what it bounds; speed and bad input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from kdtheory.bounds.complexity import (
    l1_linear_complexity,
    l2_linear_complexity,
    massart00_finite_class,
    maurer16_vector_contraction,
    talagrand_contraction,
    vector_linear_complexity,
)
from kdtheory.bounds.deviation import bartlett02_deviation, bartlett02_deviation_radius, hoeffding63_radius
from kdtheory.bounds.rademacher import (
    exact_rademacher,
    finite_class,
    linear_class,
    sampled_rademacher,
    vector_linear_class,
)
from kdtheory.streams import Stream


def randn(*shape: int, name: str = "x") -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Stream(0).child(name).torch())


def by_loops(values: torch.Tensor) -> float:
    """The same by three nested loops."""
    functions, n = values.shape
    total = 0.0
    for signs in itertools.product((-1.0, 1.0), repeat=n):
        total += max(sum(signs[i] * float(values[h, i]) for i in range(n)) for h in range(functions))
    return total / 2**n / n


def test_enumeration_is_the_loop() -> None:
    values = randn(4, 7)
    assert exact_rademacher(finite_class(values), 7) == pytest.approx(by_loops(values), rel=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_linear_classes_are_the_limit_of_finite_ones(norm: str) -> None:
    points = randn(6, 2)
    angles = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)
    weights = torch.stack([angles.cos(), angles.sin()], -1)
    weights = 2 * weights / weights.norm(1 if norm == "l1" else 2, dim=-1, keepdim=True)
    dense = exact_rademacher(finite_class(weights @ points.T), 6)
    exact = exact_rademacher(linear_class(points, radius=2.0, norm=norm), 6)
    assert dense <= exact + 1e-12
    assert dense == pytest.approx(exact, rel=1e-5)


def test_vector_class_by_loops() -> None:
    points, total = randn(3, 2), 0.0
    for signs in itertools.product((-1.0, 1.0), repeat=6):
        matrix = torch.zeros(2, 2, dtype=torch.float64)
        for i, j in itertools.product(range(3), range(2)):
            matrix[j] += signs[2 * i + j] * points[i]
        total += 1.5 * float(matrix.norm())
    found = exact_rademacher(vector_linear_class(points, radius=1.5, outputs=2), 6, points=3)
    assert found == pytest.approx(total / 2**6 / 3, rel=1e-12)


def test_sampling_agrees_within_its_standard_error() -> None:
    values = randn(5, 12)
    exact = exact_rademacher(finite_class(values), 12)
    found = sampled_rademacher(finite_class(values), 12, draws=20_000, stream=Stream(1))
    assert abs(found.value - exact) < 4 * found.standard_error
    assert found.low < found.value < found.high
    assert found.standard_error < 0.01 * exact


def test_interval_covers_at_its_confidence() -> None:
    values = randn(3, 6)
    exact = exact_rademacher(finite_class(values), 6)
    hits = 0
    for trial in range(400):
        found = sampled_rademacher(
            finite_class(values), 6, draws=200, stream=Stream(2).child(trial), confidence=0.9
        )
        hits += found.low <= exact <= found.high
    assert 0.84 < hits / 400 < 0.96  # four standard errors of a 90 per cent coin


def test_the_standard_error_of_two_draws_is_half_their_distance() -> None:
    found = sampled_rademacher(lambda _: torch.tensor([0.0, 3.0]), 1, draws=2, stream=Stream(0))
    assert (found.value, found.standard_error) == pytest.approx((1.5, 1.5))


def test_sampling_is_pure_and_its_blocks_need_not_divide_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = randn(3, 16)
    whole = sampled_rademacher(finite_class(values), 16, draws=5000, stream=Stream(0))
    assert whole == sampled_rademacher(finite_class(values), 16, draws=5000, stream=Stream(0))
    monkeypatch.setattr("kdtheory.bounds.rademacher._NUMBERS_AT_ONCE", 16 * 77)
    blocks = sampled_rademacher(finite_class(values), 16, draws=5000, stream=Stream(0))
    assert blocks.draws == 5000
    assert abs(blocks.value - whole.value) < 6 * whole.standard_error


def test_single_precision_agrees() -> None:
    values = randn(4, 50)
    single = sampled_rademacher(finite_class(values), 50, draws=500, stream=Stream(3), dtype=torch.float32)
    double = sampled_rademacher(finite_class(values), 50, draws=500, stream=Stream(3))
    assert single.value == pytest.approx(double.value, rel=1e-5)


def test_closed_forms_hold_and_are_tight_where_they_should_be() -> None:
    points = randn(8, 5)
    orthogonal = torch.linalg.qr(randn(8, 8, name="q"))[0]
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=8)), dtype=torch.float64)
    for inputs, least in ((points, 0.9), (orthogonal, 1 - 1e-12)):
        exact = exact_rademacher(linear_class(inputs, radius=3.0), 8)
        assert least * l2_linear_complexity(inputs, radius=3.0) <= exact
        assert exact <= l2_linear_complexity(inputs, radius=3.0) * (1 + 1e-12)
    cube = corners.T
    exact = exact_rademacher(linear_class(cube, radius=1.0, norm="l1"), 8)
    assert 0.7 * l1_linear_complexity(cube, radius=1.0) < exact < l1_linear_complexity(cube, radius=1.0)
    exact = exact_rademacher(finite_class(corners), 8)
    assert 0.8 * massart00_finite_class(corners) < exact < massart00_finite_class(corners)
    exact = exact_rademacher(vector_linear_class(points[:5], radius=2.0, outputs=2), 10, points=5)
    bound = vector_linear_complexity(points[:5], radius=2.0, outputs=2)
    assert 0.9 * bound < exact < bound


def test_a_single_function_has_no_complexity() -> None:
    assert exact_rademacher(finite_class(randn(1, 9)), 9) == pytest.approx(0, abs=1e-15)
    assert massart00_finite_class(randn(1, 9)) == 0.0


def test_contraction_holds_and_is_attained() -> None:
    values = randn(6, 8)
    whole = exact_rademacher(finite_class(values), 8)
    for contracted in (values.tanh(), values.abs(), values.clamp(-0.3, 1.0), values.sin()):
        assert exact_rademacher(finite_class(2 * contracted), 8) <= talagrand_contraction(
            whole, lipschitz=2.0
        )
    assert talagrand_contraction(whole, lipschitz=1.0) == whole
    pair = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    vector = exact_rademacher(finite_class(pair), 2, points=1)
    through = exact_rademacher(finite_class(pair.sum(-1, keepdim=True)), 1)
    assert through == pytest.approx(maurer16_vector_contraction(vector, lipschitz=math.sqrt(2)), rel=1e-12)


def test_uniform_deviation_adds_up_and_is_monotone() -> None:
    values = torch.tensor([0.0, 1.0, 0.5, 0.5], dtype=torch.float64).repeat(100)
    bound = bartlett02_deviation(
        values, complexity=0.05, delta=0.1, fixed_in_advance=True, independent_draws=True
    )
    assert bound.value == pytest.approx(0.5 + 0.1 + 3 * math.sqrt(math.log(20) / 800), rel=1e-12)
    assert bound.certificate
    assert not bound.vacuous
    assert not bartlett02_deviation(
        values, complexity=0.05, delta=0.1, fixed_in_advance=False, independent_draws=True
    ).certificate
    base = bartlett02_deviation_radius(0.1, n=100, delta=0.1)
    assert bartlett02_deviation_radius(0.1, n=200, delta=0.1) < base
    assert bartlett02_deviation_radius(0.1, n=100, delta=0.01) > base
    assert bartlett02_deviation_radius(0.2, n=100, delta=0.1) > base
    assert hoeffding63_radius(100, delta=0.1) < hoeffding63_radius(50, delta=0.1)


def test_needed_size_is_where_the_bound_starts_to_speak() -> None:
    values = torch.full((50,), 0.2, dtype=torch.float64)
    bound = bartlett02_deviation(
        values, complexity=0.5, delta=0.05, fixed_in_advance=True, independent_draws=True
    )
    assert bound.vacuous
    assert bound.needed is not None

    def at(n: int) -> float:
        return 0.2 + bartlett02_deviation_radius(0.5 * math.sqrt(50 / n), n=n, delta=0.05)

    assert at(bound.needed) < 1 <= at(bound.needed - 1)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="signs = 21"):
        exact_rademacher(finite_class(randn(2, 21)), 21)
    with pytest.raises(ValueError, match="draws = 1"):
        sampled_rademacher(finite_class(randn(2, 3)), 3, draws=1, stream=Stream(0))
    with pytest.raises(ValueError, match="confidence"):
        sampled_rademacher(finite_class(randn(2, 3)), 3, draws=9, stream=Stream(0), confidence=1.0)
    with pytest.raises(ValueError, match="values has shape"):
        finite_class(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="inputs holds 1 NaN"):
        linear_class(torch.tensor([[math.nan]]), radius=1.0)
    with pytest.raises(ValueError, match="radius = 0"):
        l2_linear_complexity(randn(2, 2), radius=0.0)
    with pytest.raises(ValueError, match="norm = 'l3'"):
        linear_class(randn(2, 2), radius=1.0, norm="l3")
    with pytest.raises(ValueError, match="outputs = 0"):
        vector_linear_complexity(randn(2, 2), radius=1.0, outputs=0)
    with pytest.raises(ValueError, match="complexity = -1"):
        bartlett02_deviation_radius(-1.0, n=3, delta=0.1)
    with pytest.raises(ValueError, match="complexity = nan"):
        talagrand_contraction(math.nan, lipschitz=1.0)
    with pytest.raises(ValueError, match="lipschitz"):
        maurer16_vector_contraction(1.0, lipschitz=0.0)
    with pytest.raises(ValueError, match="values"):
        bartlett02_deviation(
            torch.tensor([2.0]), complexity=0.1, delta=0.1, fixed_in_advance=True, independent_draws=True
        )


def test_suprema_of_half_precision_stay_in_range() -> None:
    """60,000 is a number of half precision, and ten of it are not."""
    values = torch.full((10, 1), 60_000.0, dtype=torch.half)
    wide = values.double()
    classes = (
        (lambda v: finite_class(torch.cat([v, -v], 1).T), 10),
        (lambda v: linear_class(v, radius=2.0), 10),
        (lambda v: vector_linear_class(v[:5], radius=2.0, outputs=2), 10),
    )
    for make, signs in classes:
        exact = exact_rademacher(make(wide), signs)
        assert exact_rademacher(make(values), signs) == pytest.approx(exact, rel=1e-3)
