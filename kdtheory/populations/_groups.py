"""How many members run together, and where: groups that stay in the cache, one thread to each.

The grouping changes the speed and nothing else.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from kdtheory.networks import Architecture

__all__ = ["evaluation_groups", "in_runs", "rows_at_once", "run_groups", "training_groups"]

_EVALUATION_NUMBERS = 2**24
_CACHE_NUMBERS = 2**21
_FEW_MEMBERS, _MOST_MEMBERS = 16, 64
_WHOLE_NUMBERS = 2**26
_UNTOLD = 2**32
"""Free bytes of a device that is neither the CPU nor CUDA, for want of a question that all answer."""


def evaluation_groups(architecture: Architecture, members: int, examples: int) -> list[slice]:
    """Groups whose activations stay below 64 MiB in float32."""
    each = max(1, architecture.activations * examples)
    return in_runs(members, math.ceil(members / max(1, _EVALUATION_NUMBERS // each)))


def rows_at_once(architecture: Architecture, members: int, examples: int) -> int:
    """All examples where the activations of so many members stay below 256 MiB in float32; else fewer."""
    each = max(1, architecture.activations * members)
    return examples if each * examples <= _WHOLE_NUMBERS else max(1, _WHOLE_NUMBERS // each)


def training_groups(
    architecture: Architecture, members: int, examples: int, inputs: int, device: torch.device, held: int = 4
) -> list[slice]:
    """Groups of equal size, as many as keep all threads busy.

    Args:
        architecture: what the members have in common.
        members: how many there are.
        examples: rows in one step.
        inputs: numbers of its own sample that each member holds; 0 where the sample is shared.
        device: where they train.
        held: arrays like the parameters that a step goes through: 4 of Adam, 1 of plain descent.
    """
    each = architecture.activations * examples + inputs + held * architecture.size
    if device.type != "cpu":
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _UNTOLD
        return in_runs(members, math.ceil(members * each / max(each, free // 16)))
    if members <= _FEW_MEMBERS and members * each <= _CACHE_NUMBERS:
        # So little work that two threads would wait for the interpreter: one group, its products in parallel.
        return [slice(0, members)]
    most = min(_MOST_MEMBERS, max(1, _CACHE_NUMBERS // each))
    threads = min(members, torch.get_num_threads())
    rounds = math.ceil(members / (most * threads))
    return in_runs(members, min(members, rounds * threads))


def in_runs(members: int, groups: int) -> list[slice]:
    """`members` in at most so many consecutive runs, whose lengths differ by at most one."""
    groups = min(groups, members)
    edges = [members * group // groups for group in range(groups + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def run_groups(
    groups: list[slice],
    work: Callable[[slice, Callable[[int], None]], None],
    total: int,
    progress: Callable[[int, int], None] | None,
    device: torch.device,
) -> None:
    """Do `work(group, tell)` for every group, on the CPU side by side with one inner thread each.

    `work` calls `tell(steps)` now and then; the caller's thread passes the sum on to `progress`. An
    exception in one group, or an interrupt, stops the others at their next `tell`. The number of inner
    threads is the caller's again afterwards.
    """
    threads = torch.get_num_threads()
    done = 0

    def show(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None and steps:
            progress(done, total)

    if device.type != "cpu" or threads == 1 or len(groups) == 1:
        for group in groups:
            work(group, show)
        return
    try:
        _run_side_by_side(groups, work, show, threads)
    finally:
        torch.set_num_threads(threads)


class _Stopped(Exception):
    """Another group failed, or the caller was interrupted."""


def _run_side_by_side(
    groups: list[slice],
    work: Callable[[slice, Callable[[int], None]], None],
    show: Callable[[int], None],
    threads: int,
) -> None:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    stop = threading.Event()

    def tell(steps: int) -> None:
        if stop.is_set():
            raise _Stopped
        told.put(steps)

    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(work, group, tell) for group in groups]
        for future in futures:
            future.add_done_callback(lambda _: told.put(0))
        try:
            running = set(futures)
            while running:
                show(told.get())
                for future in [future for future in running if future.done()]:
                    running.remove(future)
                    future.result()
            while not told.empty():
                show(told.get())
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
