"""The distillation loss and its exact gradient: 50 digits, autograd, torch's reductions, endpoints."""

import math
from functools import partial

import mpmath
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import precise_kl, precise_softmax

from kdtheory.losses import (
    SOFT_TERMS,
    distillation,
    entropy,
    jensen_shannon,
    kd_gradient,
    kd_loss,
    label_loss,
    soft_label_loss,
)

F64 = torch.float64
INF = math.inf


def _batch(seed=0, shape=(6,), k=4, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(*shape, k, dtype=F64, generator=generator) * scale for _ in range(2))
    return student, teacher, torch.randint(k, shape, generator=generator)


def _precise_loss(student, teacher, label, temperature, weight):
    """L and ∂L/∂z_s of one example, 50 digits, one class at a time."""
    with mpmath.workdps(50):
        t, share = mpmath.mpf(temperature), mpmath.mpf(weight)
        soft_s, soft_t = precise_softmax(student, temperature), precise_softmax(teacher, temperature)
        hard = precise_softmax(student)
        loss = share * t**2 * precise_kl(soft_t, soft_s) - (1 - share) * mpmath.log(hard[label])
        gradient = [
            share * t * (soft_s[j] - soft_t[j]) + (1 - share) * (hard[j] - (j == label))
            for j in range(len(student))
        ]
    return float(loss), [float(value) for value in gradient]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_loss_and_gradient_to_50_digits(temperature, weight):
    student, teacher, labels = _batch()
    student.requires_grad_()
    losses = kd_loss(student, teacher, labels, temperature=temperature, weight=weight, reduction="none")
    (automatic,) = torch.autograd.grad(losses.sum(), student)
    rows = zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True)
    precise = [_precise_loss(*row, temperature, weight) for row in rows]
    torch.testing.assert_close(
        losses, torch.tensor([p[0] for p in precise], dtype=F64), rtol=1e-11, atol=1e-12
    )
    expected = torch.tensor([p[1] for p in precise], dtype=F64)
    torch.testing.assert_close(automatic, expected, rtol=1e-11, atol=1e-13)
    closed = kd_gradient(student, teacher, labels, temperature=temperature, weight=weight)
    torch.testing.assert_close(closed, expected, rtol=1e-11, atol=1e-13)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.05, 100),
    weight=st.floats(0, 1),
    squared=st.booleans(),
    soft=st.sampled_from(["kl", "cross_entropy"]),
)
def test_the_closed_gradient_is_what_autograd_finds(seed, temperature, weight, squared, soft):
    student, teacher, labels = _batch(seed)
    student.requires_grad_()
    options = {"temperature": temperature, "weight": weight, "temperature_squared": squared}
    loss = kd_loss(student, teacher, labels, **options, soft=soft)
    (automatic,) = torch.autograd.grad(loss, student)
    closed = kd_gradient(student, teacher, labels, **options) / len(labels)
    torch.testing.assert_close(automatic, closed, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(closed.sum(-1), torch.zeros(6, dtype=F64), rtol=0, atol=1e-11)


@pytest.mark.parametrize("soft", sorted(SOFT_TERMS))
def test_every_soft_term_passes_gradcheck_in_both_networks(soft):
    student, teacher, labels = _batch(1, shape=(3,), scale=1.0)
    assert torch.autograd.gradcheck(
        lambda s, t: kd_loss(s, t, labels, temperature=2.0, weight=0.6, soft=soft),
        (student.requires_grad_(), teacher.requires_grad_()),
    )


def test_reductions_are_those_of_torch():
    student, teacher, labels = _batch(2)
    loss = partial(kd_loss, student, teacher, labels, temperature=3.0, weight=0.25)
    log_s, p_t = (student / 3).log_softmax(-1), (teacher / 3).softmax(-1)
    hard = {r: F.cross_entropy(student, labels, reduction=r) for r in ("mean", "sum", "none")}
    soft = {r: 9 * F.kl_div(log_s, p_t, reduction=r) for r in ("batchmean", "sum", "none")}
    for reduction, expected in {
        "batchmean": 0.25 * soft["batchmean"] + 0.75 * hard["mean"],
        "mean": 0.25 * soft["none"].mean() + 0.75 * hard["mean"],
        "sum": 0.25 * soft["sum"] + 0.75 * hard["sum"],
        "none": 0.25 * soft["none"].sum(-1) + 0.75 * hard["none"],
    }.items():
        torch.testing.assert_close(loss(reduction=reduction), expected)


def test_the_ends_of_the_weight_leave_the_other_term_out():
    student, teacher, labels = _batch(3)
    hard = kd_loss(student, teacher, labels, temperature=2.0, weight=0.0)
    torch.testing.assert_close(hard, F.cross_entropy(student, labels))
    ruled_out = torch.where(torch.arange(4) == labels[:, None], teacher, -INF)
    wrong_everywhere = kd_loss(student, ruled_out, labels, temperature=2.0, weight=0.0, soft="reverse_kl")
    torch.testing.assert_close(wrong_everywhere, hard)
    soft = kd_loss(student, teacher, labels, temperature=2.0, weight=1.0)
    torch.testing.assert_close(soft, kd_loss(student, teacher, None, temperature=2.0, weight=1.0))
    free = kd_loss(student, teacher, labels, temperature=2.0, weight=3.0, hard_weight=0.5)
    torch.testing.assert_close(free, 3 * soft + 0.5 * hard)


def test_a_one_hot_teacher_is_a_label_at_every_temperature():
    student, _, labels = _batch(4)
    one_hot = torch.full((6, 4), -INF, dtype=F64).scatter(-1, labels[:, None], 0.0)
    for temperature in (0.5, 1.0, 7.0):
        expected = temperature**2 * F.cross_entropy(student / temperature, labels)
        for soft in ("kl", "cross_entropy"):
            found = kd_loss(student, one_hot, labels, temperature=temperature, weight=1.0, soft=soft)
            torch.testing.assert_close(found, expected)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn_but_the_entropy_stays():
    student, _, labels = _batch(5)
    settings_ = {"temperature": 3.0, "weight": 1.0}
    zeros = torch.zeros(6, 4, dtype=F64)
    torch.testing.assert_close(kd_gradient(student, student.clone(), labels, **settings_), zeros)
    assert float(kd_loss(student, student.clone(), labels, **settings_)) == pytest.approx(0, abs=1e-14)
    left = kd_loss(student, student.clone(), labels, **settings_, soft="cross_entropy", reduction="none")
    torch.testing.assert_close(left, 9 * entropy(student, temperature=3.0))


def test_extreme_temperatures_stay_finite():
    student, teacher, labels = _batch(6)
    student.requires_grad_()
    for temperature in (1e-6, 1e6):
        loss = kd_loss(student, teacher, labels, temperature=temperature, weight=0.5)
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_settings_broadcast_against_the_example_axes_and_keep_the_dtype():
    student, teacher, labels = (
        side.float() if side.is_floating_point() else side for side in _batch(7, (3, 5))
    )
    temperature = torch.tensor([[1.0], [2.0], [8.0]], dtype=F64)
    weight = torch.tensor([[0.0], [0.5], [1.0]], dtype=F64)
    found = kd_loss(student, teacher, labels, temperature=temperature, weight=weight, reduction="none")
    assert found.shape == (3, 5)
    assert found.dtype == torch.float32
    gradient = kd_gradient(student, teacher, labels, temperature=temperature, weight=weight)
    for i in range(3):
        one = {"temperature": float(temperature[i]), "weight": float(weight[i])}
        expected = kd_loss(student[i], teacher[i], labels[i], **one, reduction="none")
        torch.testing.assert_close(found[i], expected)
        torch.testing.assert_close(gradient[i], kd_gradient(student[i], teacher[i], labels[i], **one))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.2, 30),
    weight=st.floats(0, 1),
    soft=st.sampled_from(sorted(set(SOFT_TERMS) - {"mse_logits"})),
    squared=st.booleans(),
)
def test_distillation_from_probabilities_is_the_same_loss(seed, temperature, weight, soft, squared):
    student, teacher, labels = _batch(seed)
    options = {"temperature": temperature, "weight": weight, "soft": soft, "temperature_squared": squared}
    found = distillation(student, teacher.softmax(-1), labels, **options)
    expected = kd_loss(student, teacher, labels, **options, reduction="none")
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_distillation_serves_a_population_from_one_teacher():
    student, _, _ = _batch(8, (3, 5))
    _, teacher, labels = _batch(9, (5,))
    probs = teacher.softmax(-1)
    temperature, weight = torch.tensor([[1.0], [2.0], [8.0]]), torch.tensor([[0.0], [0.5], [1.0]])
    found = distillation(student, probs, labels, temperature=temperature, weight=weight)
    for i in range(3):
        one = {"temperature": float(temperature[i]), "weight": float(weight[i])}
        torch.testing.assert_close(found[i], distillation(student[i], probs, labels, **one))
    plain = distillation(student, None, labels, weight=0.0)
    torch.testing.assert_close(plain[1], F.cross_entropy(student[1], labels, reduction="none"))
    torch.testing.assert_close(plain, label_loss(student, None, labels), rtol=0, atol=0)
    torch.testing.assert_close(
        distillation(student[0], probs, None, soft="cross_entropy"), soft_label_loss(student[0], probs)
    )


