"""Softmax margins: 50-digit rival, limits, inequalities that are attained, bad input."""

from __future__ import annotations

import math

import hypothesis
import mpmath
import pytest
import torch
from hypothesis import strategies as st
from naive import precise_softmax

from kdtheory.bounds.margins import (
    confidence_lipschitz,
    distillation_error,
    label_free_distillation_error,
    margin_surrogate,
    margin_surrogate_lipschitz,
    multiclass_margin,
    softmax_confidence,
    softmax_distance,
    softmax_distance_lipschitz,
)
from kdtheory.streams import Stream

GAMMAS = (1e-3, 0.5, 1.0, 40.0)


def logits(*shape: int, name: str = "f") -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Stream(0).child(name).torch())


@pytest.mark.parametrize("gamma", GAMMAS)
def test_confidence_and_distance_by_mpmath(gamma: float) -> None:
    f, g = logits(6, 4), logits(6, 4, name="g")
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    for row in range(6):
        p, q = (precise_softmax(v[row].tolist(), gamma) for v in (f, g))
        y = int(labels[row])
        found = softmax_confidence(f[row], labels[row], gamma=gamma)
        assert float(found) == pytest.approx(float(p[y]), rel=1e-12)
        apart = mpmath.fsum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
        found = softmax_distance(f[row], g[row], gamma=gamma)
        assert float(found) == pytest.approx(float(apart), rel=1e-9, abs=1e-15)


def test_batches_of_any_shape() -> None:
    v, y = logits(2, 3, 5), torch.arange(6).view(2, 3) % 5
    whole = softmax_confidence(v, y, gamma=0.7)
    assert whole.shape == (2, 3)
    single = softmax_confidence(v[1, 2], y[1, 2], gamma=0.7)
    torch.testing.assert_close(whole[1, 2], single, rtol=1e-14, atol=0)


