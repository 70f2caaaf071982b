"""The parabola of a distilled gradient's variance, by enumeration with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdtheory.risk import variance_reduction
from kdtheory.streams import Stream


def test_the_parabola_is_that_of_the_covariance_matrices() -> None:
    generator = Stream(0).torch()
    a, b = torch.randn(2, 9, 3, dtype=torch.float64, generator=generator)
    weights = torch.rand(9, dtype=torch.float64, generator=generator)
    weights = weights / weights.sum()
    found = variance_reduction(a, b, weights)
    grid = np.linspace(-2, 3, 101)
    by_numpy = [np.trace(np.cov((a - lam * b).numpy().T, aweights=weights.numpy(), ddof=0)) for lam in grid]
    np.testing.assert_allclose(found.at(torch.from_numpy(grid)).numpy(), by_numpy, rtol=1e-12)
    assert abs(grid[int(np.argmin(by_numpy))] - float(found.weight)) <= 0.05
    assert float(found.least) <= min(by_numpy) + 1e-12


def test_a_teacher_whose_gradient_does_not_vary_has_weight_zero() -> None:
    a = torch.tensor([[1.0], [-1.0]])
    found = variance_reduction(a, torch.ones(2, 1), torch.tensor([0.5, 0.5]))
    assert (float(found.weight), float(found.least)) == (0.0, 1.0)


def test_weights_must_be_probabilities() -> None:
    with pytest.raises(ValueError, match="weights"):
        variance_reduction(torch.ones(2, 1), torch.ones(2, 1), torch.tensor([0.5, 0.6]))
