"""Executable claims, one file per chapter, and the core that examines and judges them."""

from kdtheory.claims.core import REGISTRY, Claim, Control, Mutant, Setting, claim
from kdtheory.claims.examination import Examination, Plan, examine
from kdtheory.claims.verdict import Verdict, judge, judge_family, with_control

__all__ = [
    "REGISTRY",
    "Claim",
    "Control",
    "Examination",
    "Mutant",
    "Plan",
    "Setting",
    "Verdict",
    "claim",
    "examine",
    "judge",
    "judge_family",
    "with_control",
]
