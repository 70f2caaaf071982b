"""Multi-view data, ensembles and distillation (Allen-Zhu & Li 2020): training, coverage, comparison."""

from __future__ import annotations

from kdtheory.multiview.comparison import (
    Arm,
    Comparison,
    ComparisonPlan,
    compare,
    compare_plain,
    span_coordinates,
)
from kdtheory.multiview.coverage import first_view, missed_share, missed_view_probability, views_held
from kdtheory.multiview.lazy import LazyPopulation, tangent_kernel, train_lazy
from kdtheory.multiview.limit import LimitPopulation, limit_of, limit_start, train_limit

__all__ = [
    "Arm",
    "Comparison",
    "ComparisonPlan",
    "LazyPopulation",
    "LimitPopulation",
    "compare",
    "compare_plain",
    "first_view",
    "limit_of",
    "limit_start",
    "missed_share",
    "missed_view_probability",
    "span_coordinates",
    "tangent_kernel",
    "train_lazy",
    "train_limit",
    "views_held",
]
