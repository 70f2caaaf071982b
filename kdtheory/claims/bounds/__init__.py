"""Chapter 5: generalization bounds (Hsu, Ji, Telgarsky, Wang, ICLR 2021)."""

from __future__ import annotations

from kdtheory.claims.bounds import (
    certificates,
    complexity,
    deviation,
    distillation,
    lipschitz,
    margins,
    memoriser,
    supervision,
    transfer,
    two_samples,
    vacuity,
)

__all__ = [
    "certificates",
    "complexity",
    "deviation",
    "distillation",
    "lipschitz",
    "margins",
    "memoriser",
    "supervision",
    "transfer",
    "two_samples",
    "vacuity",
]
