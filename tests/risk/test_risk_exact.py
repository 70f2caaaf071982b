"""Exact risks, variances and the bias of a teacher against the enumeration of every sample."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive import risk_moments

from kdtheory.losses.labelwise import brier_loss, log_loss, zero_one_loss
from kdtheory.risk import (
    bayes_brier_risk,
    bayes_log_risk,
    bayes_zero_one_risk,
    calibration_error,
    distilled_variance,
    excess_risk,
    label_noise_variance,
    one_hot_variance,
    population_risk,
    teacher_bias_variance,
)

WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def world(seed: int, s: int = 3, k: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses, p* and another teacher on s atoms."""
    generator = torch.Generator().manual_seed(seed)
    losses = 2 * torch.rand(s, k, generator=generator, dtype=torch.float64)
    probs = torch.rand(2, s, k, generator=generator, dtype=torch.float64)
    return losses, *(probs / probs.sum(-1, keepdim=True)).unbind()


@pytest.mark.parametrize("n", [1, 3])
def test_risk_and_variances_equal_the_enumeration(n: int) -> None:
    losses, probs, _ = world(0)
    mean, one_hot = risk_moments(lambda x, y: float(losses[x, y]), WEIGHTS, probs, n)
    soft_mean, distilled = risk_moments(lambda x, _: float(probs[x] @ losses[x]), WEIGHTS, probs, n)
    assert float(population_risk(losses, probs, WEIGHTS)) == pytest.approx(mean, rel=1e-12)
    assert soft_mean == pytest.approx(mean, rel=1e-12)
    assert float(one_hot_variance(losses, probs, WEIGHTS, n=n)) == pytest.approx(one_hot, rel=1e-10)
    assert float(distilled_variance(losses, probs, WEIGHTS, n=n)) == pytest.approx(distilled, rel=1e-10)


@given(seed=st.integers(0, 10**6), s=st.integers(1, 6), k=st.integers(2, 5), n=st.integers(1, 50))
def test_variance_gap_is_the_label_noise(seed: int, s: int, k: int, n: int) -> None:
    losses, probs, weights = *world(seed, s, k)[:2], torch.full((s,), 1 / s, dtype=torch.float64)
    gap = one_hot_variance(losses, probs, weights, n=n) - distilled_variance(losses, probs, weights, n=n)
    noise = label_noise_variance(losses, probs, weights, n=n)
    assert float(noise) >= 0
    assert float(gap) == pytest.approx(float(noise), abs=1e-14)


