"""Chapter 4: one-hot against Bayes-distilled risk (Menon et al., ICML 2021)."""

from __future__ import annotations

from kdtheory.claims.risk import empirical_bernstein, gradients, students, teachers, variance

__all__ = ["empirical_bernstein", "gradients", "students", "teachers", "variance"]
