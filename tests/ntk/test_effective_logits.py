"""Effective logits against bisection in 400 digits, their limits, and the threshold of the soft ratio."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import precise_effective_logit

from kdtheory.losses import distillation
from kdtheory.ntk.effective_logits import distillation_slope, effective_logits, overruling_soft_ratio

ONE = torch.ones(1, dtype=torch.long)


def at(logit: float) -> torch.Tensor:
    return torch.tensor([logit], dtype=torch.float64)


@pytest.mark.parametrize("ratio", [1e-6, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_root_equals_bisection_with_many_digits(ratio: float, temperature: float) -> None:
    for logit in (-80.0, -5.0, 0.0, 1e-6, 20.0, 300.0):
        for label in (0, 1):
            found = effective_logits(at(logit), label * ONE, soft_ratio=ratio, temperature=temperature)
            exact = precise_effective_logit(logit, label, ratio, temperature)
            assert abs(float(found) - exact) <= 1e-14 * max(1, abs(exact)), (logit, label)


@settings(deadline=None)
@given(
    logit=st.floats(-50, 50), ratio=st.floats(0.001, 0.999), hot=st.floats(0.2, 20), label=st.integers(0, 1)
)
def test_root_lies_between_the_teacher_and_the_label_and_is_mirrored(
    logit: float, ratio: float, hot: float, label: int
) -> None:
    found = effective_logits(at(logit), label * ONE, soft_ratio=ratio, temperature=hot)
    assert float(found) >= logit if label else float(found) <= logit
    mirrored = effective_logits(at(-logit), (1 - label) * ONE, soft_ratio=ratio, temperature=hot)
    torch.testing.assert_close(found, -mirrored)
    slope = distillation_slope(found, at(logit), label * ONE, soft_ratio=ratio, temperature=hot)
    assert abs(float(slope)) < 1e-12


def test_slope_is_the_derivative_of_the_loss_of_the_house() -> None:
    teacher, labels = torch.linspace(-3, 3, 7, dtype=torch.float64), torch.arange(7) % 2
    z = torch.linspace(2, -4, 7, dtype=torch.float64).requires_grad_()
    for squared in (False, True):
        loss = distillation(
            torch.stack([torch.zeros_like(z), z], -1),
            torch.stack([torch.sigmoid(-teacher), torch.sigmoid(teacher)], -1),
            labels,
            temperature=3.0,
            weight=0.7,
            temperature_squared=squared,
        )
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        slope = distillation_slope(
            z.detach(), teacher, labels, soft_ratio=0.7, temperature=3.0, temperature_squared=squared
        )
        torch.testing.assert_close(gradient, slope)


def test_limits_of_the_soft_ratio() -> None:
    teacher = at(-1.3)
    assert torch.equal(effective_logits(teacher, ONE, soft_ratio=1.0), teacher)
    near = effective_logits(teacher, ONE, soft_ratio=1 - 1e-12)
    assert float(near) == pytest.approx(-1.3, abs=1e-10)
    # σ(z) = ρσ(z_t) + (1 − ρ)y at T = 1: the logit grows like ln(1/ρ).
    for ratio in (1e-3, 1e-9):
        found = float(effective_logits(teacher, ONE, soft_ratio=ratio))
        assert found == pytest.approx(-math.log(ratio * float(torch.sigmoid(-teacher))), rel=1e-3)


def test_temperature_one_mixes_probabilities() -> None:
    teacher = torch.linspace(-5, 5, 11, dtype=torch.float64)
    labels = torch.arange(11) % 2
    found = effective_logits(teacher, labels, soft_ratio=0.3)
    torch.testing.assert_close(found, torch.logit(0.3 * torch.sigmoid(teacher) + 0.7 * labels.double()))


@pytest.mark.parametrize("squared", [False, True])
def test_threshold_separates_the_sides(squared: bool) -> None:
    logit = torch.linspace(-6, -0.1, 9, dtype=torch.float64)
    labels = torch.ones(9, dtype=torch.long)
    for temperature in (0.7, 3.0):
        setup = {"temperature": temperature, "temperature_squared": squared}
        ratios = overruling_soft_ratio(logit, **setup)
        for one, ratio in zip(logit, ratios.tolist(), strict=True):
            for share, side in ((0.999, 1.0), (1.001, -1.0)):
                found = effective_logits(one[None], ONE, soft_ratio=min(1.0, share * ratio), **setup)
                assert float(found.sign()) == side
    assert labels.shape == ratios.shape


def test_single_precision_comes_back() -> None:
    found = effective_logits(torch.tensor([0.0]), ONE, soft_ratio=0.5)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"soft_ratio": 0.0}, "soft_ratio = 0"),
        ({"soft_ratio": 1.5}, "soft_ratio = 1.5"),
        ({"soft_ratio": math.nan}, "soft_ratio = nan"),
        ({"temperature": 0.0}, "temperature = 0"),
        ({"teacher_logits": at(math.nan)}, "teacher_logits holds"),
        ({"labels": 2 * ONE}, "labels spans 2"),
        ({"labels": torch.ones(2, dtype=torch.long)}, "labels has shape|teacher_logits has shape"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(changes: dict, named: str) -> None:
    arguments = {"teacher_logits": at(0.0), "labels": ONE, "soft_ratio": 0.5} | changes
    with pytest.raises(ValueError, match=named):
        effective_logits(arguments.pop("teacher_logits"), arguments.pop("labels"), **arguments)
