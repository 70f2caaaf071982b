"""Agreement certificates, gates, classes and strata."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.bounds.agreement import agreement_certificate, agreement_of_classes, gate_allows, points_needed
from kdtheory.bounds.stratified import neyman_allocation, stratified_upper_limit
from kdtheory.inversion import binomial_upper_limit


def test_the_figures_that_people_ask_for() -> None:
    assert points_needed(0.05, delta=0.05) == 59
    assert gate_allows(19, 20, delta=0.05) == pytest.approx(0.2161, abs=1e-4)


@pytest.mark.parametrize("flips", [0, 1, 7, 100])
@pytest.mark.parametrize("most", [0.5, 0.05, 0.001])
def test_points_needed_are_enough_and_no_more(flips: int, most: float) -> None:
    needed = points_needed(most, delta=0.05, flips=flips)
    assert binomial_upper_limit(flips, needed, delta=0.05) <= most
    assert needed == flips + 1 or binomial_upper_limit(flips, needed - 1, delta=0.05) > most


def test_certificates_and_heuristics() -> None:
    apart = torch.arange(200) < 3
    for fixed, drawn in itertools.product((True, False), repeat=2):
        bound = agreement_certificate(apart, delta=0.05, fixed_in_advance=fixed, independent_draws=drawn)
        assert bound.certificate is (fixed and drawn)
    assert bound.value == binomial_upper_limit(3, 200, delta=0.05)
    assert bound.needed == 2


def test_all_classes_hold_at_once() -> None:
    rng, rates, missed, draws = np.random.default_rng(2), np.array([0.02, 0.1, 0.3]), 0, 400
    for _ in range(draws):
        teacher = rng.integers(0, 3, 90)
        student = np.where(rng.random(90) < rates[teacher], (teacher + 1) % 3, teacher)
        found = agreement_of_classes(student, teacher, classes=3, delta=0.2)
        missed += any(found[j].limit < rates[j] for j in range(3))
    assert missed <= stats.binom.isf(1e-4, draws, 0.2)


def test_holm_shows_no_level_that_does_not_hold() -> None:
    rng, shown, draws = np.random.default_rng(4), 0, 400
    rates = np.array([0.1001, 0.1001, 0.0])
    for _ in range(draws):
        teacher = rng.integers(0, 3, 300)
        student = np.where(rng.random(300) < rates[teacher], (teacher + 1) % 3, teacher)
        found = agreement_of_classes(student, teacher, classes=3, delta=0.2, most=0.1)
        shown += bool(found[0].shown) or bool(found[1].shown)
    assert shown <= stats.binom.isf(1e-4, draws, 0.2)


def test_limits_and_levels_of_classes_hold_together() -> None:
    """One class whose level does not hold, nine whose limits may fail: exact, over 60 points a class."""
    delta, most, rates, size = 0.3, 0.3, (0.3001, 0.1), 60
    teacher = np.repeat(np.arange(10), size)
    place, counts = np.tile(np.arange(size), 10), np.arange(size + 1)
    lost = np.zeros(size + 1, dtype=bool), np.zeros(size + 1, dtype=bool)
    for k in counts:
        student = np.where((place < k) & (teacher == 0), 1, teacher)
        found = agreement_of_classes(student, teacher, classes=10, delta=delta, most=most)
        lost[0][k] = bool(found[0].shown) or found[0].limit < rates[0]
        lost[1][k] = found[0].limit < rates[1]
    one, other = (
        stats.binom.pmf(counts, size, rate)[bad].sum() for rate, bad in zip(rates, lost, strict=True)
    )
    assert 0.5 * delta < 1 - (1 - one) * (1 - other) ** 9 <= delta


def test_many_classes_are_counted_at_once() -> None:
    said = np.arange(20_000)
    start = time.process_time()
    found = agreement_of_classes(said, said, classes=20_000, delta=0.05)
    assert time.process_time() - start < 5
    assert found[7].limit == binomial_upper_limit(0, 1, delta=0.05 / 20_000)


def test_what_no_number_of_points_shows_is_refused() -> None:
    with pytest.raises(ValueError, match="most = 1e-17"):
        points_needed(1e-17, delta=0.05)
    with pytest.raises(ValueError, match="delta = 0"):
        points_needed(0.1, delta=0.0)
    with pytest.raises(ValueError, match="agreeing = 21"):
        gate_allows(21, 20, delta=0.05)


def test_classes_refuse_what_they_cannot_count() -> None:
    said = np.array([0, 1, 2])
    assert agreement_of_classes(said, said, classes=4, delta=0.05)[3].limit == 1
    with pytest.raises(ValueError, match="classes = 2"):
        agreement_of_classes(said, said, classes=2, delta=0.05)


@pytest.mark.parametrize(("sizes", "others"), [((5, 5), 6), ((3, 7), 8)])
def test_strata_cover_every_small_world(sizes: tuple[int, int], others: int) -> None:
    delta = 0.1
    counts = [range(sizes[0] + 1), range(sizes[1] + 1), range(others + 1)]
    found = np.array(
        [
            [
                [stratified_upper_limit((k, j), sizes, m, others, delta=delta) for m in counts[2]]
                for j in counts[1]
            ]
            for k in counts[0]
        ]
    )
    grid, missed = np.linspace(0, 1, 9), []
    for share, p, q in itertools.product(grid, repeat=3):
        mass = (
            stats.binom.pmf(counts[0], sizes[0], p)[:, None, None]
            * stats.binom.pmf(counts[1], sizes[1], q)[:, None]
        )
        mass = mass * stats.binom.pmf(counts[2], others, share)
        missed.append(mass[found < share * p + (1 - share) * q].sum())
    assert max(missed) <= delta


def test_strata_pay_where_errors_are_in_one_of_them_and_labels_too() -> None:
    """Nine tenths of the points without an error, one tenth with one in four; labels by Neyman's rule."""
    assert neyman_allocation(1000, 0.9, (0.001, 0.25)) == (396, 604)
    strata = stratified_upper_limit((0, 151), (396, 604), 900_000, 10**6, delta=0.05)
    plain = binomial_upper_limit(25, 1000, delta=0.05)
    assert strata < plain


def test_strata_do_not_pay_where_they_are_alike() -> None:
    strata = stratified_upper_limit((25, 25), (500, 500), 500_000, 10**6, delta=0.05)
    assert strata > binomial_upper_limit(50, 1000, delta=0.05)
