"""The package as it was at an earlier commit, for the benchmarks that set this one against it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["earlier"]

_ROOT = Path(__file__).parents[1]


@contextmanager
def earlier(commit: str) -> Iterator[Path | None]:
    """A folder that holds the package as it was, or None where the history does not have it."""
    command = ["git", "-C", str(_ROOT), "archive", commit, "kdtheory"]
    try:
        archive = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:  # no git
        archive = None
    if archive is None or archive.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as package:
            package.extractall(folder, filter="data")
        yield Path(folder)
