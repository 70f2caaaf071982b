"""The memory of a call, where a process can set its peak back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdtheory.types import torch_threads

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@pytest.fixture
def memory_of() -> Iterator[Callable[[Callable[[], object]], int]]:
    """What a call holds at most beyond the level before it, in bytes, on one thread."""
    if not RESET.exists():
        pytest.skip("the peak of a process cannot be set back here")
    with torch_threads(1):
        yield _beyond


def _beyond(call: Callable[[], object]) -> int:
    RESET.write_text("5")
    before = _peak()
    call()
    return _peak() - before


def _peak() -> int:
    return 1024 * int(STATUS.read_text().split("VmHWM:")[1].split()[0])
