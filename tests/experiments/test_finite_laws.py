"""Laws of few directions: expected risks against the sum over all samples, and what their tails say."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from kdtheory.experiments.transfer_risk.finite_laws import leaning_law, power_tail, scattered_law
from kdtheory.streams import Stream


@pytest.mark.parametrize("teacher", [0, 1])
def test_expected_risk_is_the_sum_over_all_samples(teacher: int) -> None:
    law = scattered_law(Stream(0), dim=4)
    total, oracle = 0.0, torch.eye(4, dtype=torch.float64)[teacher]
    for sample in itertools.product(range(5), repeat=3):
        points = law.directions[list(sample)]
        student = points.T @ torch.linalg.lstsq(points.T, oracle, driver="gelsd").solution
        wrong = (law.directions @ student).sign() != law.directions[:, 0].sign()
        total += float(law.probs[list(sample)].prod() * law.probs[wrong].sum())
    assert float(law.expected_risk((3,), teacher=teacher)) == pytest.approx(total, abs=1e-12)


def test_leaning_law_by_hand() -> None:
    law = leaning_law(rare=0.1, margin=0.1, lean=0.2)
    assert law.tail(1.0) == pytest.approx(0.1)
    assert law.tail(0.2) == pytest.approx(1.0)
    # n = 2: two common points and a rare fresh one, or the other way round
    assert float(law.expected_risk((2,))) == pytest.approx(0.9**2 * 0.1 + 0.1**2 * 0.9)


def test_power_tail() -> None:
    assert power_tail(2.0, math.pi / 4) == pytest.approx(0.25)
