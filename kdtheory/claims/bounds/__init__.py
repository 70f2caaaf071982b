"""Chapter 5: generalization bounds (Hsu, Ji, Telgarsky, Wang, ICLR 2021)."""

from __future__ import annotations

from kdtheory.claims.bounds import (
    complexity,
    distillation,
    holdout,
    margins,
    memoriser,
    occam,
    pac_bayes,
    several,
    supervision,
    transfer,
    two_samples,
    vacuity,
)

__all__ = [
    "complexity",
    "distillation",
    "holdout",
    "margins",
    "memoriser",
    "occam",
    "pac_bayes",
    "several",
    "supervision",
    "transfer",
    "two_samples",
    "vacuity",
]
