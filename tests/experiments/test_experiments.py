"""An experiment as a value: its settings, its stream, and rows that are measured once."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import torch

from kdtheory.claims.core import Mutant
from kdtheory.claims.examination import patched
from kdtheory.claims.wrong import rolled, scaled
from kdtheory.doors import inside
from kdtheory.experiments import EXPERIMENTS, Experiment, Rows, Run, experiment, forget, shown
from kdtheory.losses import entropy, kd_loss
from kdtheory.streams import Stream

RUN = Run(Stream(0))


@pytest.fixture
def counted() -> Iterator[tuple[Experiment, Mock]]:
    calls = Mock()
    count = weakref.ref(calls)  # which is not looked into: a count makes no other measurement

    @experiment
    def entropies_of_noise(run: Run, /, *, scale: float = 1.0) -> Rows:
        cast(Mock, count())()
        logits = scale * torch.randn(4, 3, generator=run.stream.torch())
        return Rows(entropy=entropy(logits, temperature=1.0))

    yield entropies_of_noise, calls
    forget()
    del EXPERIMENTS["entropies_of_noise"]


def test_rows_are_measured_once_for_each_setting_and_run(counted: tuple[Experiment, Mock]) -> None:
    noise, calls = counted
    first = noise.rows(RUN)
    assert noise.rows(Run(Stream(0).child("elsewhere"))) is first
    assert calls.call_count == 1
    noise.given(scale=2.0).rows(RUN)
    noise.rows(Run(Stream(1)))
    noise.rows(Run(Stream(0), tier="full"))
    assert calls.call_count == 4


TYPED = """
import functools
from kdtheory import Rows, experiment

SIZES = [1, 2]
WEIGHTS = {"a": 1.0}


class Law:
    mean = 1.0

    def at(self, x):
        return x


def scaled(x, by=1.0):
    return by * x


def halved(x):
    return x / 2


half = functools.partial(halved, 1.0)


def outer():
    return scaled(2.0) + half() + Law().at(Law.mean) + len(SIZES) + WEIGHTS["a"]


@experiment
def typed_values(run, /, *, factor=1.0):
    return Rows(value=factor * outer())
