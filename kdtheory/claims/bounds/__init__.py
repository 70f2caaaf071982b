"""Chapter 5: generalization bounds (Hsu, Ji, Telgarsky, Wang, ICLR 2021)."""

from __future__ import annotations

from kdtheory.claims.bounds import (
    complexity,
    distillation,
    holdout,
    many_classifiers,
    margins,
    memoriser,
    supervision,
    transfer,
    two_samples,
    vacuity,
)

__all__ = [
    "complexity",
    "distillation",
    "holdout",
    "many_classifiers",
    "margins",
    "memoriser",
    "supervision",
    "transfer",
    "two_samples",
    "vacuity",
]