def test_gap_of_a_world_solved_by_hand() -> None:
    # Two atoms of mass 1/2; losses (0, 1) and (0, 3); p* = (1/2, 1/2) and (2/3, 1/3); N = 2.
    losses = torch.tensor([[0.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    probs = torch.tensor([[1 / 2, 1 / 2], [2 / 3, 1 / 3]], dtype=torch.float64)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    noise = Fraction(1, 2) * (Fraction(1, 2) * Fraction(1, 4) + Fraction(1, 2) * 9 * Fraction(2, 9))
    between = Fraction(1, 2) * Fraction(1, 4) ** 2  # the means are 1/2 and 1
    assert float(label_noise_variance(losses, probs, half, n=2)) == pytest.approx(float(noise), rel=1e-14)
    assert float(distilled_variance(losses, probs, half, n=2)) == pytest.approx(float(between), rel=1e-14)
    total = float(noise + between)
    assert float(one_hot_variance(losses, probs, half, n=2)) == pytest.approx(total, rel=1e-14)


def test_gap_vanishes_when_the_loss_is_constant_on_the_support() -> None:
    losses = torch.tensor([[1.0, 1.0, 9.0], [2.0, 5.0, 7.0]], dtype=torch.float64)
    probs = torch.tensor([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert float(label_noise_variance(losses, probs, half, n=1)) == 0
    moved = probs + torch.tensor([[0.0, -0.01, 0.01], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(label_noise_variance(losses, moved, half, n=1)) > 0.1


def test_variance_falls_as_one_over_n() -> None:
    losses, probs, _ = world(1)
    for variance in (one_hot_variance, distilled_variance, label_noise_variance):
        once = variance(losses, probs, WEIGHTS, n=1)
        torch.testing.assert_close(variance(losses, probs, WEIGHTS, n=8), once / 8)


def test_far_from_zero_the_variance_keeps_its_digits() -> None:
    losses, probs, _ = world(2)
    near, far = (one_hot_variance(losses + shift, probs, WEIGHTS, n=1) for shift in (0.0, 1e6))
    torch.testing.assert_close(near, far, rtol=1e-8, atol=0)


def test_mean_squared_error_of_a_teacher_equals_the_enumeration() -> None:
    losses, probs, teacher = world(3)
    parts = teacher_bias_variance(losses, teacher, probs, WEIGHTS, n=3)
    mean, variance = risk_moments(lambda x, _: float(teacher[x] @ losses[x]), WEIGHTS, probs, 3)
    error = variance + (mean - float(population_risk(losses, probs, WEIGHTS))) ** 2
    assert float(parts.mean_squared_error) == pytest.approx(error, rel=1e-10)
    assert float(parts.variance) == pytest.approx(variance, rel=1e-10)
    assert float(parts.squared_bias) == pytest.approx(error - variance, rel=1e-8)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 50))
def test_bound_of_a_teacher_holds(seed: int, n: int) -> None:
    parts = teacher_bias_variance(*world(seed), WEIGHTS, n=n)
    assert float(parts.bound) >= float(parts.mean_squared_error)


def test_bound_of_a_teacher_is_attained() -> None:
    # The teacher's error is parallel to losses of one norm: Cauchy–Schwarz is an equality on every atom.
    losses = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    probs = torch.tensor([[0.5, 0.5], [0.75, 0.25]], dtype=torch.float64)
    teacher = probs + torch.tensor([-0.1, 0.1], dtype=torch.float64)
    parts = teacher_bias_variance(losses, teacher, probs, torch.full((2,), 0.5, dtype=torch.float64), n=5)
    assert float(parts.mean_squared_error / parts.bound) == pytest.approx(1, rel=1e-12)


def test_atoms_without_mass_do_not_count_in_the_bound() -> None:
    losses, probs, teacher = world(4)
    weights = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    inflated = losses.clone()
    inflated[2] = 1e6
    plain, big = (teacher_bias_variance(table, teacher, probs, weights, n=2) for table in (losses, inflated))
    assert float(big.loss_norm) == float(plain.loss_norm) < 10


def test_population_of_predictors_shares_one_teacher() -> None:
    losses, probs, teacher = world(5)
    parts = teacher_bias_variance(torch.stack([losses, 2 * losses]), teacher, probs, WEIGHTS, n=2)
    torch.testing.assert_close(parts.bias[1], 2 * parts.bias[0])
    assert parts.distance.shape == parts.bound.shape == (2,)


@pytest.mark.parametrize(
    ("loss", "bayes_risk"),
    [(log_loss, bayes_log_risk), (brier_loss, bayes_brier_risk), (zero_one_loss, bayes_zero_one_risk)],
)
def test_bayes_risk_is_the_risk_of_the_bayes_predictor_and_the_least(loss, bayes_risk) -> None:
    _, probs, _ = world(6, k=4)
    best = loss(probs.log())
    torch.testing.assert_close(population_risk(best, probs, WEIGHTS), bayes_risk(probs, WEIGHTS))
    generator = torch.Generator().manual_seed(0)
    others = loss(probs.log() + torch.randn(200, 3, 4, generator=generator, dtype=torch.float64))
    excess = excess_risk(others, best, probs, WEIGHTS)
    assert float(excess.min()) >= 0
    torch.testing.assert_close(excess, population_risk(others, probs, WEIGHTS) - bayes_risk(probs, WEIGHTS))


def test_excess_log_risk_is_a_mean_kl() -> None:
    _, probs, teacher = world(7)
    kl = (WEIGHTS[:, None] * probs * (probs / teacher).log()).sum()
    excess = excess_risk(log_loss(teacher.log()), log_loss(probs.log()), probs, WEIGHTS)
    torch.testing.assert_close(excess, kl)


def test_calibration_error_equals_a_loop_over_forecasts() -> None:
    _, probs, teacher = world(9)
    teacher[2] = teacher[0]  # two atoms share a forecast
    error = 0.0
    for forecast in {tuple(row.tolist()) for row in teacher}:
        cell = [x for x in range(3) if tuple(teacher[x].tolist()) == forecast]
        mass = sum(float(WEIGHTS[x]) for x in cell)
        outcome = [sum(float(WEIGHTS[x] * probs[x, y]) for x in cell) / mass for y in range(2)]
        error += mass * sum(abs(a - b) for a, b in zip(forecast, outcome, strict=True)) / 2
    assert float(calibration_error(teacher, probs, WEIGHTS)) == pytest.approx(error, rel=1e-12)
    averaged = (WEIGHTS[:, None] * probs).sum(0).expand(3, 2)
    assert float(calibration_error(averaged, probs, WEIGHTS)) == pytest.approx(0, abs=1e-15)


def test_bad_input_is_named() -> None:
    losses, probs, _ = world(8)
    with pytest.raises(ValueError, match="n = 0"):
        one_hot_variance(losses, probs, WEIGHTS, n=0)
    with pytest.raises(ValueError, match="weights misses a sum of one"):
        population_risk(losses, probs, 2 * WEIGHTS)
    with pytest.raises(ValueError, match="weights has negative"):
        population_risk(losses, probs, torch.tensor([1.5, -0.5, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="losses holds"):
        distilled_variance(losses / 0, probs, WEIGHTS, n=1)
    with pytest.raises(ValueError, match="probs: a row misses a sum of one"):
        bayes_log_risk(probs / 2, WEIGHTS)
