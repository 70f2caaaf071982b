"""Chapter 6, kernels: the limit of infinite width (`width`), and how far a wide net is from it (`drift`)."""

from kdtheory.claims.ntk import drift, width

__all__ = ["drift", "width"]
