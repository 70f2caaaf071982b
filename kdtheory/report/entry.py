"""One claim as the page shows it: its row in the ledger, its record, its mutants and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kdtheory.bibliography import bibtex, citation
from kdtheory.claims import Verdict
from kdtheory.claims.finding import broken_by, would_notice
from kdtheory.records import Record
from kdtheory.report.evidence import Exhibit, Setting, exhibit, settings
from kdtheory.report.formula import typeset
from kdtheory.report.sources import Figure, Run

__all__ = ["Entry", "Sight", "Trial", "entries"]


@dataclass(frozen=True)
class Sight:
    """A mutant, what its run brought, and what the check made of it: noticed, only unsure, or survived."""

    name: str
    key_figure: str
    fate: str


@dataclass(frozen=True)
class Trial:
    """A control: what is broken, what its run brought, and whether that was declared."""

    because: str
    verdict: Verdict
    as_expected: bool
    exhibit: Exhibit


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
    settings: list[Setting]
    premise_exhibit: Exhibit
    controls: list[Trial]
    parts: list[tuple[str, Verdict, str]]
    would_notice: str
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

    @property
    def kind(self) -> str:
        """Of a printed statement that is expected to be refuted: erratum, or reading; else empty."""
        return ("reading" if self.record["reading"] else "erratum") if self.erratum else ""


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
    name, words = record["name"], broken_by(finding)
    mine = [(figure, home) for figure, home in homes if name in figure.claims]
    return Entry(
        finding=finding,
        record=record,
        verdict=Verdict[finding["verdict"]],
        control=Verdict[finding["control"]["verdict"]],
        formula=typeset(record["formula"]),
        source=citation(record["source"]),
        bibtex=bibtex(record["source"]),
        settings=settings(record["premise"], [control["overrides"] for control in record["controls"]]),
        premise_exhibit=exhibit(record["evidence"]),
        controls=[
            Trial(
                because=control["because"],
                verdict=Verdict[row["verdict"]],
                as_expected=row["as_expected"],
                exhibit=exhibit(control["evidence"]),
            )
            for control, row in zip(record["controls"], finding["controls"], strict=True)
        ],
        parts=[(part, Verdict[row["verdict"]], words[part]) for part, row in finding["parts"].items()],
        would_notice=would_notice(finding),
        mutants=_sights(record["mutants"] or {}, finding["mutants"]),
        figures=[figure for figure, home in mine if home == name],
        figures_elsewhere=[(figure, home) for figure, home in mine if home != name],
    )


def _sights(mutants: Record, score: Record | None) -> list[Sight]:
    fates = {"unsure": "only unsure", "survivors": "survived"}
    told = {name: fate for key, fate in fates.items() for name in (score[key] if score else ())}
    return [Sight(name, found["key_figure"], told.get(name, "noticed")) for name, found in mutants.items()]
