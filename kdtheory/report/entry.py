"""One claim as the page shows it: its finding, its evidence as tables, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kdtheory.bibliography import bibtex, citation
from kdtheory.claims.finding import Finding, Trial
from kdtheory.report.evidence import Exhibit, Setting, exhibit, settings
from kdtheory.report.formula import typeset
from kdtheory.report.sources import Figure, Run

__all__ = ["Entry", "entries"]


@dataclass(frozen=True)
class Entry:
    """One claim of the run. A figure stands with the first claim it illustrates; the others point to it."""

    finding: Finding
    formula: Markup
    source: str
    bibtex: str
    settings: list[Setting]
    premise_exhibit: Exhibit
    controls: list[tuple[Trial, Exhibit]]
    figures: list[Figure]
    figures_elsewhere: list[tuple[Figure, str]]

    @property
    def name(self) -> str:
        """The claim's name, which is its anchor on the page."""
        return self.finding.name

    @property
    def title(self) -> str:
        """The name as a sentence is read."""
        return self.name.replace("_", " ")


def entries(run: Run, figures: Sequence[Figure], /) -> list[Entry]:
    """The claims of a run in the order of their sections, with the figures that illustrate them.

    Raises:
        ValueError: a claim cites what the bibliography does not hold.
    """
    findings = sorted(run.ledger, key=lambda finding: finding.order)
    homes = _homes([finding.name for finding in findings], figures)
    return [_entry(finding, homes) for finding in findings]


def _homes(names: list[str], figures: Sequence[Figure]) -> list[tuple[Figure, str]]:
    """Each figure with the first claim of the page that it illustrates."""
    illustrated = [(figure, [name for name in names if name in figure.claims]) for figure in figures]
    return [(figure, at[0]) for figure, at in illustrated if at]


def _entry(finding: Finding, homes: list[tuple[Figure, str]]) -> Entry:
    mine = [(figure, home) for figure, home in homes if finding.name in figure.claims]
    return Entry(
        finding=finding,
        formula=typeset(finding.formula),
        source=citation(finding.source),
        bibtex=bibtex(finding.source),
        settings=settings(finding.premise, [control.overrides for control in finding.controls]),
        premise_exhibit=exhibit(finding.evidence),
        controls=[(control, exhibit(control.evidence)) for control in finding.controls],
        figures=[figure for figure, home in mine if home == finding.name],
        figures_elsewhere=[(figure, home) for figure, home in mine if home != finding.name],
    )
