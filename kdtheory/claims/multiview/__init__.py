"""Chapter 7, multi-view data (Allen-Zhu & Li 2020): which views networks learn, ensembles, distillation."""

from kdtheory.claims.multiview import controls, distillation, ensembles, gaussian, lazy, limit, race, single

__all__ = ["controls", "distillation", "ensembles", "gaussian", "lazy", "limit", "race", "single"]
