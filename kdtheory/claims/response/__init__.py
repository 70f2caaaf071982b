"""Chapter 1, response: temperature softmax and the distillation loss (Hinton, Vinyals, Dean, 2015)."""

from __future__ import annotations

from kdtheory.claims.response import conventions, loss, temperature

__all__ = ["conventions", "loss", "temperature"]
