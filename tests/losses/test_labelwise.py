"""The loss of each label against loops, and what ties and infinities do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory.losses import brier_loss, log_loss, softmax_margin_loss, zero_one_loss

LOGITS = torch.tensor(
    [[0.3, -1.2, 2.0], [5.0, 5.0, -5.0], [0.0, 0.0, 0.0], [-40.0, 30.0, 1.0]], dtype=torch.float64
)
rows = st.lists(st.floats(-30, 30), min_size=2, max_size=6)


def _softmax(row: list[float]) -> list[float]:
    weights = [math.exp(value - max(row)) for value in row]
    return [weight / sum(weights) for weight in weights]


def _naive(name: str, row: list[float], label: int, gamma: float = 1.0) -> float:
    probs = _softmax([value / gamma for value in row])
    if name == "log":
        return -math.log(probs[label])
    if name == "margin":
        return 1 - probs[label]
    if name == "brier":
        return sum((p - (j == label)) ** 2 for j, p in enumerate(probs))
    return float(row.index(max(row)) != label)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("log", log_loss),
        ("zero_one", zero_one_loss),
        ("brier", brier_loss),
        ("margin", lambda v: softmax_margin_loss(v, gamma=1.0)),
    ],
)
def test_every_label_is_charged_as_a_loop_charges_it(name, loss):
    found = loss(LOGITS)
    assert found.shape == LOGITS.shape
    assert found.dtype == torch.float64
    expected = torch.tensor([[_naive(name, row, y) for y in range(3)] for row in LOGITS.tolist()])
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=1e-12)


def test_a_tie_goes_to_the_smallest_label_and_batch_axes_are_free():
    assert zero_one_loss(torch.zeros(2, 3, 4)).sum(-1).eq(3).all()
    assert zero_one_loss(torch.zeros(2, 3, 4))[..., 0].eq(0).all()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(row=rows, gamma=st.floats(0.01, 20), shift=st.floats(-50, 50))
def test_twice_the_margin_loss_covers_the_error_and_neither_sees_a_shift(row, gamma, shift):
    logits = torch.tensor(row, dtype=torch.float64)
    margin, error = softmax_margin_loss(logits, gamma=gamma), zero_one_loss(logits)
    assert bool((2 * margin >= error - 1e-12).all())
    assert 0 <= float(margin.min()) <= float(margin.max()) <= 1
    torch.testing.assert_close(
        softmax_margin_loss(logits + shift, gamma=gamma), margin, rtol=1e-9, atol=1e-11
    )


def test_the_margin_loss_runs_from_the_error_to_uniform():
    logits = LOGITS[[0, 3]]
    torch.testing.assert_close(softmax_margin_loss(logits, gamma=1e-30), zero_one_loss(logits))
    uniform = torch.full_like(logits, 2 / 3)
    torch.testing.assert_close(softmax_margin_loss(logits, gamma=1e12), uniform, rtol=1e-9, atol=0)


def test_a_class_ruled_out_is_charged_without_nan():
    logits = torch.tensor([0.0, -math.inf, 0.0])
    assert log_loss(logits).tolist() == pytest.approx([math.log(2), math.inf, math.log(2)])
    assert brier_loss(logits).tolist() == pytest.approx([0.5, 1.5, 0.5])
    assert softmax_margin_loss(logits, gamma=0.5).tolist() == pytest.approx([0.5, 1.0, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_loss(torch.tensor([0.0, math.nan])), "logits holds NaN"),
        (lambda: brier_loss(torch.zeros(3, 1)), "2 classes or more"),
        (lambda: zero_one_loss(torch.zeros(0, 3)), "no row"),
        (lambda: softmax_margin_loss(LOGITS, gamma=0.0), "gamma = 0"),
        (lambda: softmax_margin_loss(LOGITS, gamma=math.inf), "gamma = inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_brier_loss_of_a_sure_net_keeps_its_digits(dtype):
    rows = torch.tensor([[12.0, 0.0, 1.0], [0.0, 30.0, -2.0], [9.0, 8.5, 0.0], [0.0, 0.0, 0.0]], dtype=dtype)
    rows = torch.cat(
        [rows, 12 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)]
    )
    leaf = rows.clone().requires_grad_()
    found = brier_loss(leaf)
    found.sum().backward()
    assert bool((found >= 0).all())
    exact = rows.double().requires_grad_()
    others = torch.stack([exact.softmax(-1)[:, [j for j in range(3) if j != y]] for y in range(3)], 1)
    truth = others.square().sum(-1) + others.sum(-1).square()
    truth.sum().backward()
    small = truth > torch.finfo(dtype).tiny ** 0.5
    assert torch.allclose(found.double()[small], truth[small], rtol=20 * torch.finfo(dtype).eps, atol=0)
    assert torch.allclose(leaf.grad.double(), exact.grad, atol=10 * torch.finfo(dtype).eps)
