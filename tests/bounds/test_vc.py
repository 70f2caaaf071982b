"""Counting bounds: growth by brute force on tiny nets, limits, tightness, laws, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from kdtheory.bounds.vc import (
    bartlett19_log_growth,
    bartlett19_vc_dimension,
    relu_net_size,
    sauer72_log_growth,
    vapnik71,
)
from kdtheory.networks import MLP
from kdtheory.streams import Stream


def labellings(widths: tuple[int, ...], points: torch.Tensor, tries: int = 40_000) -> int:
    """How many label vectors random nets of this shape produce: a lower bound on the growth function."""
    shape = MLP(widths)
    generator = Stream(0).child("nets").torch()
    params = 2 * torch.randn(tries, shape.size, generator=generator)
    logits = shape.logits(params, points)
    said = (logits[..., 0] > 0).long() if widths[-1] == 1 else logits.argmax(-1)
    return len(torch.unique(said, dim=0))


@pytest.mark.parametrize("widths", [(2, 1), (2, 3), (2, 2, 1), (1, 3, 3)])
@pytest.mark.parametrize("n", [3, 8, 12])
def test_no_net_beats_the_growth_bound(widths: tuple[int, ...], n: int) -> None:
    points = torch.randn(n, widths[0], generator=Stream(0).child("points").torch())
    found = labellings(widths, points)
    assert math.log(found) <= bartlett19_log_growth(widths, n=n) + 1e-12


def test_growth_of_a_linear_classifier_from_both_sides() -> None:
    # Cover (1965): n points in general position in the plane, with bias, 2·Σ_{i≤2} C(n−1, i) dichotomies.
    for n in (50, 500, 50_000):
        exact = math.log(2 * (1 + (n - 1) + math.comb(n - 1, 2)))
        bound = bartlett19_log_growth((2, 1), n=n)
        assert exact <= bound < 3 * exact


def test_growth_is_capped_by_all_labellings_and_falls_relative_to_n() -> None:
    for n in (1, 10, 1000):
        assert bartlett19_log_growth((784, 512, 512, 10), n=n) == pytest.approx(n * math.log(10))
    shares = [bartlett19_log_growth((4, 3, 2), n=n) / n for n in (10**2, 10**4, 10**6)]
    assert shares[0] > shares[1] > shares[2]


def test_vc_dimension_of_a_linear_net_is_between_d_and_five_d() -> None:
    for dim in (10, 100, 1000):
        assert dim <= bartlett19_vc_dimension((dim, 1), bias=False) < 5 * dim


def test_vc_dimension_is_where_the_growth_leaves_two_to_the_n() -> None:
    for widths in ((3, 1), (3, 4, 1), (5, 8, 8, 1)):
        dimension = bartlett19_vc_dimension(widths)
        assert dimension >= relu_net_size(widths) > 0
        assert bartlett19_log_growth(widths, n=dimension) == pytest.approx(dimension * math.log(2))
        assert bartlett19_log_growth(widths, n=dimension + 1) < (dimension + 1) * math.log(2)


def test_the_last_layer_counts_each_pair_of_classes_once() -> None:
    n, weights, pairs = 1000, 4 * (3 + 1), 6
    warren = math.log(2) + weights * math.log(2 * math.e * n * pairs / weights)
    assert bartlett19_log_growth((3, 4), n=n) == pytest.approx(warren, rel=1e-12)


def test_vc_dimension_grows_with_width_and_depth() -> None:
    assert bartlett19_vc_dimension((5, 4, 1)) < bartlett19_vc_dimension((5, 8, 1))
    assert bartlett19_vc_dimension((5, 4, 1)) < bartlett19_vc_dimension((5, 4, 4, 1))


def test_sauer_is_above_the_sum_of_binomials_and_close_to_it() -> None:
    for dimension, n in ((1, 10), (5, 40), (20, 1000)):
        exact = math.log(sum(math.comb(n, i) for i in range(dimension + 1)))
        bound = sauer72_log_growth(dimension, n=n)
        assert exact <= bound < exact + dimension
    assert sauer72_log_growth(9, n=4) == pytest.approx(4 * math.log(2))


def test_bound_adds_up_and_is_vacuous_for_a_net_with_more_weights_than_points() -> None:
    widths = (784, 512, 512, 10)
    bound = vapnik71(
        0.0,
        n=60_000,
        log_growth=lambda n: bartlett19_log_growth(widths, n=n),
        delta=0.05,
        fixed_in_advance=True,
        independent_draws=True,
    )
    assert bound.vacuous
    assert bound.terms["capacity"] == pytest.approx(math.sqrt(2 * math.log(10)))
    assert bound.needed is not None
    assert bound.needed > relu_net_size(widths)


def test_needed_size_is_where_the_bound_starts_to_speak() -> None:
    def bound(n: int):
        return vapnik71(
            0.1,
            n=n,
            log_growth=lambda n: sauer72_log_growth(3, n=n),
            delta=0.05,
            fixed_in_advance=True,
            independent_draws=True,
        )

    needed = bound(20).needed
    assert needed is not None
    assert not bound(needed).vacuous
    assert bound(needed - 1).vacuous


def test_bound_covers_the_best_of_all_stumps_and_stays_near() -> None:
    # Thresholds on the line, fair-coin labels: growth n + 1, true error ½, the best stump looks better.
    n, bounds = 400, []
    for draw in range(200):
        labels = torch.randint(2, (n,), generator=Stream(0).child(draw).torch()).double()
        steps = torch.cat([torch.zeros(1), (2 * labels - 1).cumsum(0)])
        best = float((((1 - labels).sum() + steps) / n).min())
        found = vapnik71(
            best,
            n=n,
            log_growth=lambda n: math.log(n + 1),
            delta=0.05,
            fixed_in_advance=True,
            independent_draws=True,
        )
        bounds.append(found.value)
    assert sum(bound < 0.5 for bound in bounds) <= 10
    assert max(bounds) < 0.75


def test_bound_is_monotone() -> None:
    def value(error: float = 0.1, *, n: int = 100, log_growth: float = 5.0, delta: float = 0.1) -> float:
        growth = {"log_growth": lambda _: log_growth, "fixed_in_advance": True, "independent_draws": True}
        return vapnik71(error, n=n, delta=delta, **growth).value

    assert value(n=200) < value() < value(n=50)
    assert value(delta=0.2) < value() < value(delta=0.01)
    assert value(log_growth=1.0) < value() < value(log_growth=9.0)
    assert value(0.0) < value()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="widths"):
        relu_net_size((3,))
    with pytest.raises(ValueError, match="n = 0"):
        bartlett19_log_growth((3, 2), n=0)
    with pytest.raises(ValueError, match="widths ends in 2"):
        bartlett19_vc_dimension((3, 2))
    with pytest.raises(ValueError, match="dimension = 0"):
        sauer72_log_growth(0, n=3)
    growth = {"log_growth": lambda n: 1.0, "fixed_in_advance": True, "independent_draws": True}
    with pytest.raises(ValueError, match="error"):
        vapnik71(1.5, n=3, delta=0.1, **growth)
    with pytest.raises(ValueError, match="delta"):
        vapnik71(0.5, n=3, delta=0.0, **growth)