"""


@pytest.mark.parametrize(
    ("again", "becomes"),
    [
        ("SIZES = [1, 2, 3]", 6.5 + 1),
        ("SIZES.append(3)", 6.5 + 1),
        ("WEIGHTS['a'] = 3.0", 6.5 + 2),
        ("def scaled(x, by=2.0):\n    return by * x", 6.5 + 2),
        ("def scaled(x, by=1.0):\n    return by + x", 6.5 + 1),
        ("scaled.__defaults__ = (2.0,)", 6.5 + 2),
        ("half = functools.partial(halved, 3.0)", 6.5 + 1),
        ("half = lambda: 1.5", 6.5 + 1),
        ("Law.mean = 2.0", 6.5 + 1),
        ("Law.at = lambda self, x: 3 * x", 6.5 + 2),
        ("", 6.5),
    ],
)
def test_rows_are_measured_anew_where_what_is_named_was_defined_again(
    again: str, becomes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdtheory.experiments.core.EXPERIMENTS", {})
    names: dict[str, Any] = {"__name__": "notebook"}
    exec(TYPED, names)
    before = names["typed_values"].rows(RUN)
    assert before.value == 6.5
    exec(again, names)
    after = names["typed_values"].rows(RUN)
    assert after.value == becomes
    assert (after is before) is (not again)


def test_settings_of_two_types_or_signs_are_two(counted: tuple[Experiment, Mock]) -> None:
    noise, calls = counted
    for number, scale in enumerate((1.0, 1, True, 0.0, -0.0), 1):
        for _ in range(2):
            noise.given(scale=scale).rows(RUN)
        assert calls.call_count == number
    assert noise.given(scale=(0.0, 1)).key != noise.given(scale=(-0.0, 1)).key


def test_rows_are_measured_anew_where_the_files_of_the_data_are_others(
    counted: tuple[Experiment, Mock], tmp_path: Path
) -> None:
    noise, calls = counted
    file = tmp_path / "MNIST" / "raw" / "images"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"1")
    run = Run(Stream(0), data=tmp_path)
    for number in (1, 2):
        for _ in range(2):
            noise.rows(run)
        assert calls.call_count == number
        os.utime(file, ns=(0, number))


def test_settings_do_not_change_the_stream_and_the_seed_does(counted: tuple[Experiment, Mock]) -> None:
    noise, _ = counted
    assert noise.given(scale=3.0).stream(0) == noise.stream(0) != noise.stream(1)
    assert not torch.equal(noise.rows(RUN).entropy, noise.rows(Run(Stream(1))).entropy)


def test_what_was_tuned_never_runs_on_the_seeds_that_it_was_tuned_on() -> None:
    tuned = Experiment("x", lambda _: Rows(), {}, tuned_on=(0, 1))
    assert tuned.stream(0) not in {Experiment("x", lambda _: Rows(), {}).stream(seed) for seed in range(3)}


def test_a_wrong_version_is_not_passed_by_where_loops_go_behind_the_door() -> None:
    logits = torch.eye(3)
    for mutant in (Mutant("twice", entropy, scaled(2.0)), Mutant("rolled", entropy, rolled())):
        assert inside(mutant.wrong) is mutant.wrong
    assert inside(entropy) is entropy.__door__  # type: ignore[attr-defined]
    assert torch.equal(inside(entropy)(logits, temperature=1.0), entropy(logits, temperature=1.0))


def test_a_wrong_version_has_rows_measured_anew_where_it_was_called(
    counted: tuple[Experiment, Mock],
) -> None:
    noise, calls = counted
    right = noise.rows(RUN).entropy
    with patched(Mutant("never called here", kd_loss, lambda *_args, **_settings: torch.zeros(()))):
        assert noise.rows(RUN).entropy is right
    assert calls.call_count == 1
    wrong = Mutant("none", entropy, lambda logits, /, **_settings: torch.zeros(len(logits)))
    namespace = noise.measure.__globals__
    with patched(wrong, noise.measure):
        assert namespace["entropy"] is wrong.wrong
        assert not noise.rows(RUN).entropy.any()
    assert noise.rows(RUN).entropy is right
    assert calls.call_count == 2


def test_what_a_kept_measurement_called_counts_for_the_one_that_reads_it(
    counted: tuple[Experiment, Mock], request: pytest.FixtureRequest
) -> None:
    noise, calls = counted

    @experiment
    def doubled_entropies(run: Run, /) -> Rows:
        return Rows(entropy=2 * noise.rows(run).entropy)

    request.addfinalizer(lambda: EXPERIMENTS.pop("doubled_entropies"))
    noise.rows(RUN)
    doubled_entropies.rows(RUN)
    with patched(
        Mutant("none", entropy, lambda logits, /, **_settings: torch.zeros(len(logits))), noise.measure
    ):
        assert not doubled_entropies.rows(RUN).entropy.any()
    assert calls.call_count == 2


def test_settings_are_no_words() -> None:
    with pytest.raises(ValueError, match="no number, enumeration, law or function"):

        @experiment
        def worded(run: Run, /, *, posterior: str = "true") -> Rows:
            return Rows()


def test_unknown_settings_and_bare_ones_are_refused(counted: tuple[Experiment, Mock]) -> None:
    noise, _ = counted
    with pytest.raises(ValueError, match="takes no width; it takes scale"):
        noise.given(width=3)
    with pytest.raises(ValueError, match="scale has no default"):

        @experiment
        def bare(run: Run, /, *, scale: float) -> Rows:
            return Rows()


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(AttributeError, match="no column 'c'; there are a, b"):
        Rows(a=1, b=2).c  # noqa: B018


def test_functions_are_shown_by_their_names() -> None:
    assert shown(kd_loss) == "kd loss"
