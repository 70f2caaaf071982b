"""The one place that turns evidence into a verdict.

The rule is fixed before any run: a piece of evidence decides when its p-value, adjusted for all pieces of
the ledger by Holm (1979), is at most α; which way it decides is read from the two one-sided p-values. A part
of joint evidence is a piece like any other, and so is the evidence of a mutant in its premise's place.
Evidence that no chance decides needs no adjustment. A claim one of whose controls comes out otherwise than
declared is BLIND, whatever its own evidence says: the check could not have told the difference.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdtheory.claims.evidence import Evidence, Failure, OutOfScope
from kdtheory.doors import gate
from kdtheory.stats import holm_adjusted

__all__ = ["Judgement", "Verdict", "decisive_p_values", "judge", "judge_family", "with_controls"]


class Verdict(enum.Enum):
    """The outcome of a claim; the value is the sentence that a reader sees."""

    SUPPORTED = "The evidence meets the acceptance rule that was fixed before the run."
    REFUTED = "The evidence contradicts the statement."
    INCONCLUSIVE = "The evidence decides neither way at this sample size."
    VACUOUS = "The statement holds, at a level at which it says nothing."
    BLIND = "A control did not come out as declared: this check cannot tell true from false."
    OUT_OF_SCOPE = "An assumption of the statement is not met here."
    ERROR = "The check could not run; this never counts as a pass."


_DECIDE = (Verdict.REFUTED, Verdict.ERROR, Verdict.OUT_OF_SCOPE, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)
"""The first of these that a part came out as is the verdict on the whole; else all parts are VACUOUS."""


@gate
@dataclass(frozen=True)
class Judgement:
    """The verdict on one piece of evidence, and those on its parts by name ("" where it has none)."""

    verdict: Verdict
    parts: Mapping[str, Verdict]


@gate
def judge(evidence: Evidence, /, *, alpha: float = 0.05, others: Sequence[float] = ()) -> Verdict:
    """The verdict on one piece of evidence; `judge_family` of that one.

    >>> from kdtheory.claims.evidence import Coverage
    >>> judge(Coverage(draws=200, violations=0, delta=0.05)).name
    'SUPPORTED'
    >>> judge(Coverage(draws=200, violations=60, delta=0.05)).name
    'REFUTED'
    """
    return judge_family([evidence], alpha=alpha, others=others)[0].verdict


@gate
def judge_family(
    family: Sequence[Evidence], /, *, alpha: float = 0.05, others: Sequence[float] = ()
) -> list[Judgement]:
    """The verdicts of a whole ledger, which shares one family-wise error rate α (Holm 1979).

    Each piece that chance decides, alone or as a part of joint evidence, makes one decision of the family,
    in the direction of its smaller p-value. Joint evidence is REFUTED where a part is, and SUPPORTED where
    all parts are (or some say nothing; VACUOUS where all do).

    Args:
        family: the evidence that is judged.
        alpha: the error rate of the whole family.
        others: `decisive_p_values` of further evidence that shares α: of the rest of the ledger where only a
            piece of it is judged. 1 for each decision that is not known errs on the side of no verdict.
    """
    decisive = [p for evidence in family for p in decisive_p_values(evidence)]
    adjusted = iter(holm_adjusted([*decisive, *others]))
    judged = []
    for evidence in family:
        parts = {name: _verdict(leaf, adjusted, alpha) for name, leaf in evidence.leaves.items()}
        whole = next((one for one in _DECIDE if one in parts.values()), Verdict.VACUOUS)
        judged.append(Judgement(whole, parts))
    return judged


def decisive_p_values(evidence: Evidence, /) -> list[float]:
    """The smaller p-value of each piece of the evidence that chance decides: its share of the family."""
    return [min(leaf.p_against, leaf.p_in_favour) for leaf in evidence.leaves.values() if leaf.sampled]


def _verdict(leaf: Evidence, adjusted: Iterator[float], alpha: float) -> Verdict:
    match leaf:
        case Failure():
            return Verdict.ERROR
        case OutOfScope():
            return Verdict.OUT_OF_SCOPE
    decisive = next(adjusted) if leaf.sampled else min(leaf.p_against, leaf.p_in_favour)
    if decisive > alpha:
        return Verdict.INCONCLUSIVE
    if leaf.p_against < leaf.p_in_favour:
        return Verdict.REFUTED
    return Verdict.VACUOUS if leaf.says_nothing else Verdict.SUPPORTED


@gate
def with_controls(premise: Verdict, controls: Sequence[Verdict], /, *, brings: Verdict) -> Verdict:
    """The verdict on a claim, given its controls' verdicts and the one that was declared for each."""
    if premise in (Verdict.ERROR, Verdict.OUT_OF_SCOPE):
        return premise
    if Verdict.ERROR in controls:
        return Verdict.ERROR
    return premise if all(control is brings for control in controls) else Verdict.BLIND
