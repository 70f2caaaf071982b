"""Executable claims, one file per topic, and the core that examines and judges them.

Importing this package registers the claims of all chapters: 1 response (`temperature`, `response`,
`conventions`), 4 risk (`risk`, `empirical_bernstein`, `teachers`, `students`, `gradients`).
"""

from kdtheory.claims import (
    conventions,
    empirical_bernstein,
    gradients,
    response,
    risk,
    students,
    teachers,
    temperature,
)
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
    "conventions",
    "empirical_bernstein",
    "examine",
    "gradients",
    "judge",
    "judge_family",
    "response",
    "risk",
    "students",
    "teachers",
    "temperature",
    "with_control",
]
