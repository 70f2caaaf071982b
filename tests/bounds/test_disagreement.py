"""Disagreement transfer: exact on a world of four cells, from both sides, its records, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdtheory.bounds.disagreement import disagreement_limit, disagreement_transfer
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.holdout import clopper34_holdout, hoeffding63_kl_holdout, maurer09_holdout
from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.pac_bayes import maurer04_pac_bayes_kl
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse
from kdtheory.streams import Stream

AFTERWARDS = {"drawn_afterwards": True, "same_law": True}


def flips(wrong: int, n: int) -> torch.Tensor:
    return (torch.arange(n) < wrong).double()


def a_witness(wrong: int = 10, n: int = 200, delta: float = 0.02):
    return clopper34_holdout(flips(wrong, n), delta=delta, fixed_in_advance=True, independent_draws=True)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_covers_and_is_tight_where_both_errors_add_up(seed: int) -> None:
    # f leaves g on a tenth of all points, where g is right; g errs on another tenth: Pr[f ≠ y] = 0.2.
    places = torch.from_numpy(Stream(seed).child("test_disagreement").numpy().random((2, 40_000)))
    witness = clopper34_holdout(places[0] < 0.1, delta=0.001, fixed_in_advance=True, independent_draws=True)
    bound = disagreement_transfer(witness, places[1] > 0.9, delta=0.001, **AFTERWARDS)
    assert 0.2 <= bound.value < 0.22


def test_record_joins_the_witnesss() -> None:
    witness = a_witness()
    bound = disagreement_transfer(witness, flips(5, 300), delta=0.03, drawn_afterwards=False, same_law=True)
    assert list(bound.terms) == ["empirical risk", "radius", "disagreement", "disagreement radius"]
    assert sum(bound.terms.values()) == pytest.approx(bound.value, rel=1e-14)
    assert bound.value >= witness.value + binomial_upper_limit(5, 300, delta=0.03)
    assert bound.delta == pytest.approx(0.05)
    assert bound.kind == "heuristic"
    assert set(witness.assumptions) < set(bound.assumptions)
    assert bound.quantities["errors"] == 10
    assert bound.quantities["unlabelled points"] == 300
    assert "200 hold-out points and the 300 unlabelled ones" in bound.coverage


def test_any_certificate_will_do() -> None:
    coded = langford05_occam(
        flips(20, 500), bits=40, delta=0.025, coded_beforehand=True, independent_draws=True
    )
    stochastic = maurer04_pac_bayes_kl(
        flips(40, 1000).reshape(2, 500),
        divergence=3.0,
        delta=0.02,
        delta_sampling=0.005,
        prior_fixed=True,
        fresh_draws=True,
        independent_draws=True,
    )
    for witness in (coded, stochastic):
        bound = disagreement_transfer(witness, flips(30, 1000), delta=0.025, **AFTERWARDS)
        assert bound.delta == pytest.approx(0.05)
        assert witness.value < bound.value < 1


def test_one_witness_is_exact_whatever_the_method() -> None:
    rows = flips(5, 300)
    expected = binomial_upper_limit(5, 300, delta=0.03)
    assert disagreement_limit(rows, delta=0.03) == expected
    assert disagreement_limit(rows[None] > 0, delta=0.03, method="bernstein") == expected


def test_several_witnesses_are_bounded_by_their_mean() -> None:
    rows = (torch.rand(3, 2000, generator=Stream(0).torch()) < 0.03).double()
    mean = rows.mean(0)
    expected = float(kl_upper_inverse(math.fsum(mean.tolist()) / 2000, math.log(20) / 2000))
    assert disagreement_limit(rows, delta=0.05) == expected
    radius = float(maurer09_finite_class_radius(mean.var(), n=2000, class_size=1, delta=0.05))
    assert disagreement_limit(rows, delta=0.05, method="bernstein") == pytest.approx(
        float(mean.mean()) + radius
    )
    witness = hoeffding63_kl_holdout(mean, delta=0.02, fixed_in_advance=True, independent_draws=True)
    assert disagreement_transfer(witness, rows, delta=0.03, **AFTERWARDS).quantities["witnesses"] == 3
    assert maurer09_holdout(mean, delta=0.02, fixed_in_advance=True, independent_draws=True).value < 1


def test_mean_of_witnesses_covers_by_enumeration() -> None:
    # Two witnesses that leave f on nested events: 0, 1 or 2 of them per point, with chances 0.6, 0.3, 0.1.
    law, m, delta = np.ones(1), 15, 0.1
    for _ in range(m):
        law = np.convolve(law, [0.6, 0.3, 0.1])
    missed = np.zeros(2 * m + 1, dtype=bool)
    for total in range(2 * m + 1):
        first = min(total, m)
        rows = torch.stack([flips(first, m), flips(total - first, m)])
        missed[total] = disagreement_limit(rows, delta=delta) < 0.25
    assert law[missed].sum() <= delta


def test_needed_number_of_unlabelled_points() -> None:
    witness = a_witness(wrong=120, n=200)
    bound = disagreement_transfer(witness, flips(2, 8), delta=0.03, **AFTERWARDS)
    assert bound.vacuous
    assert bound.needed is not None

    def value(size: int) -> float:
        return witness.value + float(kl_upper_inverse(0.25, -math.log(0.03) / size))

    assert value(bound.needed) < 1 <= value(bound.needed - 1)
    assert disagreement_transfer(witness, flips(4, 8), delta=0.03, **AFTERWARDS).needed is None


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (torch.tensor([0.5, 0.0]), {"delta": 0.1}, "other than 0 and 1"),
        (torch.zeros(0), {"delta": 0.1}, "number of disagreements"),
        (torch.zeros(3), {"delta": 0.0}, "delta"),
        (torch.zeros(3), {"delta": 0.99}, "delta"),
        (torch.zeros(2, 3), {"delta": 0.1, "method": "best"}, "method"),
        (torch.zeros(3, 1), {"delta": 0.1, "method": "bernstein"}, "number of points"),
    ],
)
def test_bad_input_is_named(rows, settings, message: str, unchecked_shapes) -> None:
    with pytest.raises(ValueError, match=message):
        disagreement_transfer(a_witness(), rows, **settings, **AFTERWARDS)
