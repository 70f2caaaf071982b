"""Every bound from both sides: on an instance where it should be tight, truth ≤ bound ≤ factor·truth.

The second test makes sure that no factor is so generous that a constant 1.5 times too large would pass.
"""

from __future__ import annotations

import inspect
from functools import cache

import pytest
import tight_classes  # noqa: F401  (they register their cases)
import tight_distillation  # noqa: F401
import tight_samples  # noqa: F401
from tight import CASES

from kdtheory import bounds


@cache
def outcome(name: str) -> tuple[float, float]:
    return CASES[name][1]()


@pytest.mark.parametrize("name", CASES)
def test_bound_is_true_and_within_its_factor(name: str) -> None:
    factor, (truth, found) = CASES[name][0], outcome(name)
    assert 0 < truth <= found <= factor * truth, f"{found / truth:.4f} times the truth"


@pytest.mark.parametrize("name", CASES)
def test_a_constant_half_as_large_again_would_be_noticed(name: str) -> None:
    factor, (truth, found) = CASES[name][0], outcome(name)
    assert 1.5 * found > factor * truth


def test_no_bound_is_left_out() -> None:
    returned = {
        name
        for name in bounds.__all__
        if inspect.isfunction(member := getattr(bounds, name))
        and inspect.get_annotations(member).get("return") == "Bound"
    }
    assert len(returned) > 15
    assert returned <= {name.partition(":")[0] for name in CASES}
