"""Hard, partial and soft labels on finite domains: enumeration, autodiff, Monte Carlo, explicit bounds."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from kdtheory.risk import (
    calibration_error,
    hidden_mass,
    partial_label_limit,
    total_variation,
    total_variation_bound,
    transferred,
)
from kdtheory.streams import Stream

WEIGHTS = torch.tensor([0.7, 0.3], dtype=torch.float64)
TEACHER = torch.tensor([[0.6, 0.3, 0.1], [0.0, 0.5, 0.5]], dtype=torch.float64)


def told(sample: tuple[tuple[int, int], ...], feedback: str) -> torch.Tensor:
    """The estimate, one entry at a time."""
    rows = []
    for s in range(2):
        answers = [a for place, a in sample if place == s]
        row = [1 / 3] * 3
        if answers and feedback == "soft":
            row = TEACHER[s].tolist()
        elif answers and feedback == "hard":
            row = [answers.count(a) / len(answers) for a in range(3)]
        elif answers:
            unseen = [a for a in range(3) if a not in answers]
            rest = 1 - sum(float(TEACHER[s, a]) for a in set(answers))
            row = [rest / len(unseen) if a in unseen else float(TEACHER[s, a]) for a in range(3)]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("feedback", ["hard", "partial", "soft"])
@pytest.mark.parametrize("n", [1, 3])
def test_every_sample_by_enumeration(feedback: str, n: int) -> None:
    mean = hidden = 0.0
    for sample in itertools.product(itertools.product(range(2), range(3)), repeat=n):
        chance = math.prod(float(WEIGHTS[s] * TEACHER[s, a]) for s, a in sample)
        if not chance:
            continue
        counts = torch.zeros(2, 3, dtype=torch.long)
        for s, a in sample:
            counts[s, a] += 1
        estimate = transferred(counts, TEACHER, feedback=feedback)
        assert torch.allclose(estimate, told(sample, feedback), rtol=0, atol=1e-15)
        mean += chance * float(total_variation(estimate, TEACHER, WEIGHTS))
        seen = counts > 0 if feedback == "partial" else (counts.sum(-1, keepdim=True) > 0).expand(2, 3)
        hidden += chance * float(((WEIGHTS[:, None] * TEACHER) * ~seen).sum())
    assert mean <= total_variation_bound(inputs=2, answers=3, n=n, feedback=feedback)
    if feedback != "hard":
        found = hidden_mass(WEIGHTS, TEACHER, n=n, feedback=feedback)
        assert math.isclose(found, hidden, rel_tol=1e-12)
        assert mean <= found + 1e-12


def test_hidden_mass_reaches_its_bound_up_to_the_discreteness_of_mass() -> None:
    """|S| − 1 inputs of mass 1/n: (|S| − 1)/n·(1 − 1/n)ⁿ, against |S|/(e n)."""
    n, inputs = 1000, 400
    weights = torch.full((inputs,), 1 / n, dtype=torch.float64)
    weights[0] = 1 - (inputs - 1) / n
    found = hidden_mass(weights, torch.full((inputs, 2), 0.5).double(), n=n, feedback="soft")
    bound = total_variation_bound(inputs=inputs, answers=2, n=n, feedback="soft")
    assert 0.99 * bound < found < bound


def test_hidden_mass_of_rare_inputs_and_of_low_precision() -> None:
    """m(1 − m)ⁿ with m far below the rounding of one, and n·m of order one."""
    m, n = 1e-9, 10**9
    weights, teacher = torch.tensor([1 - m, m]), torch.eye(2)
    assert math.isclose(hidden_mass(weights, teacher, n=n, feedback="soft"), m / math.e, rel_tol=1e-6)
    half = torch.full((512,), 1 / 512, dtype=torch.float16)
    found = hidden_mass(half, torch.full((512, 2), 0.5, dtype=torch.float16), n=512, feedback="soft")
    assert math.isclose(found, (1 - 1 / 512) ** 512, rel_tol=1e-9)
    counts, exact = torch.tensor([[2, 1, 0]]), torch.tensor([[0.5, 0.375, 0.125]])
    for feedback in ("hard", "partial", "soft"):
        told_in_half = transferred(counts, exact.half(), feedback=feedback)
        assert told_in_half.dtype == torch.float32
        torch.testing.assert_close(
            told_in_half, transferred(counts, exact.half().float(), feedback=feedback), rtol=1e-6, atol=0
        )


def test_partial_limit_minimises_the_expected_partial_cross_entropy() -> None:
    teacher = torch.softmax(torch.randn(5, 4, dtype=torch.float64, generator=Stream(0).torch()), -1)
    logits = torch.zeros_like(teacher, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -(teacher * teacher * logits.log_softmax(-1)).sum()  # sampled with π, weighed by π
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(logits.detach().softmax(-1), partial_label_limit(teacher), atol=1e-6)
    even = torch.tensor([0.5, 0.5, 0.0])
    assert torch.allclose(partial_label_limit(even), even)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: transferred(torch.zeros(2, 3).long(), TEACHER, feedback="loud"), "feedback"),
        (lambda: transferred(-torch.ones(2, 3).long(), TEACHER, feedback="hard"), "counts"),
        (lambda: hidden_mass(WEIGHTS, TEACHER, n=3, feedback="hard"), "feedback"),
        (lambda: hidden_mass(WEIGHTS, TEACHER, n=0, feedback="soft"), "n"),
        (lambda: total_variation(TEACHER, TEACHER, 2 * WEIGHTS), "weights"),
        (lambda: partial_label_limit(torch.ones(3)), "probs"),
    ],
)
def test_bad_input_is_named(call, named: str, unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=named):
        call()


def test_the_bound_by_hand_for_every_feedback() -> None:
    def bound(feedback: str) -> float:
        return total_variation_bound(inputs=8, answers=5, n=64, feedback=feedback)

    assert bound("soft") == pytest.approx(1 / (8 * math.e))
    assert bound("partial") == pytest.approx(5 / (8 * math.e))
    assert bound("hard") == pytest.approx(0.5 + 1 / (8 * math.e))  # √(8·4/128) = ½


@pytest.mark.parametrize("size", [7, 10, 33, 100])
def test_a_distance_does_not_exceed_one_by_rounding(size: int) -> None:
    law = torch.rand(500, size, generator=torch.Generator().manual_seed(size))
    law, none = law / law.sum(-1, keepdim=True), torch.zeros(500, size)
    apart = torch.cat([law, none], 1), torch.cat([none, law], 1), torch.full((500,), 1 / 500)
    assert 1 - 1e-5 < float(total_variation(*apart)) <= 1
    assert 1 - 1e-5 < float(calibration_error(*apart)) <= 1
