"""Calibration of whole forecasts, by loops over cells; of the largest entry, in bins that keep their ends."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from kdtheory.risk import calibration_error, top_label_calibration_error


def world(k: int, seed: int = 0, atoms: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """p*, a teacher whose forecasts are shared by two atoms each, and weights."""
    generator = torch.Generator().manual_seed(seed)
    tables = torch.rand(2, atoms, k, generator=generator, dtype=torch.float64)
    probs, teacher = tables / tables.sum(-1, keepdim=True)
    teacher = teacher[: atoms // 2].repeat(2, 1)
    weights = torch.rand(atoms, generator=generator, dtype=torch.float64)
    return probs, teacher, weights / weights.sum()


def by_a_loop(teacher: torch.Tensor, probs: torch.Tensor, weights: torch.Tensor) -> float:
    """Σ over forecasts of mass · ½‖forecast − E[p* | forecast]‖₁."""
    total = 0.0
    for forecast in {tuple(row) for row in teacher.tolist()}:
        cell = [x for x, row in enumerate(teacher.tolist()) if tuple(row) == forecast]
        mass = sum(float(weights[x]) for x in cell)
        for y, said in enumerate(forecast):
            outcome = sum(float(weights[x] * probs[x, y]) for x in cell) / mass
            total += mass * abs(said - outcome) / 2
    return total


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_the_error_is_a_loop_over_forecasts_for_any_number_of_classes(k: int) -> None:
    probs, teacher, weights = world(k, seed=k)
    expected = by_a_loop(teacher, probs, weights)
    assert float(calibration_error(teacher, probs, weights)) == pytest.approx(expected, rel=1e-12)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(1))
    turned = calibration_error(teacher[:, order], probs[:, order], weights)
    assert float(turned) == pytest.approx(expected, rel=1e-12)


def test_the_small_entries_count_too() -> None:
    # The largest entry is right on both atoms, .6 and .4; the others are off by .1 + .1 each.
    probs = torch.tensor([[0.6, 0.3, 0.1, 0.0], [0.4, 0.2, 0.2, 0.2]], dtype=torch.float64)
    teacher = torch.tensor([[0.6, 0.2, 0.2, 0.0], [0.4, 0.1, 0.3, 0.2]], dtype=torch.float64)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert float(calibration_error(teacher, probs, half)) == pytest.approx(0.1, rel=1e-12)


def test_forecasts_that_share_their_largest_entry_only_are_no_cell() -> None:
    # Each forecast is off by .2; over the class of the largest entry, or its value, the errors would cancel.
    teacher = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.5, 0.1, 0.3, 0.1]], dtype=torch.float64)
    probs = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.5, 0.3, 0.1, 0.1]], dtype=torch.float64)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert float(calibration_error(teacher, probs, half)) == pytest.approx(0.2, rel=1e-12)
    assert float(calibration_error(teacher, probs, torch.tensor([1.0, 0.0]).double())) == pytest.approx(0.2)


def binned(confidences: list[float], right: list[bool], bins: int, norm: str = "l1") -> float:
    """The norm over bins ((b − 1)/B, b/B], in rational numbers of the decimals that were meant."""
    meant = [Fraction(str(round(confidence, 9))) for confidence in confidences]
    gaps: list[tuple[float, float]] = []
    for b in range(1, bins + 1):
        inside = [i for i, c in enumerate(meant) if Fraction(b - 1, bins) < c <= Fraction(b, bins)]
        if inside:
            gap = abs(sum(right[i] - confidences[i] for i in inside)) / len(inside)
            gaps.append((len(inside) / len(confidences), gap))
    if norm == "max":
        return max(gap for _, gap in gaps)
    power = {"l1": 1, "l2": 2}[norm]
    return float(sum(share * gap**power for share, gap in gaps) ** (1 / power))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("bins", [1, 3, 10, 15, 20, 100, 1000])
def test_each_bin_has_its_upper_end_and_not_its_lower(bins: int, dtype: torch.dtype) -> None:
    # A point on every end b/B, always wrong, and one below, always right, in all of k = 101 classes.
    for number in range(1, bins + 1):
        end = number / bins
        if end <= 0.011:
            continue  # no largest entry of 101 is as small
        below = end - 0.3 / bins if end - 0.3 / bins > 0.011 else end
        rows = torch.zeros(2, 101, dtype=torch.float64)
        for row, confidence in enumerate((end, below)):
            rows[row] = (1 - confidence) / 100
            rows[row, 7] = confidence
        labels = torch.tensor([0, 7])
        found = float(top_label_calibration_error(rows.to(dtype), labels, bins=bins))
        # Both in one bin: |(0 − end) + (1 − below)|/2, and not the sum of the two gaps.
        assert found == pytest.approx(abs(1 - end - below) / 2, abs=1e-6)


def test_hundred_bins_by_hand() -> None:
    probs = torch.tensor([[0.55, 0.45], [0.545, 0.455]], dtype=torch.float64)
    found = float(top_label_calibration_error(probs, torch.tensor([0, 1]), bins=100))
    assert found == pytest.approx(abs(0.45 - 0.545) / 2, rel=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_top_label_error_is_a_loop_over_bins(bins: int, norm: str) -> None:
    generator = torch.Generator().manual_seed(bins)
    confidences = (torch.randint(5, 21, (60,), generator=generator) / 20).tolist()
    right = (torch.rand(60, generator=generator) < 0.6).tolist()
    rows = torch.zeros(60, 21, dtype=torch.float64)
    for row, confidence in zip(rows, confidences, strict=True):
        row[:] = (1 - confidence) / 20
        row[3] = confidence
    labels = torch.tensor([3 if hit else 4 for hit in right])
    found = float(top_label_calibration_error(rows, labels, bins=bins, norm=norm))
    assert found == pytest.approx(binned(confidences, right, bins, norm), abs=1e-7)


def test_norms_are_ordered_equal_in_one_bin_and_known() -> None:
    rows = torch.rand(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    labels = torch.randint(4, (200,), generator=torch.Generator().manual_seed(1))
    for bins in (1, 30):
        found = [
            float(top_label_calibration_error(rows, labels, bins=bins, norm=n)) for n in ("l1", "l2", "max")
        ]
        if bins == 1:
            assert found == pytest.approx([found[0]] * 3, rel=1e-12)
        else:
            assert found[0] < found[1] < found[2]
    with pytest.raises(ValueError, match="norm = 'L1'"):
        top_label_calibration_error(rows, labels, norm="L1")


def test_a_confidence_above_one_by_rounding_is_in_the_last_bin() -> None:
    probs = torch.tensor([[1 + 5e-7, 0.0], [0.96, 0.04]], dtype=torch.float64)
    found = float(top_label_calibration_error(probs, torch.tensor([1, 0]), bins=20))
    assert found == pytest.approx(abs(-1 + 0.04) / 2, abs=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_a_calibrated_forecast_has_no_error_and_a_gradient(norm: str) -> None:
    probs = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    error = top_label_calibration_error(probs, torch.tensor([0, 1]), norm=norm)
    (gradient,) = torch.autograd.grad(error, probs)
    assert float(error.detach()) == 0
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_many_points_of_single_precision_are_counted(norm: str) -> None:
    n = 2_000_000
    probs = torch.tensor([0.9, 0.1]).expand(n, 2)
    found = float(top_label_calibration_error(probs, torch.zeros(1).long().expand(n), norm=norm))
    assert found == pytest.approx(0.1, rel=1e-6)
    truth = torch.tensor([0.7, 0.3]).expand(n, 2)
    assert float(calibration_error(probs, truth, torch.full((n,), 1 / n))) == pytest.approx(0.2, rel=1e-6)


def test_bins_end_where_half_precision_can() -> None:
    """0.6 of float16 is above 0.6, and lies in the bin (0.4, 0.6] that ends there."""
    forecast = torch.tensor([[0.6, 0.4], [0.5, 0.5]], dtype=torch.float16)
    labels = torch.tensor([0, 1])  # gaps 0.4 and −0.5, in one bin
    assert float(top_label_calibration_error(forecast, labels, bins=5)) == pytest.approx(0.05, abs=1e-3)
