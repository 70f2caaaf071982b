"""Executable claims, one file per topic, and the core that examines and judges them.

Importing this package registers the claims of all chapters: 1 response (`temperature`, `response`,
`conventions`), 3 schemes (`schemes`), 4 risk (`risk`, `empirical_bernstein`, `teachers`, `students`,
`gradients`), 5 bounds (`margins`, `lipschitz`, `complexity`, `deviation`, `distillation`, `memoriser`,
`vacuity`, `supervision`, `certificates`, `transfer`).
"""

from kdtheory.claims import (
    certificates,
    complexity,
    conventions,
    deviation,
    distillation,
    empirical_bernstein,
    gradients,
    lipschitz,
    margins,
    memoriser,
    response,
    risk,
    schemes,
    students,
    supervision,
    teachers,
    temperature,
    transfer,
    vacuity,
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
    "certificates",
    "claim",
    "complexity",
    "conventions",
    "deviation",
    "distillation",
    "empirical_bernstein",
    "examine",
    "gradients",
    "judge",
    "judge_family",
    "lipschitz",
    "margins",
    "memoriser",
    "response",
    "risk",
    "schemes",
    "students",
    "supervision",
    "teachers",
    "temperature",
    "transfer",
    "vacuity",
    "with_control",
]
