"""Every public door, with arguments good and odd: a value, or a sentence of ours. Long: `tests/fuzz.py`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from random import Random

import jaxtyping
import pytest
from fuzz_doors import UNREACHED, built, called, doors, reason
from fuzz_values import Arguments
from hypothesis import given, settings
from hypothesis import strategies as st

DOORS = {name: door for name, door in doors().items() if reason(name) is None}
PACKAGES = sorted({name.split(".")[0] for name in DOORS})
DRAWS = 12


@pytest.fixture(scope="module", autouse=True)
def _as_in_a_users_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    with contextlib.chdir(tmp_path_factory.mktemp("fuzz")):  # what is drawn may be a path to write to
        yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_door_gives_a_value_or_a_sentence(package: str) -> None:
    chosen = [door for name, door in sorted(DOORS.items()) if name.split(".")[0] == package]

    @settings(max_examples=2 * len(chosen), derandomize=True, deadline=None, database=None)
    @given(st.sampled_from(chosen), st.randoms(use_true_random=False))
    def holds(door: object, random: Random) -> None:
        outcome = called(door, random)  # type: ignore[arg-type]
        assert outcome.fate in ("accepted", "refused"), f"{door.name}: {outcome}"  # type: ignore[attr-defined]

    holds()


@pytest.mark.parametrize("package", PACKAGES)
def test_good_arguments_are_known_for_every_door(package: str) -> None:
    for name, door in DOORS.items():
        if name.split(".")[0] == package:
            for draws in range(DRAWS):
                start, args, named = built(Arguments(Random(f"{draws} {name}")), door)
                assert inspect.signature(door.call).bind(*start, *args, **named), name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_good_call_is_accepted(package: str) -> None:
    for name, door in DOORS.items():
        if name.split(".")[0] == package:
            told = [called(door, Random(f"0 {name}"), most=0)]
            while told[-1].fate != "accepted" and len(told) < DRAWS:
                told.append(called(door, Random(f"{len(told)} {name}"), most=0))
            assert told[-1].fate == "accepted", f"{name}: {told[-1]}"


def test_what_is_not_called_is_there() -> None:
    names = [*doors(), *(name.rpartition(".")[0] for name in doors())]
    for key in UNREACHED:
        assert any(name == key or name.startswith(f"{key}.") for name in names), f"{key} is no door"
