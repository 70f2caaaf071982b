"""Losses on relations between the examples of a batch, or between two layers, and on nothing else."""

from kdtheory.losses.relations.flow import flow_matrix, flow_matrix_loss
from kdtheory.losses.relations.relational import (
    angle_potentials,
    distance_potentials,
    relational_angle_loss,
    relational_distance_loss,
)
from kdtheory.losses.relations.similarity import (
    correlation_congruence,
    correlation_kernel,
    probabilistic_transfer,
    row_similarities,
    similarity_preserving,
    similarity_probs,
)

__all__ = [
    "angle_potentials",
    "correlation_congruence",
    "correlation_kernel",
    "distance_potentials",
    "flow_matrix",
    "flow_matrix_loss",
    "probabilistic_transfer",
    "relational_angle_loss",
    "relational_distance_loss",
    "row_similarities",
    "similarity_preserving",
    "similarity_probs",
]
