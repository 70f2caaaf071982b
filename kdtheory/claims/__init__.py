"""Executable claims, a package per chapter, and the core that examines and judges them.

Every claim below this package is registered when the registry is first read. The first line of a chapter's
package is its title; a module that is put into one, or beside them, is found without being named anywhere.
"""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.claims.core import REGISTRY, Claim, Control, Mutant, Scaled, claim, register_below
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
    "Verdict",
    "claim",
    "examine",
    "judge",
    "judge_family",
    "register_below",
    "with_controls",
]
lazily(__name__)
