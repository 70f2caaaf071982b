"""The search that tries to break inequalities: known maxima, awkward ratios, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from kdtheory.search import worst_case
from kdtheory.streams import Stream


def starts(count: int, dim: int) -> torch.Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=Stream(0).torch())


def test_cauchy_schwarz_is_attained_and_not_broken() -> None:
    def ratio(points):
        a, b = points[:, :3], points[:, 3:]
        return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))

    found = worst_case(ratio, starts(8, 6))
    assert 0.999 < found.ratio <= 1 + 1e-12
    assert float(ratio(found.witness[None])[0]) == pytest.approx(found.ratio, rel=1e-12)


def test_the_matrix_norm_is_found_as_a_ratio() -> None:
    matrix = starts(4, 4)
    found = worst_case(lambda x: (x @ matrix.T).norm(dim=-1) / x.norm(dim=-1), starts(10, 4))
    assert found.ratio == pytest.approx(float(torch.linalg.matrix_norm(matrix, ord=2)), rel=1e-6)


def test_a_broken_inequality_is_found() -> None:
    # sin x ≤ 0.9·x fails near 0 only; starts are far from there.
    found = worst_case(lambda x: x[:, 0].sin() / (0.9 * x[:, 0]), torch.full((1, 1), 2.0).double())
    assert found.ratio > 1.05


def test_many_starts_escape_a_local_maximum() -> None:
    def two_hills(x):
        return (-((x[:, 0] - 3) ** 2)).exp() + 2 * (-((x[:, 0] + 3) ** 2)).exp()

    near = worst_case(two_hills, torch.tensor([[2.5]]).double())
    many = worst_case(two_hills, torch.linspace(-6, 6, 13).double()[:, None])
    assert near.ratio == pytest.approx(1, abs=1e-6)
    assert many.ratio == pytest.approx(2, abs=1e-6)


def test_the_best_point_visited_counts_and_lost_attempts_do_not() -> None:
    # The square root leaves its domain as the points climb: the last values are NaN.
    found = worst_case(lambda x: x[:, 0] + 0 * (1 - x[:, 0]).sqrt(), torch.tensor([[0.0], [5.0]]).double())
    assert 0.8 < found.ratio <= 1
    assert (found.attempts, found.lost) == (2, 1)


def test_the_same_starts_give_the_same_answer() -> None:
    first, second = (worst_case(lambda x: -x.square().sum(-1), starts(3, 2)) for _ in range(2))
    assert first.ratio == second.ratio
    assert torch.equal(first.witness, second.witness)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="starts has shape"):
        worst_case(lambda x: x[:, 0], torch.zeros(0, 1))
    with pytest.raises(ValueError, match="starts holds 1 NaN"):
        worst_case(lambda x: x[:, 0], torch.tensor([[math.nan]]))
    with pytest.raises(ValueError, match="ratio is not finite"):
        worst_case(lambda x: x[:, 0] / 0, torch.ones(2, 1))
    with pytest.raises(ValueError, match="steps = 0"):
        worst_case(lambda x: x[:, 0], torch.ones(2, 1), steps=0)
    with pytest.raises(ValueError, match="learning_rate = 0"):
        worst_case(lambda x: x[:, 0], torch.ones(2, 1), learning_rate=0.0)
