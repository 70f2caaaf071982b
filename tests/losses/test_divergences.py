"""The soft terms against 50 digits, torch, SciPy, and at their endpoints."""

import math
from collections.abc import Callable

import pytest
import scipy.special
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import precise_kl, precise_softmax
from torch import Tensor

from kdtheory.losses import (
    SOFT_TERMS,
    cross_entropy,
    entropy,
    jensen_shannon,
    kl_divergence,
    reverse_kl_divergence,
    squared_logit_distance,
    squared_prob_distance,
)

F64 = torch.float64
INF = math.inf
PUBLIC = {
    "kl": kl_divergence,
    "reverse_kl": reverse_kl_divergence,
    "cross_entropy": cross_entropy,
    "jsd": jensen_shannon,
    "mse_logits": squared_logit_distance,
    "mse_probs": squared_prob_distance,
}
pairs = st.integers(2, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.floats(-15, 15), min_size=k, max_size=k)] * 2)
)


def _pair(seed=0, shape=(7, 5), scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, dtype=F64, generator=generator) * scale for _ in range(2))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pair=pairs)
def test_kl_to_50_digits(pair):
    student, teacher = pair
    expected = float(precise_kl(precise_softmax(teacher), precise_softmax(student)))
    found = float(kl_divergence(torch.tensor(student, dtype=F64), torch.tensor(teacher, dtype=F64)))
    assert found == pytest.approx(expected, rel=1e-9, abs=2e-14)


def test_kl_is_what_torch_and_scipy_say():
    student, teacher = _pair()
    log_s, log_t = student.log_softmax(-1), teacher.log_softmax(-1)
    torch.testing.assert_close(
        kl_divergence(student, teacher), F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(-1)
    )
    torch.testing.assert_close(
        reverse_kl_divergence(student, teacher),
        torch.as_tensor(scipy.special.rel_entr(log_s.exp().numpy(), log_t.exp().numpy()).sum(-1)),
    )
    torch.testing.assert_close(
        cross_entropy(student, teacher), F.cross_entropy(student, log_t.exp(), reduction="none")
    )


def test_cross_entropy_is_kl_plus_the_entropy_of_the_teacher():
    student, teacher = _pair(1)
    torch.testing.assert_close(
        cross_entropy(student, teacher), kl_divergence(student, teacher) + entropy(teacher)
    )


def test_squares_are_mse_losses_summed_over_the_classes():
    student, teacher = _pair(2)
    torch.testing.assert_close(
        squared_logit_distance(student, teacher), F.mse_loss(student, teacher, reduction="none").sum(-1)
    )
    torch.testing.assert_close(
        squared_prob_distance(student, teacher),
        F.mse_loss(student.softmax(-1), teacher.softmax(-1), reduction="none").sum(-1),
    )


@pytest.mark.parametrize("beta", [1e-6, 0.1, 0.5, 0.9])
def test_jensen_shannon_is_its_definition_in_probabilities(beta):
    student, teacher = _pair(3)
    p_s, p_t = student.softmax(-1).numpy(), teacher.softmax(-1).numpy()
    mixture = beta * p_t + (1 - beta) * p_s
    to_teacher = scipy.special.rel_entr(p_t, mixture).sum(-1)
    to_student = scipy.special.rel_entr(p_s, mixture).sum(-1)
    printed = torch.as_tensor(beta * to_teacher + (1 - beta) * to_student)
    swapped = torch.as_tensor((1 - beta) * to_teacher + beta * to_student)
    torch.testing.assert_close(jensen_shannon(student, teacher, beta=beta), printed, rtol=1e-8, atol=1e-13)
    torch.testing.assert_close(
        jensen_shannon(student, teacher, beta=beta, continuous=True), swapped, rtol=1e-8, atol=1e-13
    )


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_endpoints_of_jensen_shannon_jump_and_the_continuous_form_does_not(end):
    student, teacher = _pair(4)
    endpoint = (reverse_kl_divergence if end else kl_divergence)(student, teacher)
    near = 1e-7
    inside = abs(end - near)
    for continuous in (False, True):
        found = jensen_shannon(student, teacher, beta=end, continuous=continuous)
        torch.testing.assert_close(found, endpoint)
    shrunk = jensen_shannon(student, teacher, beta=inside) / near
    torch.testing.assert_close(shrunk, endpoint, rtol=1e-4, atol=1e-6)
    smooth = jensen_shannon(student, teacher, beta=inside, continuous=True)
    torch.testing.assert_close(smooth, endpoint, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SOFT_TERMS))
def test_every_term_is_zero_or_the_entropy_where_student_and_teacher_agree(name):
    student, _ = _pair(5)
    floor = entropy(student) if name == "cross_entropy" else torch.zeros(7, dtype=F64)
    torch.testing.assert_close(PUBLIC[name](student, student.clone()), floor, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted(SOFT_TERMS))
