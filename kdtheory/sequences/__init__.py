"""Distillation of sequences: laws on V^H, their divergences, sampled gradients, drafts."""

from kdtheory.sequences.conventions import SEQUENCE_CONVENTIONS, SequenceConvention
from kdtheory.sequences.divergences import (
    next_token_sum,
    sequence_divergence,
    sequence_total_variation,
)
from kdtheory.sequences.estimators import ESTIMATORS, Moments, estimator_moments, kl_estimate, kl_surrogate
from kdtheory.sequences.laws import SequenceLaw
from kdtheory.sequences.speculative import (
    acceptance,
    acceptance_lower_limits,
    greedy_acceptance,
    negative_log_acceptance,
    speculative_law,
    tokens_per_cycle,
    total_variation,
)

__all__ = [
    "ESTIMATORS",
    "SEQUENCE_CONVENTIONS",
    "Moments",
    "SequenceConvention",
    "SequenceLaw",
    "acceptance",
    "acceptance_lower_limits",
    "estimator_moments",
    "greedy_acceptance",
    "kl_estimate",
    "kl_surrogate",
    "negative_log_acceptance",
    "next_token_sum",
    "sequence_divergence",
    "sequence_total_variation",
    "speculative_law",
    "tokens_per_cycle",
    "total_variation",
]
