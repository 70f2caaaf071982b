"""PAC-Bayes-kl: closed forms, Gaussian KL against torch, the theorem by enumeration, laws, bad input."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from naive import precise_kl_inverse
from torch.distributions import Independent, Normal, kl_divergence

from kdtheory.bounds.pac_bayes import (
    gaussian_kl,
    maurer04_kl_limit,
    maurer04_log_moment,
    maurer04_pac_bayes_kl,
    sampled_risk_limit,
)
from kdtheory.streams import Stream

SETTINGS = {
    "delta": 0.04,
    "delta_sampling": 0.01,
    "prior_fixed": True,
    "fresh_draws": True,
    "independent_draws": True,
}


def test_gaussian_kl_is_torchs() -> None:
    generator = Stream(0).child("test_pac_bayes").torch()
    mean, prior_mean = torch.randn(2, 3, 40, dtype=torch.float64, generator=generator)
    std = torch.rand(3, 40, dtype=torch.float64, generator=generator) + 0.01
    prior_std = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    prior = Independent(Normal(prior_mean, prior_std[:, None].expand(3, 40)), 1)
    expected = kl_divergence(Independent(Normal(mean, std), 1), prior)
    torch.testing.assert_close(gaussian_kl(mean, std, prior_mean, prior_std), expected)
    torch.testing.assert_close(gaussian_kl(mean[0], std[0], prior_mean[0], 0.1), expected[0])


def test_no_divergence_from_itself() -> None:
    mean = torch.randn(5, dtype=torch.float64, generator=Stream(0).torch())
    assert float(gaussian_kl(mean, torch.full_like(mean, 0.3), mean, 0.3)) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_close_to_its_prior_and_far_from_it_no_digit_is_lost(dtype: torch.dtype) -> None:
    for mean, std in ((0.0, 0.01004), (1.0, 0.01)):  # terms that cancel; a sum beyond 65,504
        given = [torch.full((200_000,), value, dtype=dtype) for value in (mean, std, 0.0)]
        exact = gaussian_kl(*(part.double() for part in given), 0.01)
        assert float(exact) > 0.1
        found = gaussian_kl(*given, 0.01)
        assert found.dtype is torch.float32
        torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(gaussian_kl(*(torch.full((9,), 0.3),) * 3, 0.3), torch.tensor(0.0))


@pytest.mark.parametrize("n", [8, 60, 50_000])
def test_limit_by_mpmath(n: int) -> None:
    with mpmath.workdps(50):
        level = (mpmath.mpf(7) + mpmath.log(2 * mpmath.sqrt(n) / mpmath.mpf(0.05))) / n
    found = float(maurer04_kl_limit(0.1, 7.0, n=n, delta=0.05))
    assert found == pytest.approx(float(precise_kl_inverse(0.1, level)), rel=1e-12)


def test_theorem_by_enumeration() -> None:
    # Two atoms, labels of known chances, four classifiers, the posterior that looks best: all samples.
    n, delta = 8, 0.2
    chance = np.array([0.5 * 0.9, 0.5 * 0.1, 0.5 * 0.3, 0.5 * 0.7])  # (x, y) = 00, 01, 10, 11
    wrong = np.array(
        [
            [(label != says[x]) for x in (0, 1) for label in (0, 1)]
            for says in itertools.product((0, 1), (0, 1))
        ]
    )
    risk = wrong @ chance
    counts = np.array([c for c in itertools.product(range(n + 1), repeat=4) if sum(c) == n])
    ways = np.array([math.factorial(n) / math.prod(map(math.factorial, map(int, c))) for c in counts])
    law = ways * (chance**counts).prod(1)
    seen = counts @ wrong.T / n
    weights = np.exp(-20 * seen)
    posterior = weights / weights.sum(1, keepdims=True)
    nats = np.maximum((posterior * np.log(4 * posterior)).sum(1), 0)
    limit = maurer04_kl_limit((posterior * seen).sum(1), nats, n=n, delta=delta)
    assert law.sum() == pytest.approx(1)
    assert law[limit < posterior @ risk].sum() <= delta


def test_the_moment_lies_between_root_n_and_twice_that() -> None:
    for n in (8, 50, 400):
        k = np.arange(1, n)
        log_terms = [math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in k]
        moment = 2 + np.exp(log_terms + k * np.log(k / n) + (n - k) * np.log1p(-k / n)).sum()
        assert math.sqrt(n) <= moment <= math.exp(maurer04_log_moment(n))


def test_sampling_limit_covers_unequal_draws_exactly() -> None:
    risks = (0.1, 0.1, 0.5, 0.9)
    law = np.ones(1)
    for risk in risks:
        law = np.convolve(law, [1 - risk, risk])
    missed = [sampled_risk_limit((torch.arange(4) < k).double(), delta=0.2) < 0.4 for k in range(5)]
    assert law[missed].sum() <= 0.2


def test_record_adds_up_and_pays_for_every_prior() -> None:
    values = (torch.arange(400) < 40).double().reshape(4, 100)
    bound = maurer04_pac_bayes_kl(values, divergence=5.0, **SETTINGS)
    assert sum(bound.terms.values()) == pytest.approx(bound.value, rel=1e-14)
    assert bound.delta == pytest.approx(0.05)
    assert bound.certificate
    many = maurer04_pac_bayes_kl(values, divergence=5.0, priors=64, **SETTINGS)
    assert many.value == maurer04_pac_bayes_kl(values, divergence=5.0 + math.log(64), **SETTINGS).value
    more_rounds = maurer04_pac_bayes_kl(values.repeat(20, 1), divergence=5.0, **SETTINGS)
    assert more_rounds.value < bound.value < many.value


def test_monotone_in_n_delta_and_divergence() -> None:
    def limit(n: int = 100, delta: float = 0.05, nats: float = 5.0) -> float:
        return float(maurer04_kl_limit(0.1, nats, n=n, delta=delta))

    assert limit(n=200) < limit() < limit(n=50)
    assert limit(delta=0.1) < limit() < limit(delta=0.01)
    assert limit(nats=1.0) < limit() < limit(nats=20.0)


def test_needed_size_of_a_vacuous_posterior() -> None:
    bound = maurer04_pac_bayes_kl(torch.zeros(1, 20), divergence=2000.0, **SETTINGS)
    assert bound.vacuous
    assert bound.needed is not None
    gibbs = sampled_risk_limit(torch.zeros(20), delta=0.01)
    assert maurer04_kl_limit(gibbs, 2000.0, n=bound.needed, delta=0.04) < 1
    assert maurer04_kl_limit(gibbs, 2000.0, n=bound.needed - 1, delta=0.04) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"divergence": -1.0}, "divergence"),
        ({"divergence": math.nan}, "divergence"),
        ({"delta": 0.0}, "delta"),
        ({"delta_sampling": 1.0}, "delta"),
        ({"priors": 0}, "priors = 0"),
        ({"values": torch.zeros(2, 7)}, "n = 7"),
        ({"values": torch.full((2, 9), 1.5)}, "values"),
    ],
)
def test_bad_input_is_named(changes, message: str) -> None:
    settings = {"values": torch.zeros(2, 9), "divergence": 1.0, **SETTINGS, **changes}
    with pytest.raises(ValueError, match=message):
        maurer04_pac_bayes_kl(settings.pop("values"), **settings)


def test_bad_gaussians_are_named() -> None:
    ones = torch.ones(3)
    with pytest.raises(ValueError, match="std"):
        gaussian_kl(ones, 0 * ones, ones, 1.0)
    with pytest.raises(ValueError, match="prior_std"):
        gaussian_kl(ones, ones, ones, 0.0)
