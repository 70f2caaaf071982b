"""The checks of the public door, at the edges where rounding could move them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdtheory.types import rounded_up
from kdtheory.validate import check_at_least, check_fraction, check_logits, check_positive, check_probs


def test_numbers_are_compared_in_double_precision() -> None:
    check_positive("T", 1e-200)
    check_fraction("delta", 1 - 1e-12, open_interval=True)
    with pytest.raises(ValueError, match="weight = 1"):
        check_fraction("weight", 1 + 1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_not_positive_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"T = .* must be finite and greater than 0"):
        check_positive("T", value)


def test_one_bad_entry_of_a_tensor_is_enough() -> None:
    with pytest.raises(ValueError, match="weight"):
        check_fraction("weight", torch.tensor([0.5, 1.5]))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_counts_are_whole_and_large_enough(value: float) -> None:
    with pytest.raises(ValueError, match="n = "):
        check_at_least("n", value, 1)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "value", [2**53 + 1, 10**30, 10**5000, 1e300], ids=["2^53 + 1", "1e30", "1e5000", "1e300"]
)
def test_counts_are_numbers_that_a_float_can_be(value: float) -> None:
    with pytest.raises(ValueError, match=r"n is a number of \d+ digits; give at most 9e\+15$"):
        check_at_least("n", value, 1)  # type: ignore[arg-type]
    check_at_least("n", 2**53, 1)
    check_at_least("class_size", value, 1, most=math.inf)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "2", torch.tensor(2.0), np.ones(2)], ids=str
)
def test_what_is_rounded_up_is_a_finite_number(value: object) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        rounded_up(value)  # type: ignore[arg-type]


def test_rows_may_miss_one_by_rounding_only() -> None:
    check_probs("p", torch.full((2, 3), 1 / 3))
    with pytest.raises(ValueError, match="misses a sum of one"):
        check_probs("p", torch.full((2, 3), 1 / 3 + 1e-3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_logits_may_rule_classes_out_but_not_all_of_a_row(dtype: torch.dtype) -> None:
    fine = torch.tensor([[0.0, 1.0, -math.inf], [-math.inf, 2.0, -math.inf], [1.0, 2.0, 3.0]], dtype=dtype)
    check_logits("f", fine)
    check_logits("f", fine[:, None].requires_grad_())
    bad = {(0, 0): math.nan, (2, 1): math.inf, (1, 1): -math.inf, (1, 0): math.nan, (0, 2): math.inf}
    for place, value in bad.items():
        spoilt = fine.clone()
        spoilt[place] = value
        count = 3 if value == -math.inf else 1
        with pytest.raises(ValueError, match=rf"f holds NaN, \+inf or a row of -inf \({count} entries\)"):
            check_logits("f", spoilt)
    with pytest.raises(ValueError, match=r"\(9 entries\)"):
        check_logits("f", torch.full((3, 3), -math.inf, dtype=dtype))
