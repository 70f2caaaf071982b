"""Data inefficiency, and teachers that are wrong now and then (Ji & Zhu, 2020)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.streams import Stream
from kdtheory.types import told
from kdtheory.validate import check_finite, check_fraction

__all__ = ["data_inefficiency", "flipped_teacher"]


@door
def data_inefficiency(norms: Float[Tensor, "*draws n"], /) -> Float[Tensor, "steps"]:
    """I(n) = n·[ln E‖Δŵ_{n+1}‖ − ln E‖Δŵ_n‖], the exponent with which the weights still grow (Ji & Zhu 2020).

    A task that can be learned from few points needs no further weight: I → 0. For independent labels, which
    no structure explains, ‖Δŵ_n‖² grows like n and I is about ½.

    Args:
        norms: ‖Δŵ_n‖ of students of n = 1, 2, … points; the mean is over the draws.

    Returns:
        I(1), I(2), …, one less than there are sizes.

    Raises:
        ValueError: fewer than two sizes, or a norm that is not positive and finite.

    >>> data_inefficiency(torch.tensor([[1.0, 2.0, 2.0]])) / torch.tensor(2.0).log()
    tensor([1., 0.])
    """
    check_finite("norms", norms)
    if norms.shape[-1] < 2 or not bool((norms > 0).all()):
        raise ValueError("norms must be positive, for at least two sizes n = 1, 2, …")
    means = norms.double().reshape(-1, norms.shape[-1]).mean(0)
    sizes = torch.arange(1, len(means)).to(means)
    return told(sizes * (means.diff() / means[:-1]).log1p(), norms)


@door
def flipped_teacher(
    logits: Float[Tensor, "*draws n"], /, *, share: float, stream: Stream
) -> Float[Tensor, "*draws n"]:
    """A teacher that is wrong, and as sure as before, on a share of the points: z_t → −z_t there.

    Each point by itself, with this chance.

    Raises:
        ValueError: a logit is not finite, or the share is outside [0, 1].

    >>> flipped_teacher(torch.tensor([1.0, -2.0]), share=1.0, stream=Stream(0))
    tensor([-1.,  2.])
    """
    check_finite("logits", logits)
    check_fraction("share", share)
    drawn = torch.rand(logits.shape, generator=stream.torch(), dtype=torch.float64).to(logits.device)
    return torch.where(drawn < share, -logits, logits)
