"""Comparison of schemes: what one training costs the others."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kdtheory.recipe import Recipe
from kdtheory.schemes import Trained, compare, fit
from kdtheory.streams import Stream

POINTS = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])


def trained(here: Stream) -> Trained:
    with here.default():
        student = nn.Linear(1, 2)
    return fit(student, POINTS, recipe=Recipe(steps=5), stream=here, device="cpu")


def diverged(here: Stream) -> Trained:
    found = trained(here)
    with torch.no_grad():
        found.module.bias.fill_(math.nan)
    return found


@pytest.mark.parametrize("order", [("good", "bad"), ("bad", "good")])
def test_a_training_that_diverged_costs_the_others_nothing(order: tuple[str, str]) -> None:
    schemes = {name: {"good": trained, "bad": diverged}[name] for name in order}
    teacher = nn.Linear(1, 2)
    with pytest.warns(UserWarning, match=r"bad at seed [01] has no measures: logits holds NaN"):
        found = compare(schemes, POINTS, teacher=teacher, seeds=2, stream=Stream(0), device="cpu")
    summary = found.summary().set_index(["scheme", "measure"])
    assert summary["seeds"].eq(2).all()
    assert summary.loc["good"].notna().all(axis=None)
    measured = summary.loc["bad"].drop(index="gradient_norm")
    assert set(measured.index) == {*summary.loc["good"].index} - {"gradient_norm"}
    assert measured[["mean", "low", "high"]].isna().all(axis=None)


def test_points_without_labels_are_refused_at_the_first_training() -> None:
    with pytest.raises(ValueError, match="no labels"):
        compare({"one": trained}, [(POINTS[0],)], seeds=2, stream=Stream(0), device="cpu")
