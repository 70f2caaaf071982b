"""Supervision complexity and its margin bound: least squares, scaling, exact coverage, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from kdtheory.bounds.kernel_margin import (
    adjusted_supervision_complexity,
    harutyunyan23_kernel_margin,
    supervision_complexity,
)
from kdtheory.bounds.norms import grid_point
from kdtheory.bounds.rademacher import exact_rademacher
from kdtheory.streams import Stream

FEATURES = torch.randn(9, 20, dtype=torch.float64, generator=Stream(0).child("phi").torch())
KERNEL = FEATURES @ FEATURES.T
TARGETS = torch.randn(9, 3, dtype=torch.float64, generator=Stream(0).child("y").torch())


def test_complexity_is_the_least_squared_norm_through_the_targets() -> None:
    least = torch.linalg.pinv(FEATURES) @ TARGETS
    assert float(supervision_complexity(KERNEL, TARGETS)) == pytest.approx(float(least.square().sum()))
    direct = sum(float(y @ torch.linalg.inv(KERNEL) @ y) for y in TARGETS.T)
    assert float(supervision_complexity(KERNEL, TARGETS)) == pytest.approx(direct, rel=1e-9)


def test_one_column_is_a_vector_and_columns_add_up() -> None:
    parts = [supervision_complexity(KERNEL, TARGETS[:, place]) for place in range(3)]
    assert float(sum(parts)) == pytest.approx(float(supervision_complexity(KERNEL, TARGETS)), rel=1e-12)


def test_adjusted_complexity_ignores_the_kernels_scale() -> None:
    once = adjusted_supervision_complexity(KERNEL, TARGETS)
    assert float(adjusted_supervision_complexity(7 * KERNEL, TARGETS)) == pytest.approx(float(once), rel=1e-9)
    assert float(adjusted_supervision_complexity(KERNEL, 2 * TARGETS)) == pytest.approx(2 * float(once))


def test_the_ball_has_the_complexity_that_the_bound_uses() -> None:
    # sup_{‖f‖≤B} Σε_i f(x_i) = B·√(εᵀKε); the bound is its root mean square, so within a factor of √2 or so.
    exact = exact_rademacher(lambda signs: 3 * ((signs @ KERNEL) * signs).sum(-1).sqrt(), 9)
    bound = 3 * math.sqrt(float(KERNEL.trace())) / 9
    assert 0.8 * bound < exact < bound


def test_terms_by_hand() -> None:
    margins = torch.tensor([2.0, 0.25, -1.0, 0.5], dtype=torch.float64).repeat(100)
    bound = harutyunyan23_kernel_margin(
        margins,
        squared_norm=5.0,
        trace=400.0,
        gamma=0.5,
        delta=0.1,
        weight=0.5,
        fixed_in_advance=True,
        independent_draws=True,
    )
    radius, share = grid_point(math.sqrt(5.0))
    assert bound.terms["margin loss"] == pytest.approx((0 + 0.5 + 1 + 0) / 4)
    assert bound.terms["complexity"] == pytest.approx(2 / 0.5 * radius * 20 / 400, rel=1e-12)
    deviation = 3 * math.sqrt(math.log(2 / (0.1 * 0.5 * share)) / 800)
    assert bound.terms["deviation"] == pytest.approx(deviation, rel=1e-12)
    assert bound.certificate
    more = harutyunyan23_kernel_margin(
        margins,
        squared_norm=5.0,
        trace=400.0,
        gamma=0.5,
        delta=0.1,
        outputs=3,
        fixed_in_advance=True,
        independent_draws=True,
    )
    factor = more.terms["complexity"] / bound.terms["complexity"]
    assert factor == pytest.approx(2 * math.sqrt(3), rel=1e-12)


def test_bound_is_monotone_and_names_the_size_it_needs() -> None:
    margins = torch.full((100,), 0.9, dtype=torch.float64)

    def value(**changes) -> float:
        settings = {
            "squared_norm": 4.0,
            "trace": 100.0,
            "gamma": 1.0,
            "delta": 0.1,
            "fixed_in_advance": True,
            "independent_draws": True,
        }
        return harutyunyan23_kernel_margin(margins, **{**settings, **changes}).value

    assert value(delta=0.5) < value() < value(delta=0.001)
    assert value(squared_norm=1.0) < value() < value(squared_norm=16.0)
    assert value(trace=25.0) < value() < value(trace=400.0)
    bound = harutyunyan23_kernel_margin(
        margins,
        squared_norm=400.0,
        trace=100.0,
        gamma=0.5,
        delta=0.1,
        fixed_in_advance=False,
        independent_draws=True,
    )
    assert bound.vacuous
    assert bound.kind == "heuristic"
    assert bound.needed is not None
    assert bound.needed > 100


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        supervision_complexity(torch.ones(3, 3).double(), torch.ones(3).double())
    with pytest.raises(ValueError, match="not symmetric"):
        supervision_complexity(torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.ones(2))
    with pytest.raises(ValueError, match="n = 3 in kernel"):
        supervision_complexity(torch.eye(3), torch.ones(2))
    with pytest.raises(ValueError, match="kernel holds 9 NaN"):
        supervision_complexity(torch.eye(3) * math.nan, torch.ones(3))
    settings = {
        "squared_norm": 1.0,
        "trace": 1.0,
        "gamma": 1.0,
        "delta": 0.1,
        "fixed_in_advance": True,
        "independent_draws": True,
    }
    for change, named in (
        ({"gamma": 0.0}, "gamma"),
        ({"delta": 1.0}, "delta"),
        ({"trace": 0.0}, "trace"),
        ({"squared_norm": -1.0}, "squared_norm"),
        ({"weight": 0.0}, "weight"),
        ({"outputs": 0}, "outputs"),
    ):
        with pytest.raises(ValueError, match=named):
            harutyunyan23_kernel_margin(torch.ones(3), **{**settings, **change})
    with pytest.raises(ValueError, match="margins holds"):
        harutyunyan23_kernel_margin(torch.tensor([math.nan]), **settings)
