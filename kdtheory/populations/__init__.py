"""Populations: many networks of one architecture, each with its own seed and data, trained as one batch."""

from __future__ import annotations

from kdtheory.populations.population import Population
from kdtheory.populations.training import Loss, train

__all__ = ["Loss", "Population", "train"]
