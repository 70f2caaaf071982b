"""Chapter 8, distillation of distributions and sequences: what people distil since 2023."""

from __future__ import annotations

from kdtheory.claims.sequences import (
    chain_rule,
    drafts,
    estimators,
    imitation,
    pythagoras,
    recursion,
    truncated,
)

__all__ = ["chain_rule", "drafts", "estimators", "imitation", "pythagoras", "recursion", "truncated"]
