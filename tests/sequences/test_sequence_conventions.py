"""The table of sequence losses: entries that are told apart, and gradients against finite samples."""

from __future__ import annotations

import contextlib

import pytest
import torch

from kdtheory.sequences import SEQUENCE_CONVENTIONS
from kdtheory.streams import Stream

STUDENT, TEACHER = torch.randn(2, 6, dtype=torch.float64, generator=Stream(0).torch())


@pytest.mark.parametrize("name", SEQUENCE_CONVENTIONS)
def test_every_entry_names_a_version_and_its_gradient_sums_to_zero(name):
    one = SEQUENCE_CONVENTIONS[name]
    assert " at " in one.code or "tutorial" in one.code
    assert one.prefixes in ("teacher", "student", "both")
    assert one.gradient(STUDENT, TEACHER).sum() == pytest.approx(0, abs=1e-12)


def test_the_directions_differ_and_the_names_say_which():
    p, q = TEACHER.softmax(-1), STUDENT.softmax(-1)
    forward = q - p
    reverse = q * ((q / p).log() - (q * (q / p).log()).sum())
    wanted = {"teacher_to_student": forward, "student_to_teacher": reverse}
    for one in SEQUENCE_CONVENTIONS.values():
        found = one.gradient(STUDENT, TEACHER)
        agrees = {name for name, way in wanted.items() if torch.allclose(found, way, atol=1e-12)}
        assert agrees == ({one.descends} if one.descends else set()), one.code


def test_a_mean_over_samples_tends_to_the_gradient_of_the_table():
    """The mean of 200,000 drawn gradients of k3, y ∼ q: within five standard errors."""
    q, r = STUDENT.softmax(-1), TEACHER.log_softmax(-1) - STUDENT.log_softmax(-1)
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=Stream(1).torch())
    scores = torch.nn.functional.one_hot(drawn, 6).double() - q
    rows = (1 - r.exp())[drawn, None] * scores
    error = (rows.mean(0) - SEQUENCE_CONVENTIONS["verl_k3"].gradient(STUDENT, TEACHER)).abs()
    assert bool((error <= 5 * rows.std(0) / 200_000**0.5).all())


def test_small_vocabularies_and_masked_ones():
    masked = torch.tensor([0.0, 1.0, -torch.inf])
    for one in SEQUENCE_CONVENTIONS.values():
        assert bool(torch.isfinite(one.gradient(torch.zeros(2), torch.tensor([1.0, 3.0]).log())).all())
        found = None
        with contextlib.suppress(ValueError):
            found = one.gradient(masked, masked)
        assert found is None or bool(torch.isfinite(found).all())
