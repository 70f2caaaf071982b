"""The words of claims and controls as texts, for records and rows of the ledger: no claim is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kdtheory.claims.evidence import Evidence
from kdtheory.claims.verdict import Verdict

__all__ = ["Filed", "Told", "Tried"]


class Filed:
    """Anything filed under a section, such as "4.1"; the section is empty where there is no chapter."""

    section: str

    @property
    def chapter(self) -> int:
        """The chapter that it belongs to; 0 where it belongs to none."""
        return self.order[0]

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of its section, by which claims are put in order."""
        return tuple(int(part) for part in self.section.split(".") if part) or (0,)


@dataclass(frozen=True, kw_only=True)
class Told(Filed):
    """The words of a claim's declaration."""

    name: str
    section: str
    topic: str = field(repr=False)
    statement: str = field(repr=False)
    formula: str = field(repr=False)
    source: str = field(repr=False)
    place: str = field(repr=False)
    assumes: tuple[str, ...] = field(repr=False)
    how: str = field(repr=False)
    reading: str = field(repr=False)
    loose: str = field(repr=False)
    tuned_on: tuple[int, ...] = field(repr=False)
    expected: Verdict
    brings: Verdict = field(repr=False)
    premise: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A control, and what its run brought."""

    because: str
    overrides: Mapping[str, str]
    evidence: Evidence
