"""Files written whole or not at all, and JSON: the only code that writes to the disk.

A run and a study are directories of such files (`kdtheory.records`, `kdtheory.study`). Each is written beside
its place and renamed into it, so that a reader or a killed run never meets half a file. What is larger than
memory is written in place, and whoever does so keeps a record of what is finished.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdtheory.doors import gate

__all__ = [
    "SCHEMA",
    "Record",
    "in_place",
    "latest_run",
    "read_json",
    "sweep",
    "sweep_beside",
    "write_file",
    "write_json",
]

Record = dict[str, Any]
SCHEMA = 3
"""The version of records and ledgers of runs, and of what `verify --json` prints."""
_HALF = re.compile(r"\..+\.(json|html|csv|svg|png|pdf|md|bib)\.[a-z0-9_]{8}")
"""The ending of a file's name while it is written."""


@gate
def write_file(path: Path, content: bytes, /) -> None:
    """Write a whole file or nothing: to a temporary neighbour first, then renamed into place.

    Raises:
        ValueError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, neighbour = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(neighbour, 0o644)
            os.replace(neighbour, path)
        finally:
            Path(neighbour).unlink(missing_ok=True)  # there only where writing was broken off
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}); choose another place") from error


@gate
def check_place(folder: Path, /) -> None:
    """Raise unless files can be written into a folder, be it there or to be made; nothing is written.

    Raises:
        ValueError: a file is in its way, or nobody may write there.
    """
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.exists(one))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written on" if there.is_dir() else "is a file"
        raise ValueError(f"{folder} cannot be written ({there} {why}); choose another place")


@gate
def in_place(path: Path, /) -> io.FileIO:
    """A file that is there, open to be written on, unbuffered; to be closed by whoever asks.

    Raises:
        ValueError: it is not there, or cannot be written.
    """
    try:
        return path.open("r+b", buffering=0)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}); choose another place") from error


@gate
def sweep(folder: Path, /) -> None:
    """Remove the half-written files that killed runs have left in a folder."""
    for path in folder.glob(".*"):
        if _HALF.fullmatch(path.name):
            path.unlink(missing_ok=True)


@gate
def sweep_beside(path: Path, /) -> None:
    """Remove the halves of one file that killed trainings have left beside it."""
    half = re.compile(re.escape(f".{path.name}.") + "[a-z0-9_]{8}")
    for each in path.parent.glob(".*"):
        if half.fullmatch(each.name):
            each.unlink(missing_ok=True)


@gate
def write_json(path: Path, document: Mapping[str, Any], /) -> None:
    """Write a JSON document atomically; NaN and infinities are refused, for they are not JSON."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode())


@gate
def read_json(path: Path, /) -> Record:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, unreadable or not a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); it did not come from here, or was edited") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no JSON object; it did not come from here, or was edited")
    return document


@gate
def latest_run(root: Path, /) -> Path | None:
    """The directory of the newest ended run below `root` (or `root` itself), or None."""
    ledgers = [*root.glob("ledger.json"), *root.glob("*/ledger.json")]
    return max(ledgers, key=lambda path: path.stat().st_mtime).parent if ledgers else None
