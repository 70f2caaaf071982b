"""Rounds in an RKHS against explicit rounds, mpmath, and the constrained problem itself."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from kdtheory.self_distillation import (
    effective_rank,
    mobahi20_multiplier,
    mobahi20_multiplier_bounds,
    mobahi20_rounds,
    mobahi20_rounds_before_collapse,
    mobahi20_sparsity_growth,
)
from kdtheory.streams import Stream

EPS = 1e-9


def problem(seed: int, size: int = 8, outputs: tuple[int, ...] = ()) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Stream(seed).torch()
    points = torch.randn(size, 3, dtype=torch.float64, generator=generator)
    kernel = torch.exp(-torch.cdist(points, points)) + 0.1 * torch.eye(size, dtype=torch.float64)
    return (kernel + kernel.mT) / 2, torch.randn(size, *outputs, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_every_round_solves_its_own_linear_system_and_misses_by_epsilon(outputs: tuple[int, ...]) -> None:
    kernel, y = problem(0, outputs=outputs)
    error = 0.05 * float(y.square().mean()) * math.prod(outputs)
    found = mobahi20_rounds(kernel, y, error=error, rounds=4)
    assert found.rounds == 4
    now = y
    for t, c in enumerate(found.multipliers, 1):
        after = kernel @ torch.linalg.solve(kernel + c * torch.eye(len(kernel), dtype=kernel.dtype), now)
        assert torch.allclose(found.outputs[t], after, atol=1e-10)
        assert math.isclose(float((after - now).square().sum()) / len(kernel), error, rel_tol=1e-9)
        now = after
    assert torch.allclose(kernel @ found.coefficients, now, atol=1e-10)


def test_the_multiplier_solves_the_constrained_problem() -> None:
    """min αᵀGα subject to ‖Gα − y‖²/K ≤ ε, by SciPy's SLSQP."""
    kernel, y = problem(1, size=5)
    error = 0.2 * float(y.square().mean())
    g, target = kernel.numpy(), y.numpy()
    outcome = optimize.minimize(
        lambda a: a @ g @ a,
        np.linalg.solve(g, target),
        jac=lambda a: 2 * g @ a,
        constraints={
            "type": "ineq",
            "fun": lambda a: error - np.square(g @ a - target).mean(),
            "jac": lambda a: -2 * g @ (g @ a - target) / 5,
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found = mobahi20_rounds(kernel, y, error=error, rounds=1)
    assert np.allclose(g @ outcome.x, found.outputs[1].numpy(), atol=1e-5)


def test_multiplier_against_mpmath() -> None:
    values, z = torch.tensor([0.01, 1.0, 30.0]).double(), torch.tensor([2.0, -1.0, 3.0]).double()
    found = mobahi20_multiplier(values, z, error=0.3)
    with mpmath.workdps(40):
        exact = mpmath.findroot(
            lambda c: (
                sum((c / (c + d)) ** 2 * w * w for d, w in zip(values.tolist(), z.tolist(), strict=True))
                - mpmath.mpf(3) * mpmath.mpf(0.3)
            ),
            found,
        )
    assert math.isclose(found, float(exact), rel_tol=1e-12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.integers(2, 12))
def test_bounds_hold_in_every_round(seed: int, share: float, size: int) -> None:
    kernel, y = problem(seed, size=size)
    error = share * float(y.square().mean())
    found = mobahi20_rounds(kernel, y, error=error, rounds=500)
    assert found.collapsed
    for c, targets in zip(found.multipliers, found.outputs[:-1], strict=True):
        low, high = mobahi20_multiplier_bounds(found.eigenvalues, norm=float(targets.norm()), error=error)
        assert low * (1 - EPS) <= c <= high * (1 + EPS)
    count = mobahi20_rounds_before_collapse(found.eigenvalues, norm=float(y.norm()), error=error)
    assert count.printed <= count.least <= found.rounds <= count.most
    growth = mobahi20_sparsity_growth(found.eigenvalues, norm=float(y.norm()), error=error)
    for t, kept in enumerate(found.shrinkage, 1):
        ratio = kept / kept[:, None]  # [j, k] = B[k,k]/B[j,j]
        upper = torch.triu(torch.ones_like(growth, dtype=torch.bool))
        assert bool((ratio >= growth**t * (1 - EPS))[upper].all())


def test_bounds_are_attained_where_all_eigenvalues_are_equal() -> None:
    kernel, y = 3 * torch.eye(4, dtype=torch.float64), torch.tensor([6.0, 0.0, 8.0, 0.0]).double()
    found = mobahi20_rounds(kernel, y, error=1.0, rounds=100)  # r_0 = 10/2 = 5
    count = mobahi20_rounds_before_collapse(found.eigenvalues, norm=10.0, error=1.0)
    assert (count.printed, count.least, count.most) == (4, 4, 4)
    assert found.rounds == 4
    assert torch.allclose(found.multipliers, 3 / torch.tensor([4.0, 3.0, 2.0, 1.0]).double())


def test_a_smaller_error_keeps_more_and_lasts_longer() -> None:
    kernel, y = problem(3)
    scale = float(y.square().mean())
    runs = [mobahi20_rounds(kernel, y, error=share * scale, rounds=1000) for share in (0.3, 0.1, 0.03)]
    assert runs[0].rounds < runs[1].rounds < runs[2].rounds
    assert runs[0].multipliers[0] > runs[1].multipliers[0] > runs[2].multipliers[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"error": 0.0}, "error"),
        ({"rounds": -1}, "rounds"),
        ({"kernel": torch.zeros(2, 2)}, "eigenvalues"),
        ({"kernel": torch.tensor([[1.0, 2.0], [0.0, 1.0]])}, "symmetric"),
        ({"kernel": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}, "eigenvalue"),
        ({"targets": torch.tensor([1.0, math.nan])}, "targets"),
    ],
)
def test_bad_input_is_named(change: dict, named: str) -> None:
    given = {"kernel": torch.eye(2), "targets": torch.ones(2), "error": 0.1, "rounds": 1} | change
    with pytest.raises(ValueError, match=named):
        mobahi20_rounds(given["kernel"], given["targets"], error=given["error"], rounds=given["rounds"])


