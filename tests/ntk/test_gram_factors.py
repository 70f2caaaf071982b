"""Factorising a Gram matrix: the factor, or a sentence that says why there is none."""

from __future__ import annotations

import pytest
import torch

from kdtheory.ntk import InfiniteMLP, cholesky


def points(n: int, dim: int) -> torch.Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_factor_and_jitter() -> None:
    k = InfiniteMLP(2)(points(20, 5))
    factor = cholesky(k)
    assert torch.allclose(factor @ factor.mT, k, rtol=1e-13)
    ridged = cholesky(k, jitter=0.1)
    ridge = 0.1 * k.diagonal().mean() * torch.eye(20, dtype=torch.float64)
    assert torch.allclose(ridged @ ridged.mT, k + ridge, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_repeated_points_are_an_error_and_jitter_is_the_cure(dtype: torch.dtype) -> None:
    x = points(30, 5).to(dtype)
    twice = InfiniteMLP(3)(torch.cat([x, x[4:5]]))
    with pytest.raises(ValueError, match="row 30"):
        cholesky(twice)
    jitter = 1e-10 if dtype == torch.float64 else 1e-4
    assert torch.isfinite(cholesky(twice, jitter=jitter)).all()


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (lambda: cholesky(torch.ones(2, 3)), "n = 2 in gram"),
        (lambda: cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "not positive definite .row 1"),
        (lambda: cholesky(torch.tensor([[1.0, 0.1], [0.2, 1.0]])), "not symmetric"),
        (lambda: cholesky(torch.tensor([[1.0, float("nan")], [0.2, 1.0]])), "NaN"),
        (lambda: cholesky(torch.eye(2), jitter=-1.0), "jitter"),
        (lambda: cholesky(torch.zeros(2, 2)), "row 0"),
        # Rank three: the fourth pivot is rounding, whatever its sign.
        (lambda: cholesky(InfiniteMLP(0)(points(9, 3))), "row 3"),
    ],
)
def test_bad_input(bad, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bad()
