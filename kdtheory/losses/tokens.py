"""How the losses of tokens become one number: three ways in use, which differ wherever lengths do."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_one_of

__all__ = ["TokenReduction", "reduce_tokens"]

TokenReduction = Literal["sum", "per_sequence", "per_token", "none"]
_REDUCTIONS = ("sum", "per_sequence", "per_token", "none")


@door
def reduce_tokens(
    losses: Float[Tensor, "n length"],
    mask: Bool[Tensor, "n length"] | None = None,
    /,
    *,
    reduction: TokenReduction,
) -> Float[Tensor, "..."]:
    """One number from the losses of tokens.

    Half precision is summed and returned in float32.

    Args:
        losses: a number for each token; those that do not count may be anything, NaN included.
        mask: which tokens count; all where not given.
        reduction: "per_token" is Σ loss / number of tokens of the batch, so that long sequences weigh more;
            "per_sequence" the mean over sequences of each one's mean, so that all weigh alike; "sum" is
            (1/n) Σ_sequences Σ loss, the divergence of whole sequences; "none" leaves zeros where the mask
            is false.

    Raises:
        ValueError: shapes differ, an unknown reduction, no token counts, or (per sequence) none of a row.

    >>> rows = torch.tensor([[1.0, 1.0, 1.0, 1.0], [4.0, 0.0, 0.0, 0.0]])
    >>> counts = torch.tensor([[True] * 4, [True, False, False, False]])
    >>> [float(reduce_tokens(rows, counts, reduction=way)) for way in ("per_token", "per_sequence", "sum")]
    [1.600000023841858, 2.5, 4.0]
    """
    check_one_of("reduction", reduction, _REDUCTIONS)
    counts = torch.ones_like(losses, dtype=torch.bool) if mask is None else mask
    if losses.ndim != 2 or counts.shape != losses.shape or counts.dtype != torch.bool:
        raise ValueError(
            f"losses has shape {tuple(losses.shape)} and mask {tuple(counts.shape)} of {counts.dtype}; "
            "give n × L losses and a boolean mask of the same shape"
        )
    losses = at_least_float32(losses)[0].where(counts, 0)
    if reduction == "none":
        return losses
    lengths = counts.sum(1)
    each = reduction == "per_sequence" and len(lengths) > 0
    if not bool((lengths > 0).all() if each else (lengths > 0).any()):
        raise ValueError("mask leaves a sequence (or the batch) without a token; drop it first")
    if reduction == "per_token":
        return losses.sum() / lengths.sum()
    per_sequence = losses.sum(1)
    return (per_sequence / lengths if reduction == "per_sequence" else per_sequence).mean()
