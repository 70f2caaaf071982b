"""Limits whose worst nuisance lies in a range of its own: range and limit take δ together, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from kdtheory.bounds import few_labels, paired, stratified, where_they_differ

LIMITS = {
    "paired": (paired, paired.difference_upper_limit, (3, 1, 31)),
    "few labels": (few_labels, few_labels.powered_upper_limit, (2, 1, 23, 7, 211)),
    "stratified": (stratified, stratified.stratified_upper_limit, ((1, 2), (23, 29), 70, 211)),
    "where they differ": (where_they_differ, where_they_differ.targeted_upper_limit, (6, 3, 19, 7, 211)),
}
RANGES = ("two_sided", "difference_upper_limit")
LEVELS = {"largest_not_ruled_out": 1, "largest_open": 3, "fisher32_log_level": 0}
"""Where each function that inverts a test takes its level."""


@pytest.mark.parametrize(("module", "limit", "counts"), LIMITS.values(), ids=LIMITS)
def test_ranges_of_nuisances_and_the_limit_take_delta_together(
    module: Any, limit: Callable[..., float], counts: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []

    def noted(name: str, right: Callable[..., Any], share: Callable[..., float]) -> None:
        def noting(*args: Any, **named: Any) -> Any:
            taken.append(share(args, named))
            return right(*args, **named)

        monkeypatch.setattr(module, name, noting)

    for name in RANGES:
        if getattr(module, name, limit) is not limit:
            noted(name, getattr(module, name), lambda _, named: named["delta"])
    for name, place in LEVELS.items():
        if hasattr(module, name):
            noted(name, getattr(module, name), lambda args, _, place=place: _share(args[place]))
    getattr(limit.__door__, "cache_clear", lambda: None)()  # type: ignore[attr-defined]
    delta = 0.0371
    limit(*counts, delta=delta)
    assert len(taken) >= 2
    assert sum(taken) == pytest.approx(delta, rel=1e-9)


def _share(level: float) -> float:
    return level if level > 0 else math.exp(level)  # a share of δ, or its logarithm
