"""The record that bounds return."""

from __future__ import annotations

import math

import pytest

from kdtheory.answers import confidence
from kdtheory.bounds.result import Bound, size_needed


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
    with pytest.raises(ValueError, match="value = nan"):
        a_bound(value=math.nan)
    with pytest.raises(ValueError, match="assumptions is empty"):
        a_bound(assumptions={})


def test_coverage_says_what_is_claimed_and_what_was_not_met() -> None:
    assert a_bound(over="the hold-out").coverage == (
        "with probability at least 0.95 over the hold-out, the risk is at most 0.4"
    )
    unmet = a_bound(assumptions={"independent draws": False}).coverage
    assert unmet.endswith("if independent draws, which was not met")


def test_the_sentence_promises_no_more_than_was_proved() -> None:
    said = a_bound(value=0.12345649, delta=0.04444444444).coverage
    assert said == "with probability at least 0.9555555 over the sample, the risk is at most 0.123457"
    assert "at least 0.99999999 over" in a_bound(delta=1e-8).coverage
    assert confidence(1e-30) == f"99.{26 * '9'} %"


def test_needed_size_and_quantities_are_kept() -> None:
    bound = a_bound(value_at=lambda n: 11.5 / n, quantities={"points": 5})
    assert bound.to_frame()["needed"].tolist() == [12, 12, 12]
    assert a_bound().to_frame()["needed"].isna().all()
    assert a_bound(value_at=lambda n: 11.5 / n, trivial=2.0).needed == 6
    assert a_bound(value_at=lambda n: 11.5 / n, least=16).needed == 16
    assert dict(bound.quantities) == {"points": 5}
    with pytest.raises(ValueError, match="least = 0"):
        a_bound(least=0)


def test_needed_size_is_searched_for_once_and_only_where_it_is_asked_for() -> None:
    asked: list[int] = []

    def value_at(n: int) -> float:
        asked.append(n)
        return 11.5 / n

    bound = a_bound(value_at=value_at)
    assert bound == a_bound()
    assert "needed" not in repr(bound)
    assert not asked
    assert bound.needed == bound.needed == 12
    assert len(asked) < 12


@pytest.mark.parametrize("least", [1, 2, 8])
@pytest.mark.parametrize("threshold", [1, 2, 3, 7, 8, 9, 1000, 12_345_678_901])
def test_size_needed_is_the_least(threshold: int, least: int) -> None:
    assert size_needed(lambda n: float(n < threshold), least=least) == max(threshold, least)


def test_no_size_is_none() -> None:
    assert size_needed(lambda n: 1.0) is None
    assert size_needed(lambda n: 1.5 + 1 / n, trivial=2.0) == 3


def test_sizes_that_are_no_numbers_are_named(unchecked_shapes) -> None:
    with pytest.raises(ValueError, match="least = nan"):
        size_needed(lambda n: 1 / n, least=math.nan)
    with pytest.raises(ValueError, match="NaN"):
        size_needed(lambda n: math.nan)
    with pytest.raises(ValueError, match="trivial = nan"):
        size_needed(lambda n: 1 / n, trivial=math.nan)
