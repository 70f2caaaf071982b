"""Chapter 8: Distributions and sequences."""
