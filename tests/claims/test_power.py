"""The power of a check: the constant is scaled as declared, and the smallest error noticed is found."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from kdtheory.bounds import Bound
from kdtheory.claims import REGISTRY, Claim, Control, Mutant, Plan, Scaled, Verdict, claim, examine
from kdtheory.claims.evidence import Evidence, Identity, Inequality, OutOfScope
from kdtheory.claims.power import ERRORS, noticed, power_of, smallest
from kdtheory.experiments import Experiment, Rows, Run
from kdtheory.ledger import verify


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Claims made in these tests are forgotten after them."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@dataclass(frozen=True)
class Pair:
    low: float
    high: float


Named = namedtuple("Named", ["low", "high"])


def constant() -> float:
    return 3.0


def zero() -> float:
    return 0.0


def words() -> str:
    return "three"


def threes(_run: Run, /, *, shift: float = 0.0) -> Rows:
    """Three."""
    return Rows(three=np.array([float(constant()) + shift]))


def lengths(_run: Run, /, *, shift: float = 0.0) -> Rows:
    """The length of a word."""
    return Rows(length=[len(words()) + shift])


def declare(*, slack: float = 0.05, twosided: bool = True, **changes) -> Claim:
    def three_is_three(rows: Rows, /) -> Evidence:
        """Three is three."""
        if twosided:
            return Identity.of(rows.three, [3.0], tolerance=slack)
        return Inequality.of([3.0 * (1 - slack)], rows.three)

    declaration = {
        "section": "9.1",
        "formula": "3 = 3",
        "source": "hinton2015distilling",
        "control": Control("it is shifted", shift=-1.0),
        "place": "derived here",
        "experiment": Experiment("threes", threes, {"shift": 0.0}),
        "mutants": (Mutant("nothing", constant, zero),),
    }
    return claim(**{**declaration, **changes})(three_is_three)


def bound() -> Bound:
    return Bound("b", 0.3, {"risk": 0.1, "radius": 0.2}, 0.05, {"independent draws": True})


@pytest.mark.parametrize(
    ("value", "entry", "expected"),
    [
        (3, None, 4.5),
        (2.0, None, 3.0),
        (np.float64(2.0), None, 3.0),
        ((2.0, 4.0), 1, (2.0, 6.0)),
        ([2.0, 4.0], 0, [3.0, 4.0]),
        (Named(2.0, 4.0), 1, Named(2.0, 6.0)),
        (Named(2.0, 4.0), "low", Named(3.0, 4.0)),
        (Pair(2.0, 4.0), "high", Pair(2.0, 6.0)),
        ({"a": 2.0, "b": 4.0}, "b", {"a": 2.0, "b": 6.0}),
        ((2.0, 4.0, 6.0), (0, 2), (3.0, 4.0, 9.0)),
        (Pair(2.0, 4.0), ("low", "high"), Pair(3.0, 6.0)),
    ],
)
def test_a_value_or_its_entry_is_scaled(value, entry, expected) -> None:
    found = Scaled(lambda: value, entry).wrong(1.5)()
    assert found == expected
    assert type(found) is (float if isinstance(value, int) else type(value))


def test_arrays_and_tensors_are_scaled() -> None:
    assert Scaled(lambda: np.array([2.0, 4.0])).wrong(0.5)().tolist() == [1.0, 2.0]
    assert Scaled(lambda: torch.tensor([2.0, 4.0])).wrong(0.5)().tolist() == [1.0, 2.0]


def test_a_bound_is_scaled_whole_or_by_a_term() -> None:
    whole, term = Scaled(bound).wrong(0.5)(), Scaled(bound, "radius").wrong(0.5)()
    assert (whole.value, dict(whole.terms)) == (0.15, {"risk": 0.1, "radius": 0.2})
    assert term.value == pytest.approx(0.2)
    assert dict(term.terms) == {"risk": 0.1, "radius": 0.1}


@pytest.mark.parametrize(
    ("value", "entry", "message"),
    [
        (True, None, "bool has no scale"),
        ("three", None, "str has no scale"),
        (torch.tensor([1, 2]), None, "Tensor has no scale"),
        (np.array([1, 2]), None, "ndarray has no scale"),
        ((1.0, 2.0), None, "tuple has no scale"),
        (2.0, "low", "no entry 'low'"),
        ((2.0, 4.0), "low", "no entry 'low'"),
    ],
)
def test_what_has_no_scale_is_refused(value, entry, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Scaled(lambda: value, entry).wrong(1.5)()


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="towards = 'up'"):
        Scaled(constant, towards="up")


def test_a_version_stands_for_a_constant_that_is_no_factor() -> None:
    made = declare(slack=0.05, power=Scaled(constant, version=lambda factor: lambda: 9.0 ** (factor / 2)))
    (row,) = verify([made], Plan(power=True))
    assert row.power.notices == {"more": 0.08, "less": 0.08}  # 3^1.04 = 3.13, 3^1.08 = 3.28
    with pytest.raises(ValueError, match="drop one of the two"):
        Scaled(constant, 0, version=lambda factor: constant)


@pytest.mark.parametrize(
    ("slack", "more", "less"), [(0.005, 0.01, 0.01), (0.1, 0.15, 0.15), (0.45, 0.5, 1.0)]
)
def test_the_smallest_error_that_is_noticed_is_found(slack: float, more: float, less: float) -> None:
    (row,) = verify([declare(slack=slack)], Plan(power=True))
    assert row.power.notices == {"more": more, "less": less}
    assert row.power.target.endswith("constant")
    assert row.power.declared is False


@pytest.mark.parametrize(("slack", "expected"), [(0.005, 0.01), (0.03, 0.04), (0.3, 0.5), (0.9, None)])
def test_of_an_upper_bound_only_what_makes_it_less_is_tried(slack: float, expected: float | None) -> None:
    made = declare(slack=slack, twosided=False, power=Scaled(constant, towards="less"))
    (row,) = verify([made], Plan(power=True))
    assert row.power.notices == {"less": expected}
    assert row.power.declared is True


def test_the_search_takes_four_runs_at_most_and_tries_what_it_is_told() -> None:
    ran: list[str] = []

    def run(mutant: Mutant) -> Evidence:
        ran.append(mutant.name)
        return Identity.of([float(mutant.wrong())], [3.0], tolerance=0.2)

    made, premise = declare(), Identity.of([3.0], [3.0], tolerance=0.2)
    power_of(made, premise, run=run)
    assert len(ran) <= 8
    tried = power_of(made, premise, run=run, errors=(0.25,)).tried
    assert {way: list(runs) for way, runs in tried.items()} == {"more": [0.25], "less": [0.25]}
    assert [ERRORS[0], ERRORS[-1]] == [0.01, 1.0]


def test_a_value_without_a_scale_is_told_and_not_a_pass() -> None:
    def words_have_a_length(rows: Rows, /) -> Evidence:
        """Words have a length."""
        return Identity.of(rows.length, [5.0], tolerance=0.1)

    made = claim(
        section="9.1", formula="x", source="hinton2015distilling", place="derived here",
        experiment=Experiment("lengths", lengths, {"shift": 0.0}),
        control=Control("it is shifted", shift=-1.0), mutants=(Mutant("m", words, constant),),
    )(words_have_a_length)  # fmt: skip
    (row,) = verify([made], Plan(power=True))
    assert row.power.notices == {"more": None, "less": None}
    assert "str has no scale" in row.power.because


def test_what_counts_as_noticed() -> None:
    s, r, i, e, o = (Verdict[v] for v in ("SUPPORTED", "REFUTED", "INCONCLUSIVE", "ERROR", "OUT_OF_SCOPE"))
    assert [noticed(found, s) for found in (s, r, i, e, o)] == [False, True, True, False, False]
    assert smallest({1.0: s}, s) is None
    assert smallest({1.0: r, 0.5: s, 0.25: r}, s) == 1.0  # what is noticed is noticed when it is larger
    assert smallest({}, s) is None


def test_without_the_asking_there_is_no_search() -> None:
    assert examine(declare(), Plan()).power is None
    (row,) = verify([declare()], Plan())
    assert row.power is None


def test_a_premise_out_of_scope_has_no_power() -> None:
    scope = OutOfScope(assumption="a", because="b")
    tried = power_of(declare(), scope, run=lambda mutant: scope).tried
    assert smallest(dict.fromkeys(tried["more"], Verdict.OUT_OF_SCOPE), Verdict.OUT_OF_SCOPE) is None
