"""Chapter 5: generalization bounds (Hsu, Ji, Telgarsky, Wang, ICLR 2021)."""

from __future__ import annotations

from kdtheory.claims.bounds import (
    complexity,
    deviation,
    distillation,
    holdout,
    lipschitz,
    margins,
    memoriser,
    occam,
    pac_bayes,
    relu_nets,
    several,
    supervision,
    transfer,
    two_samples,
    vacuity,
)

__all__ = [
    "complexity",
    "deviation",
    "distillation",
    "holdout",
    "lipschitz",
    "margins",
    "memoriser",
    "occam",
    "pac_bayes",
    "relu_nets",
    "several",
    "supervision",
    "transfer",
    "two_samples",
    "vacuity",
]
