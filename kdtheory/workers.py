"""Work spread over worker processes: of this machine, or of whatever `elsewhere` names.

Those of this machine end with the process that started them, and leave Ctrl-C to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextvars import ContextVar
from itertools import islice
from typing import Any, TypeVar

import joblib

from kdtheory.doors import door
from kdtheory.progress import silence

__all__ = ["LOST", "Engine", "elsewhere", "interrupts_held", "spread", "workers_elsewhere"]

_T = TypeVar("_T")
Engine = Callable[..., Iterator[Any]]
"""A doer of tasks in the place of processes: called with the function, the tasks, what they share, and how
many may be under way at once."""
LOST = "a worker process was killed, or memory ran out"
_renewed = 0
"""How often the workers of this machine were renewed."""
_LOOKS = 0.5
"""Seconds between two looks of a worker at whether its parent is still there."""
_ELSEWHERE: ContextVar[tuple[Engine, Callable[[], int]] | None] = ContextVar("elsewhere", default=None)


@door
def spread(
    function: Callable[..., _T],
    tasks: Iterable[tuple[Any, ...]],
    /,
    *,
    jobs: int,
    shared: tuple[Any, ...] = (),
    ahead: int | None = None,
) -> Iterator[_T]:
    """function(*shared, *task) of each task, by worker processes, in the order in which they are ready.

    Args:
        function: what to call, importable by name.
        tasks: its arguments, one tuple a call; they are asked for as they are handed out.
        jobs: worker processes; −1 for one a core. Elsewhere, as within `kdtheory.clusters.on_cluster`, it is
            all workers there.
        shared: what comes before the arguments of every call, sent once to each worker elsewhere.
        ahead: tasks handed out and not yet taken back, at most; None for all.

    Raises:
        ValueError: `jobs` is 0.
        ChildProcessError: a worker ended before its task did, and nobody else can do it.
    """
    if jobs == 0:
        raise ValueError("jobs = 0 runs nothing; give a number of processes, or -1 for all cores")
    if (there := _ELSEWHERE.get()) is not None:
        yield from there[0](function, tasks, shared, ahead)
        return
    left = ((*shared, *task) for task in tasks)
    if ahead is None:
        yield from _here(function, left, jobs)
        return
    while some := list(islice(left, ahead)):
        yield from _here(function, some, jobs)


def _here(function: Callable[..., _T], tasks: Iterable[tuple[Any, ...]], jobs: int) -> Iterator[_T]:
    # joblib says so where it renews a worker that has grown; as an error it would end the thread that does.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    # No backend is named: it is loky unless the caller's `joblib.parallel_config` names another.
    parallel = joblib.Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        batch_size=1,  # what is finished is handed over at once
        initializer=_end_with,
        initargs=(os.getpid(), tuple(sys.path), _renewed),  # workers that began otherwise are not taken again
    )
    with interrupts_held():
        results = parallel(joblib.delayed(function)(*task) for task in tasks)
    try:
        for result in results:  # noqa: UP028 — `yield from` would close them without the care below
            yield result
    except BrokenExecutor as error:
        raise ChildProcessError(LOST) from error
    finally:
        with warnings.catch_warnings():  # that tasks are given up is what closing is for
            warnings.simplefilter("ignore")
            results.close()


def renew() -> None:
    """Work from now on goes to new processes: those there are have imported what has changed since."""
    global _renewed
    _renewed += 1


@contextlib.contextmanager
def elsewhere(engine: Engine, workers: Callable[[], int], /) -> Iterator[None]:
    """Within the block all that is spread goes to `engine`, and `workers()` says how many work there."""
    token = _ELSEWHERE.set((engine, workers))
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def workers_elsewhere() -> int | None:
    """How many work elsewhere now, at least 1; None where work is done on this machine."""
    there = _ELSEWHERE.get()
    return None if there is None else max(1, there[1]())


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """SIGINT waits until the block is left, and never reaches the processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int, _path: tuple[str, ...], _renewed: int) -> None:
    """End this worker when its parent is there no more, however that ended."""

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(_LOOKS)
        os._exit(1)

    if os.getpid() != parent:  # a backend of threads has no process to end
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a worker of later on was started with none held
        silence()
        threading.Thread(target=watch, daemon=True).start()
