"""Chapter 10: Folklore of distillation, executed."""
