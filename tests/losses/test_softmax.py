"""The temperature softmax and its entropies against 50 digits, autograd, SciPy, and their limits."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import precise_entropy, precise_softmax

from kdtheory.losses import (
    entropy,
    entropy_temperature_derivative,
    renyi_entropy,
    tempered_softmax,
    zero_temperature_softmax,
)

F64 = torch.float64
ROWS = [[0.3, -1.2, 2.0], [5.0, 5.0, -5.0], [700.0, -700.0, 0.0, 3.0], [0.0, -math.inf, 1.0]]
TEMPERATURES = [1e-6, 0.05, 1.0, 4.0, 1e9]
logit_rows = st.lists(st.floats(-20, 20), min_size=2, max_size=6)
temperatures = st.floats(0.05, 50)


def _tensor(row):
    return torch.tensor(row, dtype=F64)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("row", ROWS)
def test_softmax_and_entropy_to_50_digits(row, temperature):
    probs = precise_softmax(row, temperature)
    found = tempered_softmax(_tensor(row), temperature=temperature)
    torch.testing.assert_close(found, _tensor([float(p) for p in probs]), rtol=1e-12, atol=0)
    value = float(entropy(_tensor(row), temperature=temperature))
    assert value == pytest.approx(float(precise_entropy(probs)), rel=1e-12, abs=1e-15)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(row=logit_rows, temperature=temperatures)
def test_entropy_slope_is_what_autograd_finds_and_never_negative(row, temperature):
    t = torch.tensor(temperature, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(entropy(_tensor(row), temperature=t), t)
    closed = entropy_temperature_derivative(_tensor(row), temperature=temperature)
    assert float(closed) >= 0
    torch.testing.assert_close(closed, slope, rtol=1e-7, atol=1e-11)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(row=logit_rows, temperature=temperatures, factor=st.floats(1, 10))
def test_entropy_grows_with_the_temperature_and_stays_below_the_log_of_k(row, temperature, factor):
    low, high = (float(entropy(_tensor(row), temperature=temperature * f)) for f in (1.0, factor))
    assert -1e-12 <= low <= high + 1e-12 <= math.log(len(row)) + 2e-12


@settings(derandomize=True, max_examples=60, deadline=None)
@given(row=logit_rows, temperature=temperatures, shift=st.floats(-100, 100))
def test_softmax_sees_no_shift_and_scales_with_the_temperature(row, temperature, shift):
    found = tempered_softmax(_tensor(row), temperature=temperature)
    moved = tempered_softmax(_tensor(row) + shift, temperature=temperature)
    scaled = tempered_softmax(_tensor(row) * 3, temperature=3 * temperature)
    torch.testing.assert_close(moved, found, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(scaled, found, rtol=1e-9, atol=1e-12)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("row", ROWS)
def test_the_two_ends_of_the_temperature(row):
    logits = _tensor(row)
    torch.testing.assert_close(tempered_softmax(logits, temperature=1e-30), zero_temperature_softmax(logits))
    alive = torch.isfinite(logits).to(F64)
    uniform = alive / alive.sum()
    torch.testing.assert_close(tempered_softmax(logits, temperature=1e30), uniform)
    assert float(entropy_temperature_derivative(logits, temperature=1e-30)) == 0


def test_gradients_are_right_and_finite_where_a_class_is_ruled_out():
    logits = torch.randn(3, 4, dtype=F64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tempered_softmax(z, temperature=0.7), logits)
    assert torch.autograd.gradcheck(lambda z: entropy(z, temperature=0.7), logits)
    ruled_out = _tensor([0.0, -math.inf, 1.0]).requires_grad_()
    for loss in (
        entropy(ruled_out),
        renyi_entropy(ruled_out, order=0.5),
        renyi_entropy(ruled_out, order=1.001),
    ):
        (gradient,) = torch.autograd.grad(loss, ruled_out)
        assert torch.isfinite(gradient).all()
        assert float(gradient[1]) == 0


def test_a_temperature_for_each_member():
    logits = torch.randn(3, 5, 4, dtype=F64, generator=torch.Generator().manual_seed(1))
    each = torch.tensor([[0.5], [1.0], [8.0]])
    for function in (tempered_softmax, entropy, entropy_temperature_derivative):
        found = function(logits, temperature=each)
        one_by_one = [function(z, temperature=float(t)) for z, t in zip(logits, each, strict=True)]
        assert found.dtype == F64
        torch.testing.assert_close(found, torch.stack(one_by_one))


@pytest.mark.parametrize("order", [0.0, 0.01, 0.5, 0.995, 1 - 1e-9, 1.0, 1 + 1e-12, 1.004, 2.0, 7.0, 200.0])
@pytest.mark.parametrize("row", [[0.3, -1.2, 2.0], [5.0, 5.0, -5.0], [0.0, -math.inf, 1.0]])
def test_renyi_entropy_to_50_digits(row, order):
    import mpmath

    probs = [p for p in precise_softmax(row) if p > 0]
    with mpmath.workdps(50):
        if order == 1:
            expected = precise_entropy(probs)
        else:
            expected = mpmath.log(mpmath.fsum(p**order for p in probs)) / (1 - mpmath.mpf(order))
    assert float(renyi_entropy(_tensor(row), order=order)) == pytest.approx(float(expected), rel=1e-12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(row=logit_rows, order=st.floats(0, 20), step=st.floats(0, 5))
def test_renyi_entropy_falls_in_the_order_down_to_the_min_entropy(row, order, step):
    logits = _tensor(row)
    high, low = (float(renyi_entropy(logits, order=a)) for a in (order, order + step))
    least = float(renyi_entropy(logits, order=math.inf))
    assert least <= low + 1e-10
    assert low <= high + 1e-10
    assert high <= math.log(len(row)) + 1e-10


def test_shannon_entropy_is_what_scipy_says():
    logits = torch.randn(20, 6, dtype=F64, generator=torch.Generator().manual_seed(2))
    expected = scipy.stats.entropy(logits.softmax(-1).numpy(), axis=-1)
    torch.testing.assert_close(entropy(logits), torch.as_tensor(expected))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: tempered_softmax(z, temperature=0.0), "temperature = 0 must be finite"),
        (lambda z: tempered_softmax(z, temperature=-1.0), "temperature = -1"),
        (lambda z: entropy(z, temperature=math.nan), "temperature = nan"),
        (lambda z: entropy(z * math.nan), "logits holds NaN"),
        (
            lambda z: entropy_temperature_derivative(z, temperature=torch.tensor([1.0, -2.0])),
            "temperature = ",
        ),
        (lambda z: renyi_entropy(z, order=-0.5), "order = -0.5"),
        (lambda z: zero_temperature_softmax(z[:, :1]), "2 classes or more"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 3))
