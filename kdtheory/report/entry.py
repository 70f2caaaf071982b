"""One claim as the page shows it: its row in the ledger, its record, its mutants and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kdtheory.bibliography import bibtex, citation
from kdtheory.claims import Verdict
from kdtheory.records import Record
from kdtheory.report.evidence import Exhibit, exhibit, settings
from kdtheory.report.formula import typeset
from kdtheory.report.sources import Figure, Run

__all__ = ["Entry", "Sight", "entries"]


@dataclass(frozen=True)
class Sight:
    """A mutant, what its run brought, and whether the check noticed it."""

    name: str
    key_figure: str
    noticed: bool


@dataclass(frozen=True)
class Entry:
    """One claim of the run. A figure stands with the first claim it illustrates; the others point to it."""

    finding: Record
    record: Record
    verdict: Verdict
    control: Verdict
    formula: Markup
    source: str
    bibtex: str
    settings: list[tuple[str, str, str, bool]]
    premise_exhibit: Exhibit
    control_exhibit: Exhibit
    mutants: list[Sight]
    figures: list[Figure]
    figures_elsewhere: list[tuple[Figure, str]]

    @property
    def name(self) -> str:
        """The claim's name, which is its anchor on the page."""
        return str(self.record["name"])

    @property
    def title(self) -> str:
        """The name as a sentence is read."""
        return self.name.replace("_", " ")

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one."""
        return bool(self.finding["as_expected"])

    @property
    def erratum(self) -> bool:
        """Whether a printed statement is expected to be refuted."""
        return bool(self.record["expected"] == Verdict.REFUTED.name)


def entries(run: Run, figures: Sequence[Figure], /) -> list[Entry]:
    """The claims of a run in the order of their sections, with the figures that illustrate them.

    Raises:
        ValueError: a record is damaged, or cites what the bibliography does not hold.
    """
    findings = sorted(run.ledger["findings"], key=lambda row: _order(row["section"]))
    homes = _homes([finding["name"] for finding in findings], figures)
    return [_entry(finding, run.records[finding["name"]], homes) for finding in findings]


def _order(section: str) -> list[tuple[int, str]]:
    return [(int("".join(filter(str.isdigit, part)) or 0), part) for part in section.split(".")]


def _homes(names: list[str], figures: Sequence[Figure]) -> list[tuple[Figure, str]]:
    """Each figure with the first claim of the page that it illustrates."""
    illustrated = [(figure, [name for name in names if name in figure.claims]) for figure in figures]
    return [(figure, at[0]) for figure, at in illustrated if at]


def _entry(finding: Record, record: Record, homes: list[tuple[Figure, str]]) -> Entry:
    name, control = record["name"], record["control"]
    mine = [(figure, home) for figure, home in homes if name in figure.claims]
    return Entry(
        finding=finding,
        record=record,
        verdict=Verdict[finding["verdict"]],
        control=Verdict[finding["control"]["verdict"]],
        formula=typeset(record["formula"]),
        source=citation(record["source"]),
        bibtex=bibtex(record["source"]),
        settings=settings(record["premise"], control["overrides"]),
        premise_exhibit=exhibit(record["evidence"]),
        control_exhibit=exhibit(control["evidence"]),
        mutants=_sights(record["mutants"] or {}, finding["mutants"]),
        figures=[figure for figure, home in mine if home == name],
        figures_elsewhere=[(figure, home) for figure, home in mine if home != name],
    )


def _sights(mutants: Record, score: Record | None) -> list[Sight]:
    survivors = score["survivors"] if score else ()
    return [Sight(name, found["key_figure"], name not in survivors) for name, found in mutants.items()]