def test_collapsed_targets_have_no_multiplier() -> None:
    with pytest.raises(ValueError, match="smaller error"):
        mobahi20_multiplier(torch.ones(4), torch.ones(4), error=1.0)


def test_effective_rank_is_the_entropy_of_the_energy() -> None:
    outputs = torch.randn(3, 6, 4, dtype=torch.float64, generator=Stream(5).torch())
    for own, found in zip(outputs, effective_rank(outputs), strict=True):
        energy = [float(s) ** 2 for s in np.linalg.svd(own.numpy(), compute_uv=False)]
        shares = [e / sum(energy) for e in energy]
        assert math.isclose(float(found), math.exp(-sum(p * math.log(p) for p in shares)), rel_tol=1e-12)
    one = torch.outer(torch.arange(1.0, 5.0), torch.ones(3)).double()
    assert math.isclose(float(effective_rank(one)), 1.0, rel_tol=1e-9)
    assert math.isclose(float(effective_rank(torch.eye(5))), 5.0, rel_tol=1e-6)
    with pytest.raises(ValueError, match="norm of the outputs"):
        effective_rank(torch.zeros(2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 3])
def test_equal_eigenvalues_are_solved_in_both_precisions(size: int, dtype: torch.dtype) -> None:
    for seed in range(40):
        targets = 1 + torch.rand(size, generator=Stream(seed).torch(), dtype=torch.float64).to(dtype)
        error = float(targets.square().mean()) / 30.25  # r₀ = 5½: five rounds to ½
        found = mobahi20_rounds(torch.eye(size, dtype=dtype), targets, error=error, rounds=9)
        assert (found.rounds, found.collapsed) == (5, True)
        expected = targets[None] * (1 - torch.arange(6, dtype=torch.float64) / 5.5).to(dtype)[:, None]
        assert torch.allclose(found.outputs, expected, rtol=1e-5 if dtype is torch.float32 else 1e-12)


@pytest.mark.parametrize("excess", [1e-3, 1e-9, 1e-12, 1e-15])
def test_the_multiplier_is_found_where_the_round_nearly_collapses(excess: float) -> None:
    d, z = torch.ones(3).double(), torch.tensor([1 + excess, 0.0, 0.0], dtype=torch.float64)
    found = mobahi20_multiplier(d, z, error=1 / 3)  # c = 1/(r − 1)
    assert found == pytest.approx(
        1 / (float(z[0]) - 1), rel=1e-15 / excess + 1e-9, abs=1e13 * (excess < 1e-14)
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1.0, 1e25])
def test_effective_rank_does_not_depend_on_the_scale(scale: float) -> None:
    outputs = torch.diag(torch.tensor([2.0, 1.0])) * scale
    share = 0.8
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert float(effective_rank(outputs)) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_no_round_is_lost_in_a_large_number() -> None:
    found = mobahi20_rounds_before_collapse(torch.ones(1), norm=1e13 + 0.5, error=1.0)
    assert (found.printed, found.least, found.most) == (10**13, 10**13, 10**13)
    far = mobahi20_rounds_before_collapse(
        torch.tensor([1e-200, 1e200], dtype=torch.float64), norm=4.0, error=2.0
    )
    assert (far.printed, far.least, far.most) == (1, 1, 3)
