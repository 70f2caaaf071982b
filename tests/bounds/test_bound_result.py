"""The record that bounds return."""

from __future__ import annotations

import math

import pytest

from kdtheory.bounds.result import Bound


def a_bound(**changes) -> Bound:
    settings = {
        "name": "a",
        "value": 0.4,
        "terms": {"risk": 0.1, "radius": 0.3},
        "delta": 0.05,
        "assumptions": {"independent draws": True, "fixed class": True},
    }
    return Bound(**{**settings, **changes})


def test_one_unmet_assumption_makes_a_heuristic() -> None:
    assert a_bound().kind == "certificate"
    assert a_bound(assumptions={"independent draws": True, "fixed class": False}).kind == "heuristic"


@pytest.mark.parametrize(
    ("value", "trivial", "vacuous"), [(0.99, 1.0, False), (1.0, 1.0, True), (1.0, 2.0, False)]
)
def test_vacuous_from_the_trivial_level_on(value: float, trivial: float, vacuous: bool) -> None:
    assert a_bound(value=value, trivial=trivial).vacuous is vacuous


def test_frame_keeps_the_order_of_the_formula() -> None:
    frame = a_bound().to_frame()
    assert frame["term"].tolist() == ["risk", "radius", "total"]
    assert frame["value"].tolist() == [0.1, 0.3, 0.4]
    assert frame["kind"].unique().tolist() == ["certificate"]


def test_terms_cannot_be_changed_afterwards() -> None:
    terms = {"risk": 0.1}
    bound = a_bound(terms=terms)
    terms["risk"] = 0.9
    assert bound.terms["risk"] == 0.1
    with pytest.raises(TypeError):
        bound.terms["risk"] = 0.9


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="delta"):
        a_bound(delta=1.0)
    with pytest.raises(ValueError, match="nan is no bound"):
        a_bound(value=math.nan)
    with pytest.raises(ValueError, match="assumptions is empty"):
        a_bound(assumptions={})
