"""Losses on what single layers say of each example: hints, attention maps, non-local and local structure."""

from kdtheory.losses.features.attention import (
    MASK_FORMS,
    attention_guided_loss,
    attention_map_loss,
    attention_masked_loss,
    attention_masks,
    attention_transfer,
    channel_attention,
    spatial_attention,
)
from kdtheory.losses.features.hint import hint_loss
from kdtheory.losses.features.local_structure import (
    SIMILARITIES,
    local_structure,
    local_structure_loss,
    polynomial_similarity,
    rbf_similarity,
)
from kdtheory.losses.features.non_local import dot_products, non_local_loss, non_local_relation

__all__ = [
    "MASK_FORMS",
    "SIMILARITIES",
    "attention_guided_loss",
    "attention_map_loss",
    "attention_masked_loss",
    "attention_masks",
    "attention_transfer",
    "channel_attention",
    "dot_products",
    "hint_loss",
    "local_structure",
    "local_structure_loss",
    "non_local_loss",
    "non_local_relation",
    "polynomial_similarity",
    "rbf_similarity",
    "spatial_attention",
]
