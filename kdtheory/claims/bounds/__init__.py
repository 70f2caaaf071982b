"""Chapter 5: Generalization bounds."""
