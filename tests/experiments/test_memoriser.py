"""The memoriser of 5.7 is what it is said to be, and the error of a linear classifier is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kdtheory.bounds.margins import distillation_error
from kdtheory.experiments.bounds.memoriser import DROP, LOW, RAMP, STUDENT, Memoriser
from kdtheory.experiments.bounds.two_gaussians import linear_error, two_gaussians, two_sided
from kdtheory.streams import Stream


def relu_net(memoriser: Memoriser, inputs: Tensor) -> Tensor:
    """The score as one hidden layer of ReLUs, unit by unit."""
    score = inputs @ STUDENT
    score = (score).relu() - (-score).relu()
    t, w = inputs[:, 1], memoriser.width
    score = score - DROP / RAMP * ((LOW - t).relu() - (LOW - RAMP - t).relu())
    for place, height in zip(memoriser.places, memoriser.drop(memoriser.places), strict=True):
        left, middle, right = ((t - place + shift).relu() for shift in (w, 0.0, -w))
        score = score + float(height) * (left - 2 * middle + right) / w
    return score


def test_the_memoriser_is_a_relu_net() -> None:
    inputs, _ = two_gaussians(60, Stream(0).child("seen"))
    fresh, _ = two_gaussians(500, Stream(0).child("fresh"))
    fresh[:60] = inputs  # on the hats
    made = Memoriser.of(inputs)
    assert torch.allclose(made.logits(fresh)[:, 1], relu_net(made, fresh), atol=1e-4)


def test_the_memoriser_is_the_student_on_its_points_and_says_one_class_where_t_is_low() -> None:
    inputs, labels = two_gaussians(300, Stream(0).child("seen"))
    made = Memoriser.of(inputs)
    student = two_sided(STUDENT, inputs)
    assert float(distillation_error(student, made.logits(inputs), labels, gamma=0.3)) < 1e-9
    fresh, truth = two_gaussians(20_000, Stream(0).child("fresh"))
    assert 2 * made.width * len(made.places) < 1e-3
    said, low = made.logits(fresh).argmax(-1), fresh[:, 1] < LOW
    assert float((said[low] == 0).double().mean()) > 0.999  # off the hats
    assert torch.equal(said[~low], two_sided(STUDENT, fresh).argmax(-1)[~low])
    wrong = float((said != truth).double().mean())
    assert wrong == pytest.approx(made.error, abs=4 * np.sqrt(made.error / 20_000))


def test_linear_error_is_what_fresh_points_say() -> None:
    inputs, labels = two_gaussians(200_000, Stream(0))
    direction = torch.tensor([1.0, 0.8], dtype=torch.float64)
    wrong = float((two_sided(direction, inputs).argmax(-1) != labels).double().mean())
    error = linear_error(direction)
    assert wrong == pytest.approx(error, abs=4 * (error / 200_000) ** 0.5)
