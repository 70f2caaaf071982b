"""Coverage by enumeration of ensembles and by Monte Carlo."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
import torch

from kdtheory.multiview import first_view, missed_share, missed_view_probability, views_held


@pytest.mark.parametrize("num_views", [1, 2, 3, 4])
@pytest.mark.parametrize("members", [1, 2, 4])
def test_missed_probability_by_enumeration(num_views: int, members: int) -> None:
    draws = list(product(range(num_views), repeat=members))
    share = np.mean([len(set(draw)) < num_views for draw in draws])
    assert missed_view_probability(members, num_views=num_views) == pytest.approx(share, abs=1e-12)


def test_two_views_are_missed_with_a_half_to_the_power_of_one_less() -> None:
    assert [missed_view_probability(n) for n in (1, 2, 3, 5)] == [1.0, 0.5, 0.25, 0.0625]


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_missed_share_by_all_ensembles(size: int) -> None:
    held = torch.rand(6, 4, 3, generator=torch.Generator().manual_seed(0)) < 0.45
    expected = [
        np.mean([(~held[list(who), c].any(0)).any().item() for who in combinations(range(6), size)])
        for c in range(4)
    ]
    np.testing.assert_allclose(missed_share(held, size=size).numpy(), expected, atol=1e-12)


def test_views_held_and_first_view_by_hand() -> None:
    u = torch.zeros(1, 2, 3, 4)
    u[0, 0, 1, 0], u[0, 0, 2, 1], u[0, 0, 0, 3] = 1.0, 0.6, 9.0  # class 0: both; a foreign view never counts
    u[0, 1, 0, 2], u[0, 1, 1, 3] = 0.05, 0.1  # class 1: nothing above the threshold
    held = views_held(u, num_views=2, threshold=0.2)
    assert held.tolist() == [[[True, True], [False, False]]]
    assert first_view(u, num_views=2).tolist() == [[0, 1]]
    u[0, 0, 2, 1] = 0.4
    assert views_held(u, num_views=2, threshold=0.2)[0, 0].tolist() == [True, False]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="size = 3"):
        missed_share(torch.ones(2, 1, 2, dtype=torch.bool), size=3)
    with pytest.raises(ValueError, match="features"):
        views_held(torch.ones(1, 2, 3, 5), num_views=2, threshold=0.2)
    with pytest.raises(ValueError, match="members"):
        missed_view_probability(0)


@pytest.mark.parametrize("num_views", [1, 2, 40, 80])
def test_of_many_views_the_chance_is_one_still(num_views: int) -> None:
    reached = [Fraction(1)]  # how many views are held after so many networks, one network after the other
    for members in range(1, 2 * num_views + 2):
        reached = [
            (reached[j - 1] * (num_views - j + 1) if j else Fraction(0))
            + (reached[j] * j if j < len(reached) else 0)
            for j in range(min(members, num_views) + 1)
        ]
        reached = [one / num_views for one in reached]
        all_held = reached[num_views] if len(reached) > num_views else Fraction(0)
        found = missed_view_probability(members, num_views=num_views)
        assert found == pytest.approx(float(1 - all_held), rel=1e-15)


def test_a_share_of_ensembles_is_a_share() -> None:
    held = torch.rand(23, 40, 7, generator=torch.Generator().manual_seed(0)) < 0.2
    for size in (1, 5, 11, 23):
        share = missed_share(held, size=size)
        assert bool(((share >= 0) & (share <= 1)).all())
    complete = torch.ones(23, 1, 7, dtype=torch.bool)
    assert missed_share(complete, size=3).tolist() == [0.0]
    assert missed_share(~complete, size=3).tolist() == [1.0]
