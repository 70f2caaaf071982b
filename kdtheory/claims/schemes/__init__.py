"""Chapter 3, schemes of distillation."""

from kdtheory.claims.schemes import online_offline

__all__ = ["online_offline"]
