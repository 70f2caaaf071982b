"""kdtheory: the theory of knowledge distillation as executable claims."""

__version__ = "0.1.0"
