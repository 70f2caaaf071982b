"""Environments of other people's packages, for studies that execute them: a folder of them, or made by pip.

The environment variable KDTHEORY_CODES names a folder with an environment for each code, `NAME/bin/python`;
with the value "pip" each is made in a temporary folder when it is needed, and removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FOLDER", "made", "python_of"]

FOLDER = "KDTHEORY_CODES"


@contextmanager
def python_of(code: str, /, *packages: Sequence[str], by: str = sys.executable) -> Iterator[str | None]:
    """The Python that has a code, made on the spot where that is asked for; None where nothing is.

    Args:
        code: its name, and that of its environment in the folder.
        packages: what pip is given, one call after the other.
        by: the Python that a new environment is one of.
    """
    asked = os.environ.get(FOLDER, "")
    if asked != "pip":
        yield str(Path(asked) / code / "bin" / "python") if asked else None
        return
    with made(*packages, by=by) as python:
        yield python


@contextmanager
def made(*packages: Sequence[str], by: str = sys.executable) -> Iterator[str]:
    """The Python of a new environment with packages, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([by, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        for some in packages:
            if some:
                subprocess.run([python, "-m", "pip", "install", "--quiet", *some], check=True)
        yield python
