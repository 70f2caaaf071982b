"""Distillation of next tokens: a loss for each place of each sequence, and one number from them."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses.divergences import SoftTerm
from kdtheory.losses.response import kd_loss
from kdtheory.losses.tokens import TokenReduction, reduce_tokens
from kdtheory.losses.truncated import Tail, TopK
from kdtheory.validate import check_same_shape

__all__ = ["token_kd_loss"]


@door
def token_kd_loss(
    student_logits: Float[Tensor, "n length k"],
    teacher_logits: Float[Tensor, "n length k"] | TopK,
    labels: Int[Tensor, "n length"] | None = None,
    /,
    *,
    mask: Bool[Tensor, "n length"] | None = None,
    temperature: float,
    weight: float,
    hard_weight: float | None = None,
    soft: str | SoftTerm = "kl",
    tail: Tail = "bucket",
    temperature_squared: bool = True,
    reduction: TokenReduction = "per_token",
) -> Float[Tensor, "..."]:
    """`kd_loss` at every place of sequences, reduced over the tokens that count.

    Logits and labels at a place belong to the same token: shift them before. "kl" is KL(teacher‖student), the
    forward divergence; over the teacher's sequences its "sum" is that of whole sequences (chain rule), over
    the student's own "reverse_kl" is. Places that do not count may hold anything, NaN included.

    Args:
        student_logits: z_s.
        teacher_logits: z_t, or its largest probabilities as a `TopK` of n × L × K at this temperature.
        labels: y; None where no hard term is wanted.
        mask: which tokens count; all where not given.
        temperature: T.
        weight: λ of the teacher.
        hard_weight: of the labels; 1 − λ where not given.
        soft: as in `kd_loss`; with a mask a function is given the tokens that count alone, m × k.
        tail: of a `TopK`.
        temperature_squared: multiply the soft term by T².
        reduction: "per_token", "per_sequence", "sum" or "none", as in `reduce_tokens`.

    Raises:
        ValueError: as `kd_loss` and `reduce_tokens`.

    >>> import torch
    >>> z = torch.zeros(1, 2, 2)
    >>> y, counts = torch.tensor([[1, -100]]), torch.tensor([[True, False]])
    >>> token_kd_loss(z, z, y, mask=counts, temperature=1.0, weight=0.0).exp()
    tensor(2.)
    """
    given = student_logits, teacher_logits, labels
    if mask is not None:
        if not bool(mask.any()):
            nothing = student_logits[mask].sum()  # 0, whose gradient is 0
            return reduce_tokens(nothing.expand(mask.shape), mask, reduction=reduction)
        given = (
            student_logits[mask],
            _kept_at(teacher_logits, mask) if isinstance(teacher_logits, TopK) else teacher_logits[mask],
            None if labels is None else labels[mask],
        )
    losses = kd_loss(
        *given,
        temperature=temperature,
        weight=weight,
        hard_weight=hard_weight,
        soft=soft,
        tail=tail,
        temperature_squared=temperature_squared,
        reduction="none",
    )
    if mask is not None:
        losses = losses.new_zeros(mask.shape).masked_scatter(mask, losses)
    return reduce_tokens(losses, mask, reduction=reduction)


def _kept_at(teacher: TopK, mask: Tensor) -> TopK:
    check_same_shape("the tokens of the TopK", teacher.indices[..., 0], "mask", mask)
    return TopK(teacher.log_probs[mask], teacher.indices[mask], teacher.temperature)
