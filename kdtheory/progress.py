"""Progress of long work, on stderr: a bar where a person watches, a line now and then elsewhere.

Only the outermost work of a process shows: a training inside a run of claims is silent, and so are worker
processes. What lasts less than a second shows nothing.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from kdtheory.doors import gate

__all__ = ["Progress", "Tell", "progress_bar", "silence", "told"]

Tell = Callable[[int, int], None]
Progress = bool | Tell | None
"""The argument `progress`: None shows a bar on a terminal and in a notebook (in one without ipywidgets
lines), True a line elsewhere too, False nothing; a callable is called with the steps done and all of them."""
_PAUSE = 15.0
"""Seconds between two lines."""
_PATIENCE = 1.0
"""Seconds before a door of the library begins to show anything."""
_busy = threading.Lock()


def silence() -> None:
    """Show nothing in this process from now on: somebody else tells of its work."""
    _busy.acquire(blocking=False)


def _nobody(_done: int, _total: int) -> None:
    """Told, and says nothing."""


@gate
@contextmanager
def told(progress: Progress, label: str, /) -> Iterator[Tell]:
    """The function that a door calls with (done, total), for the `progress` that it was given.

    One that fails when all is done loses nothing that was done: it costs a warning.

    >>> seen = []
    >>> with told(lambda done, total: seen.append(done / total), "counting") as tell:
    ...     tell(1, 2)
    >>> seen
    [0.5]
    """
    if callable(progress):
        with _outermost():
            yield partial(_tell_safely, progress)
        return
    with progress_bar(label, lines=progress is True, quiet=progress is False, patience=_PATIENCE) as tell:
        yield tell


def _tell_safely(progress: Tell, done: int, total: int) -> None:
    try:
        progress(done, total)
    except (Exception, KeyboardInterrupt) as error:
        if done < total:
            raise
        why = str(error) or "interrupted"
        warnings.warn(f"progress fails when all is done: {type(error).__name__}, {why}", stacklevel=2)


@gate
@contextmanager
def progress_bar(
    label: str,
    /,
    *,
    total: int | None = None,
    lines: bool = True,
    quiet: bool = False,
    patience: float = 0.0,
) -> Iterator[Tell]:
    """A bar for the block: what it gives is called with (done, total), as `train(..., progress=…)` does.

    Beside the steps it shows the time so far and the time to come, and stays with what it all took.

    Args:
        label: what is done, in a word or two.
        total: how many steps there are, where that is known beforehand.
        lines: a line about every quarter of a minute where nobody watches.
        quiet: nothing at all.
        patience: seconds before anything is shown.

    >>> with progress_bar("counting") as tell:
    ...     tell(1, 2)
    """
    shown: AbstractContextManager[Tell]
    with _outermost() as mine:
        watched = _watched()
        if quiet or not mine or not (watched or lines or _notebook()):
            yield _nobody
            return
        shown = _bar(label, total, patience) if watched else _lines(label, total)
        with shown as tell:
            yield tell


@contextmanager
def _outermost() -> Iterator[bool]:
    """Whether no other work of this process is under way; what is within it shows nothing."""
    mine = _busy.acquire(blocking=False)
    try:
        yield mine
    finally:
        if mine:
            _busy.release()


def _watched() -> bool:
    """Whether a person sees stderr: a terminal, or a notebook that can show a bar."""
    bars = _notebook() and find_spec("ipywidgets") is not None
    return bars or (sys.stderr is not None and sys.stderr.isatty())


def _notebook() -> bool:
    return "ipykernel" in sys.modules


@contextmanager
def _bar(label: str, total: int | None, patience: float) -> Iterator[Tell]:
    now: tuple[int, int | None] = (0, total)
    bars: list[Any] = []

    def show() -> None:
        bars.append(_begun(label, *now))

    def tell(done: int, of: int) -> None:
        nonlocal now
        now = done, of
        for bar in bars:
            bar.update(bar.task_ids[0], completed=done, total=of, steps=f"{done}/{of}")

    waits = threading.Timer(patience, show)
    waits.daemon = True
    if patience:
        waits.start()
    else:
        show()
    try:
        yield tell
    finally:
        waits.cancel()
        if waits.ident is not None:
            waits.join()
        for bar in bars:
            bar.stop()


def _begun(label: str, done: int, total: int | None) -> Any:
    """A bar of rich's on stderr, as far as the work is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    steps = TextColumn("{task.fields[steps]}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        steps,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    bar.add_task(label, total=total, completed=done, steps="" if total is None else f"{done}/{total}")
    bar.start()
    return bar


@contextmanager
def _lines(label: str, total: int | None) -> Iterator[Tell]:
    start, over = time.monotonic(), threading.Event()
    now: tuple[int, int | None] = (0, total)

    def tell(done: int, of: int) -> None:
        nonlocal now
        now = done, of

    def say() -> None:
        with suppress(AttributeError, OSError, ValueError):  # stderr is closed: nobody listens
            while not over.wait(_PAUSE):
                sys.stderr.write(f"{_line(label, *now, time.monotonic() - start)}\n")
                sys.stderr.flush()

    threading.Thread(target=say, daemon=True).start()
    try:
        yield tell
    finally:
        over.set()


def _line(label: str, done: int, total: int | None, seconds: float) -> str:
    """Where the work is, as a line.

    >>> _line("claims", 3, 12, 60.0)
    'claims: 3 of 12, 1:00 so far, about 3:00 to come'
    """
    so_far = f"{_clock(seconds)} so far"
    if not total:
        return f"{label}: {so_far}"
    to_come = f", about {_clock(seconds * (total - done) / done)} to come" if done else ""
    return f"{label}: {done} of {total}, {so_far}{to_come}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
