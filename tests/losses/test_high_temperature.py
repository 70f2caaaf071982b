"""The limits T → ∞, and the rate at which they are reached."""

import itertools
import math

import pytest
import torch

from kdtheory.losses import high_temperature_divergence, high_temperature_gradient, kd_gradient, kd_loss

F64 = torch.float64


def _pair(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(50, 6, dtype=F64, generator=generator) for _ in range(2))


def test_the_errors_fall_like_one_over_the_temperature():
    student, teacher = _pair()
    labels = torch.zeros(50, dtype=torch.long)
    temperatures = [32.0, 64.0, 128.0, 256.0]
    gradients, divergences = [], []
    for t in temperatures:
        gradient = kd_gradient(student, teacher, labels, temperature=t, weight=1.0)
        gradients.append(float((gradient - high_temperature_gradient(student, teacher)).norm()))
        losses = kd_loss(student, teacher, None, temperature=t, weight=1.0, reduction="none")
        divergences.append(float((losses - high_temperature_divergence(student, teacher)).norm()))
    for errors in (gradients, divergences):
        for one, next_one in itertools.pairwise(errors):
            assert math.log2(one / next_one) == pytest.approx(1, abs=0.05)


def test_the_limit_of_the_gradient_is_the_gradient_of_the_limit():
    student, teacher = _pair(1)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(high_temperature_divergence(student, teacher).sum(), student)
    torch.testing.assert_close(gradient, high_temperature_gradient(student, teacher))


def test_the_limit_is_a_variance_and_sees_no_shift():
    student, teacher = _pair(2)
    variance = (student - teacher).var(-1, correction=0)
    torch.testing.assert_close(high_temperature_divergence(student, teacher), variance / 2)
    torch.testing.assert_close(high_temperature_divergence(student + 3, teacher), variance / 2)


@pytest.mark.parametrize("limit", [high_temperature_divergence, high_temperature_gradient])
def test_bad_input_is_named(limit):
    zeros = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="-inf"):
        limit(zeros, torch.tensor([[0.0, 1.0, -math.inf]] * 2))
    with pytest.raises(ValueError, match="student_logits holds NaN"):
        limit(zeros * math.nan, zeros)
