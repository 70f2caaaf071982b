"""Chapter 2, feature and relation losses: their printed forms, their laws, and what they do not see."""

from kdtheory.claims.features import attention, local_structure, non_local, projections, relations

__all__ = ["attention", "local_structure", "non_local", "projections", "relations"]
