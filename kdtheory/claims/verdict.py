"""The one place that turns evidence into a verdict.

The rule is fixed before any run: evidence decides when its p-value, adjusted for the whole ledger by Holm
(1979), is at most α; which way it decides is read from the two one-sided p-values. Evidence that no chance
decides needs no adjustment. A claim whose control comes out otherwise than declared is BLIND, whatever its
own evidence says: the check could not have told the difference.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from kdtheory.claims.evidence import Evidence, Failure, OutOfScope
from kdtheory.stats import holm_adjusted

__all__ = ["Verdict", "judge", "judge_family", "with_control"]


class Verdict(enum.Enum):
    """What became of a claim; the value is the sentence that a reader sees."""

    SUPPORTED = "The evidence meets the acceptance rule that was fixed before the run."
    REFUTED = "The evidence contradicts the statement."
    INCONCLUSIVE = "The evidence decides neither way at this sample size."
    VACUOUS = "The statement holds, at a level at which it says nothing."
    BLIND = "The control did not come out as declared: this check cannot tell true from false."
    OUT_OF_SCOPE = "An assumption of the statement is not met here."
    ERROR = "The check could not run; this never counts as a pass."


def judge(evidence: Evidence, /, *, alpha: float = 0.05, adjusted: float | None = None) -> Verdict:
    """The verdict on one piece of evidence.

    Args:
        evidence: what the check brought back.
        alpha: the error rate of the whole family.
        adjusted: the smaller of its two p-values adjusted for the family; where not given, the evidence is
            judged alone.

    >>> from kdtheory.claims.evidence import Coverage
    >>> judge(Coverage(draws=200, violations=0, delta=0.05)).name
    'SUPPORTED'
    >>> judge(Coverage(draws=200, violations=60, delta=0.05)).name
    'REFUTED'
    """
    match evidence:
        case Failure():
            return Verdict.ERROR
        case OutOfScope():
            return Verdict.OUT_OF_SCOPE
    decisive = min(evidence.p_fails, evidence.p_holds)
    if (decisive if adjusted is None else adjusted) > alpha:
        return Verdict.INCONCLUSIVE
    if evidence.p_fails < evidence.p_holds:
        return Verdict.REFUTED
    return Verdict.VACUOUS if evidence.says_nothing else Verdict.SUPPORTED


def judge_family(family: Sequence[Evidence], /, *, alpha: float = 0.05) -> list[Verdict]:
    """The verdicts of a whole ledger, which shares one family-wise error rate α (Holm 1979).

    Only evidence that chance decides belongs to the family; each such piece makes one directional decision.
    """
    sampled = [i for i, evidence in enumerate(family) if evidence.statistical]
    p_values = [min(family[i].p_fails, family[i].p_holds) for i in sampled]
    adjusted = dict(zip(sampled, holm_adjusted(p_values), strict=True))
    return [
        judge(evidence, alpha=alpha, adjusted=adjusted.get(index)) for index, evidence in enumerate(family)
    ]


def with_control(premise: Verdict, control: Verdict, /, *, brings: Verdict) -> Verdict:
    """The verdict on a claim, given its control's verdict and the one that was declared for it."""
    if premise in (Verdict.ERROR, Verdict.OUT_OF_SCOPE):
        return premise
    if control is Verdict.ERROR:
        return Verdict.ERROR
    return premise if control is brings else Verdict.BLIND