@pytest.mark.parametrize("block", [1, 7, 15, 45, 10**6])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (11, 4), (5, 3, 4)])
def test_blocks_of_rows_do_not_show(
    shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, g = logits(*shape).requires_grad_(), logits(*shape, name="g")
    y = (torch.arange(f[..., 0].numel()) % 4).reshape(shape[:-1])
    whole = [softmax_confidence(f, y, gamma=0.5), multiclass_margin(f, y), softmax_distance(f, g, gamma=0.5)]
    slopes = [torch.autograd.grad(value.sum(), f)[0] for value in whole]
    monkeypatch.setattr("kdtheory.bounds.margins._BLOCK", block)
    parts = [softmax_confidence(f, y, gamma=0.5), multiclass_margin(f, y), softmax_distance(f, g, gamma=0.5)]
    for one, other, slope in zip(whole, parts, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(torch.autograd.grad(other.sum(), f)[0], slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_extreme_gamma_does_not_overflow(dtype: torch.dtype) -> None:
    v = torch.tensor([[1000.0, -1000.0, 0.0]], dtype=dtype)
    for gamma in (1e-30, 1e30):
        found = softmax_confidence(v, torch.tensor([0]), gamma=gamma)
        assert found.dtype == dtype
        assert float(found) == pytest.approx(1.0 if gamma < 1 else 1 / 3, rel=1e-5)


def test_margin_by_loops() -> None:
    v, y = logits(20, 5), torch.arange(20) % 5
    found = multiclass_margin(v, y)
    for row in range(20):
        others = [float(v[row, j]) for j in range(5) if j != int(y[row])]
        assert float(found[row]) == pytest.approx(float(v[row, y[row]]) - max(others), rel=1e-12)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
@hypothesis.given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.sampled_from(GAMMAS))
def test_error_is_at_most_twice_the_loss_ties_included(values: list[int], gamma: float) -> None:
    v = torch.tensor(values, dtype=torch.float64)
    for y in range(len(values)):
        wrong = any(values[j] >= values[y] for j in range(len(values)) if j != y)
        assert float(wrong) <= 2 * (1 - float(softmax_confidence(v, torch.tensor(y), gamma=gamma))) + 1e-12


@pytest.mark.parametrize("k", [2, 3, 10])
def test_surrogate_is_attained_where_the_other_logits_are_equal(k: int) -> None:
    v, y = torch.zeros(k, dtype=torch.float64), torch.tensor(0)
    v[0] = 1.3
    loss = 1 - float(softmax_confidence(v, y, gamma=0.4))
    bound = margin_surrogate(multiclass_margin(v, y), gamma=0.4, num_classes=k)
    assert float(bound) == pytest.approx(loss, rel=1e-12)
    v[-1] = -2.0
    loss = 1 - float(softmax_confidence(v, y, gamma=0.4))
    bound = margin_surrogate(multiclass_margin(v, y), gamma=0.4, num_classes=k)
    assert float(bound) > loss if k > 2 else float(bound) == pytest.approx(loss, rel=1e-12)


def test_lipschitz_constants_from_both_sides() -> None:
    # Two equal logits that move apart by 2h: the ratio tends to the constant from below.
    h, gamma = 1e-3, 0.8
    u = torch.tensor([h, -h], dtype=torch.float64)
    distance = float(softmax_distance(u, -u, gamma=gamma))
    gain = float(
        softmax_confidence(u, torch.tensor(0), gamma=gamma)
        - softmax_confidence(-u, torch.tensor(0), gamma=gamma)
    )
    sup = softmax_distance_lipschitz(gamma=gamma, norm="sup") * 2 * h
    euclidean = softmax_distance_lipschitz(gamma=gamma, norm="euclidean") * 2 * math.sqrt(2) * h
    own = confidence_lipschitz(gamma=gamma) * 2 * math.sqrt(2) * h
    for found, bound in ((distance, sup), (distance, euclidean), (gain, own)):
        assert 0.999999 * bound < found <= bound
    middle = gamma * math.log(2)  # σ is steepest where ln(k−1) = m/γ
    step = margin_surrogate(
        torch.tensor([middle - h, middle + h]).double(), gamma=gamma, num_classes=3
    ).diff()
    bound = margin_surrogate_lipschitz(gamma=gamma) * 2 * h
    assert 0.999 * bound < -float(step) <= bound


def test_distillation_errors_by_loops_and_in_the_limits() -> None:
    f, g, y = logits(30, 4), logits(30, 4, name="g"), torch.arange(30) % 4
    printed = sum(
        abs(float(f[i].div(0.5).softmax(-1)[y[i]]) - float(g[i].div(0.5).softmax(-1)[y[i]]))
        for i in range(30)
    )
    assert float(distillation_error(f, g, y, gamma=0.5)) == pytest.approx(printed / 30, rel=1e-12)
    assert distillation_error(f, g, y, gamma=0.5) <= label_free_distillation_error(f, g, gamma=0.5)
    apart = float((f.argmax(-1) != g.argmax(-1)).double().mean())
    assert float(label_free_distillation_error(f, g, gamma=1e-9)) == pytest.approx(apart, abs=1e-12)
    assert float(label_free_distillation_error(f, g, gamma=1e9)) < 1e-8
    assert float(label_free_distillation_error(f, f, gamma=0.5)) == 0.0


def test_two_classes_make_the_two_errors_one() -> None:
    f, g, y = logits(30, 2), logits(30, 2, name="g"), torch.arange(30) % 2
    free = label_free_distillation_error(f, g, gamma=0.5)
    assert float(distillation_error(f, g, y, gamma=0.5)) == pytest.approx(float(free), rel=1e-12)


def test_distance_is_symmetric_and_invariant_under_shifts() -> None:
    f, g = logits(9, 3), logits(9, 3, name="g")
    once = softmax_distance(f, g, gamma=0.6)
    torch.testing.assert_close(softmax_distance(g, f, gamma=0.6), once)
    torch.testing.assert_close(softmax_distance(f + 5, g - 7, gamma=0.6), once)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named() -> None:
    v, y = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    for gamma in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="gamma"):
            softmax_confidence(v, y, gamma=gamma)
    with pytest.raises(ValueError, match="labels spans 1 to 4"):
        softmax_confidence(v, y + 1, gamma=1.0)
    with pytest.raises(ValueError, match="they must be the same"):
        multiclass_margin(v, y[:2])
    with pytest.raises(ValueError, match="student_logits"):
        softmax_distance(v[:2], v, gamma=1.0)
    with pytest.raises(ValueError, match="teacher_logits holds NaN"):
        label_free_distillation_error(v, v * math.nan, gamma=1.0)
    with pytest.raises(ValueError, match="num_classes = 1"):
        margin_surrogate(torch.zeros(2), gamma=1.0, num_classes=1)
    with pytest.raises(ValueError, match="norm = 'l7'"):
        softmax_distance_lipschitz(gamma=1.0, norm="l7")
