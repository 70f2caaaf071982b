"""Executable claims, a package per chapter, and the core that examines and judges them.

Importing this package registers the claims of all chapters: 1 `response`, 2 `features`, 3 `schemes`, 4
`risk`, 5 `bounds`, 6 `ntk` and
`transfer_risk`, 7 `multiview`, 8 `sequences`, 9 `agreement`.
"""

from kdtheory.claims import (
    agreement,
    bounds,
    features,
    multiview,
    ntk,
    response,
    risk,
    schemes,
    sequences,
    transfer_risk,
)
from kdtheory.claims.core import REGISTRY, Claim, Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.examination import Examination, Plan, examine
from kdtheory.claims.verdict import Judgement, Verdict, judge, judge_family, with_controls

__all__ = [
    "REGISTRY",
    "Claim",
    "Control",
    "Examination",
    "Judgement",
    "Mutant",
    "Plan",
    "Scaled",
    "Setting",
    "Verdict",
    "agreement",
    "bounds",
    "claim",
    "examine",
    "features",
    "judge",
    "judge_family",
    "multiview",
    "ntk",
    "response",
    "risk",
    "schemes",
    "sequences",
    "transfer_risk",
    "with_controls",
]
