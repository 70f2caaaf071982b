"""The distillation bound of one fixed student: constants, both sides, and what a class would cost."""

from __future__ import annotations

import math

import pytest
import torch

from kdtheory.bounds import (
    fisher32_log_level,
    hsu21_fixed_student,
    hsu21_fixed_student_by_margins,
    softmax_distance,
)
from kdtheory.inversion import kl_upper_inverse

WORDS = dict.fromkeys(
    (
        "student_fixed_in_advance",
        "candidates_fixed_in_advance",
        "drawn_afterwards",
        "independent_draws",
        "same_law",
    ),
    True,
)


def pair(n: int, gap: float) -> torch.Tensor:
    return torch.tensor([[gap, 0.0]]).repeat(n, 1).double()


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_it_is_twice_the_largest_sum(ratio: float) -> None:
    n, m, gamma, delta = 500, 800, 0.5, 0.05
    student, teacher = pair(m, 1.0), pair(m, 2.0)
    bound = hsu21_fixed_student(
        pair(n, 1.0), torch.zeros(n).long(), student, teacher, gamma=gamma, delta=delta, gamma_weight=0.25,
        density_ratio=ratio, **WORDS,
    )  # fmt: skip
    sure = [1 / (1 + math.exp(-gap / gamma)) for gap in (1.0, 2.0)]
    loss, apart = 1 - sure[0], sure[1] - sure[0]
    level = -fisher32_log_level(delta / 4)
    shares = torch.linspace(0, 1, 4001).double().numpy()
    sums = kl_upper_inverse(loss, shares * level / n) + ratio * kl_upper_inverse(
        apart, (1 - shares) * level / m
    )
    assert 2 * sums.max() * (1 - 1e-9) <= bound.value <= 2 * sums.max() * (1 + 1e-3)
    assert bound.terms["student's loss"] == pytest.approx(2 * loss)
    assert bound.terms["distillation error"] == pytest.approx(2 * ratio * apart)
    assert sum(bound.terms.values()) == pytest.approx(bound.value)


@pytest.mark.parametrize(("n", "radius"), [(1000, 0.0979), (10_000, 0.0310)])
def test_no_more_than_two_of_hoeffdings_radii(n: int, radius: float) -> None:
    """2√(ln(2/δ)/2n) for the loss, δ = 1/60, and the same for the distance; a class pays thrice that."""
    assert 2 * math.sqrt(math.log(120) / (2 * n)) == pytest.approx(radius, abs=1e-4)
    for gap in (0.5, 3.0):
        logits = pair(n, gap)
        bound = hsu21_fixed_student(
            logits, torch.zeros(n).long(), logits, logits, gamma=1.0, delta=1 / 60, **WORDS
        )
        assert bound.terms["joint radius"] < 1.2 * radius  # both, for hardly more than one


def test_margins_of_two_classes_are_the_same_loss_and_of_three_no_smaller() -> None:
    logits, labels = torch.tensor([[2.0, 0.0, 1.0]]).repeat(200, 1).double(), torch.zeros(200).long()
    for columns, same in ((2, True), (3, False)):
        points = logits[:, :columns], labels, logits[:, :columns], logits[:, :columns]
        soft = hsu21_fixed_student(*points, gamma=1.0, delta=0.05, **WORDS)
        hard = hsu21_fixed_student_by_margins(*points, gamma=1.0, delta=0.05, **WORDS)
        assert hard.value == pytest.approx(soft.value) if same else hard.value > soft.value


def test_bad_input_is_named() -> None:
    logits, labels = pair(20, 1.0), torch.zeros(20).long()
    good = {"gamma": 1.0, "delta": 0.05}
    for bad in ({"gamma": 0.0}, {"delta": 1.0}, {"gamma_weight": 0.0}, {"density_ratio": 0.5}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            hsu21_fixed_student(logits, labels, logits, logits, **{**good, **bad}, **WORDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws_that_share_no_class_are_at_distance_one_and_not_beyond(dtype: torch.dtype) -> None:
    student = torch.randn(2000, 10, dtype=dtype, generator=torch.Generator().manual_seed(0))
    teacher = student.clone()
    student[:, 5:] -= 200
    teacher[:, :5] -= 200
    assert float(softmax_distance(student, teacher, gamma=1.0).max()) == 1
    labels = torch.zeros(2000).long()
    assert hsu21_fixed_student(student, labels, student, teacher, gamma=1.0, delta=0.05, **WORDS).value > 2
