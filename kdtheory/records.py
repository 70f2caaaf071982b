"""Records: the only code that writes to the disk.

A run is a directory: `run.json` (what was asked), one `claims/NAME.json` per examined claim, `ledger.json`
(the verdicts). A study is a directory: `table.csv`, `figure.svg`, `figure.png`, `run.json`. Every file is
written beside its place and renamed into it, so that a reader or a killed run never meets half a file, and a
lock keeps two runs out of one directory.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["RunDirectory", "latest_run", "read_json", "write_file", "write_json"]

Record = dict[str, Any]


def write_file(path: Path, content: bytes, /) -> None:
    """Write a whole file or nothing: to a temporary neighbour first, then renamed into place.

    Raises:
        ValueError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, neighbour = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(neighbour, 0o644)
        os.replace(neighbour, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}); choose another place") from error


def write_json(path: Path, document: Mapping[str, Any], /) -> None:
    """Write a JSON document atomically; NaN and infinities are refused, for they are not JSON."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode())


def read_json(path: Path, /) -> Record:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, unreadable or not a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); it did not come from here, or was edited") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no JSON object; it did not come from here, or was edited")
    return document


class RunDirectory(AbstractContextManager["RunDirectory"]):
    """One run's directory, locked while it is open.

    Args:
        path: the directory; made where there is none.
        asked: what the run was asked for (seed, tier, claims, data, …); a resumed run must ask the same.
        resume: go on with the run that is there; without it, a directory that holds a run is refused.

    Raises:
        ValueError: the directory cannot be written, is in use, or holds another run.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        self._asked = json.loads(json.dumps(asked))
        self._resume = resume
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{self.path} is in use by another run; wait for it or choose another") from None
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written ({error.strerror}); choose another") from error
        try:
            self._open()
        except ValueError:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _open(self) -> None:
        plan = self.path / "run.json"
        if not plan.exists():
            if strangers := [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")]:
                raise ValueError(f"{self.path} holds other files ({strangers[0]}, …); choose an empty place")
            write_json(plan, self._asked)
            return
        if not self._resume:
            raise ValueError(f"{self.path} already holds a run; add --resume or choose another place")
        there = read_json(plan)
        if differing := [key for key in self._asked if there.get(key) != self._asked[key]]:
            key = differing[0]
            raise ValueError(
                f"{self.path} holds a run with {key} = {there.get(key)!r}, not {self._asked[key]!r}; "
                "ask the same to resume it, or choose another place"
            )

    def finished(self) -> dict[str, Record]:
        """The records of the claims already examined, by name."""
        records = {}
        for path in sorted((self.path / "claims").glob("[!.]*.json")):
            record = read_json(path)
            records[record["name"]] = record
        return records

    def save(self, record: Record, /) -> None:
        """Keep the record of one examined claim."""
        write_json(self.path / "claims" / f"{record['name']}.json", record)

    def close(self, ledger: Record, /) -> None:
        """Write the ledger, which ends the run."""
        write_json(self.path / "ledger.json", ledger)


def latest_run(root: Path, /) -> Path | None:
    """The directory of the newest ended run below `root` (or `root` itself), or None."""
    ledgers = [*root.glob("ledger.json"), *root.glob("*/ledger.json")]
    return max(ledgers, key=lambda path: path.stat().st_mtime).parent if ledgers else None
