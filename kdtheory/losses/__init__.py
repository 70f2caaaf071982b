"""Losses of distillation and of classification: tensors in, tensors out."""

from kdtheory.losses.codes import CONVENTIONS
from kdtheory.losses.conventions import Convention
from kdtheory.losses.divergences import (
    SOFT_TERMS,
    SoftTerm,
    cross_entropy,
    jensen_shannon,
    kl_divergence,
    reverse_kl_divergence,
    squared_logit_distance,
    squared_prob_distance,
)
from kdtheory.losses.high_temperature import high_temperature_divergence, high_temperature_gradient
from kdtheory.losses.labelwise import brier_loss, log_loss, softmax_margin_loss, zero_one_loss
from kdtheory.losses.response import distillation, kd_gradient, kd_loss, label_loss, soft_label_loss
from kdtheory.losses.softmax import (
    entropy,
    entropy_temperature_derivative,
    renyi_entropy,
    tempered_softmax,
    zero_temperature_softmax,
)
from kdtheory.losses.token_losses import token_kd_loss
from kdtheory.losses.tokens import TokenReduction, reduce_tokens
from kdtheory.losses.transformed_teacher import transformed_teacher_matching, zheng24_terms
from kdtheory.losses.truncated import Tail, TopK, top_k, top_k_divergence

__all__ = [
    "CONVENTIONS",
    "SOFT_TERMS",
    "Convention",
    "SoftTerm",
    "Tail",
    "TokenReduction",
    "TopK",
    "brier_loss",
    "cross_entropy",
    "distillation",
    "entropy",
    "entropy_temperature_derivative",
    "high_temperature_divergence",
    "high_temperature_gradient",
    "jensen_shannon",
    "kd_gradient",
    "kd_loss",
    "kl_divergence",
    "label_loss",
    "log_loss",
    "reduce_tokens",
    "renyi_entropy",
    "reverse_kl_divergence",
    "soft_label_loss",
    "softmax_margin_loss",
    "squared_logit_distance",
    "squared_prob_distance",
    "tempered_softmax",
    "token_kd_loss",
    "top_k",
    "top_k_divergence",
    "transformed_teacher_matching",
    "zero_one_loss",
    "zero_temperature_softmax",
    "zheng24_terms",
]
