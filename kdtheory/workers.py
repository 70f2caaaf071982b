"""Worker processes that end with the process that started them, and leave Ctrl-C to it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, TypeVar

import joblib

from kdtheory.doors import door
from kdtheory.progress import silence

__all__ = ["spread"]

_T = TypeVar("_T")
_LOOKS = 0.5
"""Seconds between two looks of a worker at whether its parent is still there."""


@door
def spread(function: Callable[..., _T], tasks: Sequence[tuple[Any, ...]], /, *, jobs: int) -> Iterator[_T]:
    """function(*task) of each task, by worker processes, in the order in which they are ready.

    Args:
        function: what to call, importable by name.
        tasks: its arguments, one tuple a call.
        jobs: worker processes; −1 for one a core.

    Raises:
        ValueError: `jobs` is 0.
        ChildProcessError: a worker ended before its task did.
    """
    if jobs == 0:
        raise ValueError("jobs = 0 runs nothing; give a number of processes, or -1 for all cores")
    # No backend is named: it is loky unless the caller's `joblib.parallel_config` names another.
    parallel = joblib.Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        batch_size=1,  # what is finished is handed over at once
        initializer=_end_with,
        initargs=(os.getpid(),),
    )
    with _interrupts_held():
        results = parallel(joblib.delayed(function)(*task) for task in tasks)
    try:
        for result in results:  # noqa: UP028 — `yield from` would close them without the care below
            yield result
    except BrokenExecutor as error:
        raise ChildProcessError("a worker process was killed, or memory ran out") from error
    finally:
        with warnings.catch_warnings():  # that tasks are given up is what closing is for
            warnings.simplefilter("ignore")
            results.close()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """SIGINT waits until the block is left, and never reaches the processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int) -> None:
    """End this worker when its parent is there no more, however that ended."""

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(_LOOKS)
        os._exit(1)

    if os.getpid() != parent:  # a backend of threads has no process to end
        silence()
        threading.Thread(target=watch, daemon=True).start()
