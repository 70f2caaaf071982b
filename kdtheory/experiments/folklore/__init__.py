"""Folklore of distillation, tried on real images: teachers and students that serve many statements."""