def test_a_zero_in_the_teacher_sends_finite_gradients():
    student = torch.randn(4, 3, dtype=F64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    probs = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]], dtype=F64)
    labels = torch.tensor([0, 1, 1, 2])
    for soft in ("kl", "cross_entropy", "jsd", "mse_probs"):
        loss = distillation(student, probs, labels, temperature=2.0, weight=0.5, soft=soft).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_soft_label_loss_is_cross_entropy_with_probabilities():
    student, teacher, labels = _batch(10)
    probs = teacher.softmax(-1)
    torch.testing.assert_close(
        soft_label_loss(student, probs), F.cross_entropy(student, probs, reduction="none")
    )
    one_hot = F.one_hot(labels, 4).to(F64)
    torch.testing.assert_close(
        soft_label_loss(student, one_hot), F.cross_entropy(student, labels, reduction="none")
    )


def test_a_function_may_stand_for_the_soft_term():
    student, teacher, labels = _batch(11)
    found = kd_loss(
        student, teacher, labels, temperature=2.0, weight=1.0, soft=partial(jensen_shannon, beta=0.1)
    )
    torch.testing.assert_close(found, 4 * jensen_shannon(student / 2, teacher / 2, beta=0.1).mean())


Z, P, Y = torch.zeros(2, 3), torch.full((2, 3), 1 / 3), torch.tensor([0, 2])
FINE = {"temperature": 1.0, "weight": 0.5}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kd_loss(Z, Z, Y, temperature=0.0, weight=0.5), "temperature = 0 "),
        (lambda: kd_loss(Z, Z, Y, temperature=-1.0, weight=0.5), "temperature = -1"),
        (lambda: kd_loss(Z, Z, Y, temperature=INF, weight=0.5), "temperature = inf"),
        (lambda: kd_loss(Z, Z, Y, temperature=1.0, weight=1.5), "weight = 1.5"),
        (lambda: kd_loss(Z, Z, Y, temperature=1.0, weight=-0.1), "weight = -0.1"),
        (lambda: kd_loss(Z, Z, Y, **FINE, hard_weight=-1.0), "hard_weight = -1"),
        (lambda: kd_loss(Z, Z, Y, **FINE, hard_weight=math.nan), "hard_weight = nan"),
        (lambda: kd_loss(Z, Z, Y, **FINE, soft="huber"), "soft = 'huber'"),
        (lambda: kd_loss(Z, Z, None, **FINE), "labels = None"),
        (lambda: kd_loss(Z * math.nan, Z, Y, **FINE), "student_logits holds NaN"),
        (lambda: kd_loss(Z, Z + INF, Y, **FINE), "teacher_logits holds NaN, .inf"),
        (lambda: kd_loss(Z, Z, Y + 1, **FINE), "labels spans 1 to 3"),
        (lambda: kd_loss(Z, Z, Y - 1, **FINE), "labels spans -1 to 1"),
        (lambda: kd_loss(Z[:0], Z[:0], Y[:0], **FINE), "no row"),
        (lambda: kd_loss(Z[:, :1], Z[:, :1], Y, **FINE), "2 classes or more"),
        (lambda: kd_gradient(Z, Z, Y, temperature=0.0, weight=0.5), "temperature = 0 "),
        (lambda: kd_gradient(Z, Z, Y, temperature=1.0, weight=2.0), "weight = 2"),
        (lambda: distillation(Z, P, Y, temperature=0.0), "temperature = 0 "),
        (lambda: distillation(Z, P, Y, weight=1.5), "weight = 1.5"),
        (lambda: distillation(Z, P, Y, soft="huber"), "soft = 'huber'"),
        (lambda: distillation(Z, P, Y, soft="mse_logits"), "needs the teacher's logits"),
        (lambda: distillation(Z, P, None, weight=0.5), "labels = None"),
        (lambda: distillation(Z, None, Y, weight=0.5), "teacher_probs = None"),
        (lambda: soft_label_loss(Z, 2 * P), "misses a sum of one by 1"),
        (lambda: soft_label_loss(Z, P - 1), "negative"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kd_loss(Z, Z[:1], Y, **FINE), "has shape"),
        (lambda: kd_loss(Z, torch.zeros(2, 4), Y, **FINE), "has shape"),
        (lambda: kd_loss(Z, Z, Y[:1], **FINE), "labels has shape"),
        (lambda: kd_loss(Z, Z, Y, **FINE, reduction="average"), "reduction = 'average'"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_shapes_are_refused_where_no_type_checker_runs_too(call, message):
    with pytest.raises(ValueError, match=message):
        call()
