"""Compare a student with its teacher: how often they differ, what compression costs, which points to
label."""

from __future__ import annotations

from kdtheory.compare.ahead import Guess, labels_needed, ways_ahead
from kdtheory.compare.door import Answers, compare
from kdtheory.compare.lines import PARTS
from kdtheory.compare.plan import LabelPlan, plan_labels
from kdtheory.compare.result import Comparison

__all__ = [
    "PARTS",
    "Answers",
    "Comparison",
    "Guess",
    "LabelPlan",
    "compare",
    "labels_needed",
    "plan_labels",
    "ways_ahead",
]
