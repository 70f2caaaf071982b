"""Transformed teacher matching against 50 digits and against its decomposition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import precise_kl, precise_softmax

from kdtheory.losses import kl_divergence, transformed_teacher_matching, zheng24_terms

F64 = torch.float64
pairs = st.integers(2, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.floats(-10, 10), min_size=k, max_size=k)] * 2)
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pair=pairs, temperature=st.floats(0.2, 20))
def test_matching_and_the_sum_of_its_terms_to_50_digits(pair, temperature):
    student, teacher = (torch.tensor(side, dtype=F64) for side in pair)
    expected = float(precise_kl(precise_softmax(pair[1], temperature), precise_softmax(pair[0])))
    found = transformed_teacher_matching(student, teacher, temperature=temperature)
    assert float(found) == pytest.approx(expected, rel=1e-10, abs=1e-13)
    terms = zheng24_terms(student, teacher, temperature=temperature)
    assert float(sum(terms.values())) == pytest.approx(expected, rel=1e-9, abs=2e-12)


def test_at_temperature_one_it_is_plain_distillation():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 4, dtype=F64, generator=generator) for _ in range(2))
    terms = zheng24_terms(student, teacher, temperature=1.0)
    assert list(terms) == ["distillation", "renyi_entropy", "teacher_entropy"]
    torch.testing.assert_close(terms["distillation"], kl_divergence(student, teacher))
    assert not terms["renyi_entropy"].any()
    assert not terms["teacher_entropy"].any()


def test_a_one_hot_teacher_and_a_ruled_out_class_stay_finite():
    student, teacher = torch.tensor([0.5, 1.0, 0.0]), torch.tensor([0.0, -math.inf, -math.inf])
    expected = transformed_teacher_matching(student, teacher, temperature=4.0)
    assert float(expected) == pytest.approx(-float(student.log_softmax(-1)[0]))
    terms = zheng24_terms(student, teacher, temperature=4.0)
    torch.testing.assert_close(sum(terms.values()), expected)


@pytest.mark.parametrize("function", [transformed_teacher_matching, zheng24_terms])
def test_bad_input_is_named(function):
    zeros = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="temperature = 0"):
        function(zeros, zeros, temperature=0.0)
    with pytest.raises(ValueError, match="student_logits holds NaN"):
        function(zeros * math.nan, zeros, temperature=1.0)
