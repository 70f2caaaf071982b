"""Chapter 9: agreement, and what few labels say about a student (derived here)."""

from __future__ import annotations

from kdtheory.claims.agreement import exact_limits

__all__ = ["exact_limits"]
