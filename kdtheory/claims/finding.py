"""A row of the ledger: a claim's verdict, its controls, what breaks each part, what is noticed.

Tables and pages of notebooks import pandas when they are asked for: a report is made without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdtheory.claims.evidence import Evidence
from kdtheory.claims.told import Told, Tried
from kdtheory.claims.verdict import Verdict
from kdtheory.doors import gate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READ_LITERALLY", "Finding", "Ledger", "Notices", "Outcome", "Part", "Score", "Trial"]

READ_LITERALLY = "REFUTED as literally read; the charitable reading is the control"


@dataclass(frozen=True)
class Outcome:
    """A verdict, and whether it is the declared one."""

    verdict: Verdict
    as_expected: bool


@dataclass(frozen=True, kw_only=True)
class Trial(Tried):
    """A control, what its run brought, and what the ledger made of that."""

    verdict: Verdict
    as_expected: bool


@dataclass(frozen=True)
class Part:
    """One part of the evidence: the controls and mutants under which it was decided otherwise (None where no
    mutant was run), and those by which it was only left unsure."""

    verdict: Verdict
    controls: tuple[str, ...]
    mutants: tuple[str, ...] | None
    unsure: tuple[str, ...]

    @property
    def broken_by(self) -> str:
        """The controls and mutants that broke the part, in words."""
        by = {"the control": self.controls, "the mutant": self.mutants or (), "left unsure by": self.unsure}
        told = [f"{kind} {', '.join(names)}" for kind, names in by.items() if names]
        if not (self.controls or self.mutants):
            told.insert(0, "no control; mutants were not run" if self.mutants is None else "nothing")
        return "; ".join(told)


@dataclass(frozen=True)
class Score:
    """The mutants: what each brought, which left the check only unsure, and which it did not notice."""

    evidence: Mapping[str, Evidence] = field(repr=False)
    unsure: tuple[str, ...]
    survivors: tuple[str, ...]

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.evidence)

    @property
    def killed(self) -> int:
        """How many were noticed, those included that the check was only left unsure by."""
        return self.total - len(self.survivors)

    def fate(self, name: str, /) -> str:
        """The outcome of a mutant: noticed, only unsure, or survived."""
        return "survived" if name in self.survivors else "only unsure" if name in self.unsure else "noticed"


@dataclass(frozen=True)
class Notices:
    """The smallest error in the central constant that is noticed in each direction, or why there is none."""

    target: str
    declared: bool
    notices: Mapping[str, float | None]
    because: str

    def __str__(self) -> str:
        if self.because:
            return f"not measured: {self.because}"
        return ", ".join(
            f"not ×{2 if way == 'more' else '½'}" if error is None else f"{error:.0%} {way}"
            for way, error in self.notices.items()
        )


@dataclass(frozen=True, kw_only=True)
class Finding(Told):
    """The row of the ledger on one claim."""

    verdict: Verdict
    controls: tuple[Trial, ...] = field(repr=False)
    parts: Mapping[str, Part] = field(repr=False)
    evidence: Evidence
    mutants: Score | None = field(repr=False)
    power: Notices | None = field(repr=False)
    calls: tuple[str, ...] = field(repr=False)
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict is self.expected

    @property
    def control(self) -> Outcome:
        """The controls as one: the first that came out otherwise than declared, or all of them."""
        shown = next((one.verdict for one in self.controls if not one.as_expected), self.brings)
        return Outcome(shown, shown is self.brings)

    @property
    def kind(self) -> str:
        """The reason why a statement is expected to be refuted: erratum, or reading; else empty."""
        return "" if self.expected is not Verdict.REFUTED else "reading" if self.reading else "erratum"

    def to_frame(self) -> pd.DataFrame:
        """One row, as of a ledger."""
        return _frame([self])

    def _repr_html_(self) -> str:
        expected = "" if self.as_expected else f", expected {self.expected.name}"
        said = f"{self.name}: {self.verdict.name}{expected}. {self.statement}"
        return _in_html(said, self.to_frame().T.rename_axis(" "))

    @property
    def would_notice(self) -> str:
        """The smallest errors that are noticed, in words: "4% more, 8% less"; empty where none was tried."""
        return "" if self.power is None else str(self.power)


@gate
@dataclass(frozen=True)
class Ledger:
    """The findings of a run, which share one family-wise error rate.

    Args:
        version: of this package.
        seed, tier: of the run.
        alpha: the family-wise error rate.
        decisions: how many sampled decisions share it.
        findings: one a claim; a ledger is iterated, counted and indexed (by place or name) as they are.
    """

    version: str
    seed: int
    tier: str
    alpha: float
    decisions: int
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, key: int | str, /) -> Finding:
        if isinstance(key, int):
            return self.findings[key]
        return {one.name: one for one in self.findings}[key]

    @property
    def unexpected(self) -> tuple[Finding, ...]:
        """The findings that are otherwise than expected."""
        return tuple(one for one in self.findings if not one.as_expected)

    @property
    def not_noticed(self) -> str:
        """The mutants that were not noticed, by their claims, in words; empty where there is none."""
        survived = {one.name: one.mutants.survivors for one in self.findings if one.mutants}
        return "; ".join(f"{', '.join(names)} ({claim})" for claim, names in survived.items() if names)

    def to_frame(self) -> pd.DataFrame:
        """One row a claim, by name."""
        return _frame(self.findings)

    def plot(self) -> Any:
        """How many claims of each chapter came out how; the axes."""
        import pandas as pd

        chapters = [f"chapter {one.section.split('.')[0]}" if one.section else "own" for one in self.findings]
        verdicts = [one.verdict.name for one in self.findings]
        table = pd.crosstab(pd.Series(chapters, name=""), pd.Series(verdicts, name=""))
        return table.plot.barh(stacked=True, xlabel="claims")

    @property
    def _said(self) -> str:
        otherwise = ", ".join(one.name for one in self.unexpected)
        claims = f"{len(self)} claim" + "s" * (len(self) != 1)
        said = f"otherwise: {otherwise}" if otherwise else f"{claims}, all as expected"
        return (
            f"{said}, but for mutants that were not noticed: {self.not_noticed}" if self.not_noticed else said
        )

    def __str__(self) -> str:
        return f"{self._said}\n{self.to_frame()}"

    def _repr_html_(self) -> str:
        return _in_html(self._said, self.to_frame())


def _in_html(said: str, frame: pd.DataFrame) -> str:
    from kdtheory.shown import in_html

    return in_html(said, frame)


def _frame(findings: Sequence[Finding]) -> pd.DataFrame:
    import pandas as pd

    from kdtheory.shown import Frame

    return Frame(pd.DataFrame([_row(one) for one in findings]).set_index("claim"))


def _row(one: Finding) -> dict[str, Any]:
    score = one.mutants
    return {
        "claim": one.name,
        "verdict": one.verdict.name,
        "as_expected": one.as_expected,
        "expected": one.expected.name,
        "section": one.section,
        "control_verdict": one.control.verdict.name,
        "control_as_expected": one.control.as_expected,
        "key_figure": one.evidence.key_figure,
        "mutants": None if score is None else score.total,
        "mutants_noticed": None if score is None else score.killed,
        "mutants_only_unsure": None if score is None else len(score.unsure),
        "would_notice": one.would_notice,
        "statement": one.statement,
        "seconds": one.seconds,
    }
