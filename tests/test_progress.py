"""Progress: who is told, where it is shown, and that only the outermost work shows."""

from __future__ import annotations

import re
import sys
import time
from functools import partial

import pytest
import torch

from kdtheory import MLP, Stream, progress, train
from kdtheory.progress import progress_bar, told
from kdtheory.recipe import Recipe


def trained(**settings: object) -> None:
    train(
        MLP((2, 2)),
        torch.zeros(4, 2),
        loss=lambda logits, probs, labels: logits.square().sum(-1),
        members=1,
        stream=Stream(0),
        recipe=Recipe(steps=3, learning_rate=0.1),
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_watched", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PAUSE", 0.02)


def test_a_callable_is_told_every_step() -> None:
    steps: list[tuple[int, int]] = []
    trained(progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (3, 3)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_who_fails_to_hear_that_all_is_done_loses_nothing(error: BaseException) -> None:
    def fails_at(step: int, done: int, _total: int) -> None:
        if done == step:
            raise error

    with pytest.warns(UserWarning, match=f"progress fails when all is done: {type(error).__name__}"):
        trained(progress=partial(fails_at, 3))
    with pytest.raises(type(error)):
        trained(progress=partial(fails_at, 2))


@pytest.mark.usefixtures("soon")
def test_where_nobody_watches_there_are_lines_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, shows in {True: True, None: False, False: False}.items():
        with told(asked, "counting") as tell:
            tell(1, 4)
            time.sleep(0.3)
        lines = capsys.readouterr().err.splitlines()
        assert bool(lines) == shows
        told_so = r"counting: 1 of 4, \d:\d\d so far, about \d:\d\d to come"
        assert all(re.fullmatch(told_so, line) for line in lines)


@pytest.mark.usefixtures("soon")
def test_a_notebook_without_bars_shows_lines_unless_it_is_told_not_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(progress, "find_spec", lambda _name: None)
    for asked, shows in {True: True, None: True, False: False}.items():
        with told(asked, "counting"):
            time.sleep(0.3)
        assert ("counting: 0:00 so far" in capsys.readouterr().err) == shows


@pytest.mark.usefixtures("soon")
def test_a_command_says_lines_unless_it_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for settings, shows in (({}, True), ({"quiet": True}, False), ({"lines": False}, False)):
        with progress_bar("counting", total=9, **settings):  # type: ignore[arg-type]
            time.sleep(0.3)
        assert ("counting: 0 of 9" in capsys.readouterr().err) == shows


@pytest.mark.usefixtures("on_a_terminal")
def test_a_bar_starts_at_once_and_only_the_outermost_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("the whole", total=7) as tell:
        trained()
        with told(None, "a part"):
            pass
        tell(7, 7)
    shown = capsys.readouterr().err
    assert "the whole" in shown
    assert "0/7" in shown
    assert "7/7" in shown
    assert "a part" not in shown
    assert "training" not in shown
    trained()
    assert "training" in capsys.readouterr().err
    trained(progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("on_a_terminal")
def test_what_is_short_shows_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 60.0)
    trained()
    assert capsys.readouterr().err == ""


def test_the_next_work_shows_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), progress_bar("failing"):
        raise ZeroDivisionError
    assert not progress._busy.locked()


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize("asked", [False, lambda done, total: None])
def test_what_is_within_silent_work_is_silent(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    with told(asked, "the whole"):  # type: ignore[arg-type]
        trained()
    with progress_bar("the whole", quiet=True):
        trained()
    assert capsys.readouterr().err == ""
    assert not progress._busy.locked()


@pytest.mark.usefixtures("soon")
def test_without_a_stderr_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    done = []
    with progress_bar("counting") as tell:
        for step in (1, 2):
            tell(step, 2)
            time.sleep(0.1)
            done.append(step)
    assert done == [1, 2]
    assert not progress._busy.locked()
