"""The memoriser of 5.7 is what it is said to be, and the error of a linear classifier is exact."""

from __future__ import annotations

import pytest
import torch

from kdtheory.bounds.margins import distillation_error
from kdtheory.claims.bounds.memoriser import STUDENT, memoriser, said
from kdtheory.claims.bounds.two_gaussians import linear_error, two_gaussians, two_sided
from kdtheory.streams import Stream


def test_the_memoriser_is_the_student_on_its_points_and_the_opposite_elsewhere() -> None:
    inputs, labels = two_gaussians(300, Stream(0).child("seen"))
    net, on_hats = memoriser(inputs)
    student, taught = two_sided(STUDENT, inputs), said(net, inputs)
    assert float(distillation_error(student, taught, labels, gamma=0.3)) < 1e-4
    fresh, truth = two_gaussians(20_000, Stream(0).child("fresh"))
    assert on_hats < 1e-3
    on_a_hat = (said(net, fresh) + two_sided(STUDENT, fresh)).abs().amax(-1) > 1e-3
    assert float(on_a_hat.double().mean()) < 2 * on_hats
    wrong = float((said(net, fresh).argmax(-1) != truth).double().mean())
    assert wrong == pytest.approx(1 - linear_error(STUDENT), abs=4 * (0.0063 / 20_000) ** 0.5)


def test_linear_error_is_what_fresh_points_say() -> None:
    inputs, labels = two_gaussians(200_000, Stream(0))
    direction = torch.tensor([1.0, 0.8], dtype=torch.float64)
    wrong = float((two_sided(direction, inputs).argmax(-1) != labels).double().mean())
    error = linear_error(direction)
    assert wrong == pytest.approx(error, abs=4 * (error / 200_000) ** 0.5)
