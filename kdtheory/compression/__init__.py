"""Students simplified from the teacher: low-rank layers, pruned weights and units, and what that costs.

`low_rank` and `sparse` have the best approximations of one matrix, `modules` and `pruning` apply them to any
network, `size` counts parameters and bits, `perturbation` bounds what a change of the weights does to the
outputs.
"""

from kdtheory.compression.low_rank import eckart_young_error, low_rank_factors, truncated_svd
from kdtheory.compression.modules import factorise, narrow
from kdtheory.compression.pairs import LowRank
from kdtheory.compression.perturbation import (
    Perturbation,
    neyshabur18_perturbation,
    predictions_unchanged,
)
from kdtheory.compression.pruning import pruned
from kdtheory.compression.size import ModelSize, model_size, sparse_bits
from kdtheory.compression.sparse import best_sparse, kept_weights, largest_entries, sparse_error

__all__ = [
    "LowRank",
    "ModelSize",
    "Perturbation",
    "best_sparse",
    "eckart_young_error",
    "factorise",
    "kept_weights",
    "largest_entries",
    "low_rank_factors",
    "model_size",
    "narrow",
    "neyshabur18_perturbation",
    "predictions_unchanged",
    "pruned",
    "sparse_bits",
    "sparse_error",
    "truncated_svd",
]
