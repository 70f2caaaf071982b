"""The directory of a run, its records and its lock."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any

from filelock import FileLock, Timeout

from kdtheory._content import content_digest
from kdtheory.bibliography import own_entries
from kdtheory.claims import Claim, examine
from kdtheory.claims.examined import Examined
from kdtheory.claims.finding import Ledger
from kdtheory.digest import code_digest
from kdtheory.doors import gate
from kdtheory.files import read_json, sweep, write_file, write_json
from kdtheory.plain import plain, restored
from kdtheory.records.documents import ledger_record

__all__ = ["RunDirectory", "code_of"]


@gate
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
        self.outdated: tuple[str, ...] = ()

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
        for folder in (self.path, self.path / "claims"):
            sweep(folder)
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
                f"{self.path} holds a run with {_unlike(key, there.get(key), self._asked[key])}; "
                "ask the same to resume it, or choose another place"
            )

    def finished(self, claims: Sequence[Claim], /) -> dict[str, Examined]:
        """Those of the claims that are already examined, by name, told as the claims tell them now.

        What other code has brought is passed over, and named in `outdated`.

        Raises:
            ValueError: a record is damaged.
        """
        found, outdated = {}, []
        for claim in claims:
            path = self.path / "claims" / f"{claim.name}.json"
            if not path.is_file():
                continue
            there: Examined = restored(Examined, read_json(path), f"{path}: record")
            if there.name != claim.name:
                raise ValueError(f"{path} is a record of {there.name}; it was renamed, or edited")
            if there.code != code_of(claim) or not self._complete(there, claim):
                outdated.append(claim.name)
                continue
            found[claim.name] = there.as_told_by(claim)
            if found[claim.name] != there:
                self.save(found[claim.name])
        self.outdated = tuple(outdated)
        return found

    def _complete(self, found: Examined, claim: Claim) -> bool:
        """Whether there is a run of each control and, where the run has mutants, of each mutant."""
        mutants = {mutant.name for mutant in claim.mutants}
        there = not self._asked.get("mutants") if found.mutants is None else set(found.mutants) == mutants
        return there and len(found.controls) == len(claim.controls)

    def save(self, found: Examined, /) -> None:
        """Keep what was found of one claim."""
        write_json(self.path / "claims" / f"{found.name}.json", plain(found))

    def close(self, ledger: Ledger, /) -> None:
        """Write the ledger, which ends the run, and the papers of the user's own that its claims cite."""
        if papers := own_entries(one.source for one in ledger):
            write_file(self.path / "references.bib", (papers + "\n").encode())
        write_json(self.path / "ledger.json", ledger_record(ledger))


def _unlike(key: str, there: Any, asked: Any) -> str:
    """How a setting of a run differs from what is asked; of many names, the first that only one has."""
    if not isinstance(there, list) or not isinstance(asked, list):
        return f"{key} = {there!r}, not {asked!r}"
    more, fewer = ([one for one in a if one not in b] for a, b in ((there, asked), (asked, there)))
    said = [f"{one!r}, which is not asked for" for one in more[:1]]
    said += [f"not {one!r}, which is" for one in fewer[:1]]
    return f"other {key}: {'; '.join(said) or 'in another order'}"


@gate
def code_of(claim: Claim, /) -> str:
    """The digest of all code that decides what a claim's examination brings.

    Of a claim that is declared in a file the file has all. Of one that is typed in, as in a notebook, what
    its experiments measure counts by itself, and so do the settings of premise and controls, and wrong
    versions that are typed in, too.
    """
    if getattr(sys.modules.get(claim.relation.__module__), "__file__", None):
        return code_digest(claim.relation, examine)
    measures = [one.measure for one in claim.experiments]
    wrong = [one.wrong for one in claim.mutants if isinstance(one.wrong, FunctionType)]
    declared = [claim.premise, *(one.overrides for one in claim.controls)]
    own = code_digest(claim.relation, *measures, *wrong, examine)
    return content_digest(own, *(dict(one) for one in declared))
