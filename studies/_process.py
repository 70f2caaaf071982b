"""The memory that a call adds to its process, for both sides of `benchmark_kernels`."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

__all__ = ["memory_of"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory_of(call: Callable[[], object]) -> tuple[int, int]:
    """The most that `call` holds beyond the level before it, and the most that the process has held, bytes.

    On Linux the peak is first set back to that level; elsewhere it is not, so that a peak before it hides
    part of the call.
    """
    so_far = _peak()
    if _RESET.exists():
        _RESET.write_text("5")
    level = _peak()
    call()
    return _peak() - level, max(_peak(), so_far)


def _peak() -> int:
    """On Linux without what the parent held before this process began."""
    if _STATUS.exists():
        (line,) = (text for text in _STATUS.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