def test_named_terms_are_the_public_functions_and_have_right_gradients(name):
    student, teacher = (side.requires_grad_() for side in _pair(6, shape=(3, 4), scale=1.0))
    torch.testing.assert_close(SOFT_TERMS[name](student, teacher), PUBLIC[name](student, teacher))
    assert torch.autograd.gradcheck(SOFT_TERMS[name], (student, teacher))


@pytest.mark.parametrize("beta", [0.0, 0.2, 0.5, 1.0])
def test_jensen_shannon_has_right_gradients(beta):
    student, teacher = (side.requires_grad_() for side in _pair(7, shape=(3, 4), scale=1.0))
    for continuous in (False, True):
        assert torch.autograd.gradcheck(
            lambda s, t, c=continuous: jensen_shannon(s, t, beta=beta, continuous=c), (student, teacher)
        )


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pair=pairs, beta=st.floats(0, 1), shift=st.floats(-30, 30))
def test_divergences_are_not_negative_and_see_no_shift(pair, beta, shift):
    student, teacher = (torch.tensor(side, dtype=F64) for side in pair)
    for continuous in (False, True):
        value = jensen_shannon(student, teacher, beta=beta, continuous=continuous)
        assert float(value) >= -1e-13
        moved = jensen_shannon(student + shift, teacher - shift, beta=beta, continuous=continuous)
        assert float(moved) == pytest.approx(float(value), rel=1e-8, abs=1e-12)
    symmetric = jensen_shannon(student, teacher)
    assert float(symmetric) <= math.log(2) + 1e-12
    assert float(symmetric) == pytest.approx(float(jensen_shannon(teacher, student)), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("name", ["kl", "cross_entropy", "jsd", "mse_probs"])
def test_a_class_that_the_teacher_rules_out_costs_nothing_strange(name):
    student = torch.tensor([0.2, -0.4, 1.0], dtype=F64, requires_grad=True)
    nearly, out = (torch.tensor([0.0, 1.0, z], dtype=F64, requires_grad=True) for z in (-60.0, -INF))
    values = [SOFT_TERMS[name](student, teacher) for teacher in (nearly, out)]
    torch.testing.assert_close(values[1], values[0], rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(v, (student, t)) for v, t in zip(values, (nearly, out), strict=True)]
    for one, other in zip(*gradients, strict=True):
        assert torch.isfinite(other).all()
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-15)


def test_classes_ruled_out_by_both_are_as_if_they_were_not_there():
    student, teacher = _pair(8, shape=(3,))
    padded = [torch.cat([side, torch.tensor([-INF], dtype=F64)]) for side in (student, teacher)]
    leaves = [side.clone().requires_grad_() for side in padded]
    for name in ("kl", "reverse_kl", "cross_entropy", "jsd", "mse_probs"):
        value = SOFT_TERMS[name](*leaves)
        torch.testing.assert_close(value, SOFT_TERMS[name](student, teacher))
        for gradient in torch.autograd.grad(value, leaves):
            assert torch.isfinite(gradient).all()


def test_a_class_that_only_the_student_rules_out_is_infinitely_wrong():
    student, teacher = torch.tensor([0.0, -INF], dtype=F64), torch.zeros(2, dtype=F64)
    assert float(kl_divergence(student, teacher)) == INF
    assert float(cross_entropy(student, teacher)) == INF
    assert float(reverse_kl_divergence(student, teacher)) == pytest.approx(math.log(2))
    assert float(jensen_shannon(student, teacher)) < math.log(2)


def test_logits_far_apart_do_not_overflow():
    student, teacher = torch.tensor([0.0, 5000.0], dtype=F64), torch.tensor([5000.0, 0.0], dtype=F64)
    assert float(kl_divergence(student, teacher)) == pytest.approx(5000.0)
    assert float(cross_entropy(student, teacher)) == pytest.approx(5000.0)
    assert float(jensen_shannon(student, teacher)) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: kl_divergence(z * math.nan, z), "student_logits holds NaN"),
        (lambda z: cross_entropy(z, z + INF), "teacher_logits holds NaN, .inf"),
        (lambda z: jensen_shannon(z, z, beta=1.5), "beta = 1.5"),
        (lambda z: jensen_shannon(z, z, beta=-0.1), "beta = -0.1"),
        (lambda z: squared_logit_distance(z, torch.tensor([[0.0, 1.0, -INF]] * 2)), "-inf"),
        (lambda z: squared_prob_distance(z[:, :1], z[:, :1]), "2 classes or more"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("divergence", [kl_divergence, reverse_kl_divergence, jensen_shannon])
def test_classes_that_both_exclude_have_no_gradient_whatever_the_factor(
    divergence: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    kept = torch.tensor([0.3, -0.2, 1.0], dtype=dtype, requires_grad=True)
    other, out = torch.tensor([1.0, 0.5, -1.0], dtype=dtype), torch.full((1,), -torch.inf, dtype=dtype)
    whole = [torch.cat([part, out])[None] for part in (kept, other)]
    (found,) = torch.autograd.grad(1e4 * divergence(*whole).sum(), kept)
    (expected,) = torch.autograd.grad(1e4 * divergence(kept[None], other[None]).sum(), kept)
    torch.testing.assert_close(found, expected)
