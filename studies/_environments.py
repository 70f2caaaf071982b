"""Environments of other people's packages, for studies that execute them: a folder of them, or made by pip.

The environment variable KDTHEORY_CODES names a folder with an environment for each code, `NAME/bin/python`;
with the value "pip" each is made in a temporary folder when it is needed, and removed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FOLDER", "asked", "made", "python_of"]

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


def asked(
    python: str, script: str, code: str, arrays: Mapping[str, np.ndarray], cases: Iterable[Mapping[str, Any]]
) -> Any:
    """What a script beside this one says of the cases by a code whose Python it has: JSON, its last line.

    Raises:
        ValueError: the script failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, given = Path(folder) / "inputs.npz", Path(folder) / "cases.json"
        np.savez(inputs, **arrays)
        given.write_text(json.dumps(list(cases)))
        command = [python, str(Path(__file__).with_name(script)), code, str(inputs), str(given)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise ValueError(f"{code} failed: {told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])
