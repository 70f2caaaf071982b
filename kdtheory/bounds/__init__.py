"""Bounds that hold with probability at least 1 − δ, with their terms by name and their assumptions."""

from kdtheory.bounds.covering import segment_covering_number
from kdtheory.bounds.empirical_bernstein import (
    maurer09_covering,
    maurer09_covering_radius,
    maurer09_finite_class,
    maurer09_finite_class_radius,
)
from kdtheory.bounds.result import Bound

__all__ = [
    "Bound",
    "maurer09_covering",
    "maurer09_covering_radius",
    "maurer09_finite_class",
    "maurer09_finite_class_radius",
    "segment_covering_number",
]
