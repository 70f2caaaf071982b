"""Experiments: a world, a recipe and a measurement, as a value that gives rows.

A claim judges the rows of an experiment, its control those of the same experiment with a setting replaced,
and a study draws them: there is one home for what is judged and what is shown.
"""

from kdtheory.experiments.core import (
    EXPERIMENTS,
    Experiment,
    experiment,
    forget,
    paragraphs,
    shown,
    with_replaced,
)
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Rows",
    "Run",
    "experiment",
    "forget",
    "paragraphs",
    "shown",
    "with_replaced",
]
