"""Speculative decoding: a small draft proposes tokens, the large target accepts or replaces them.

A token y ∼ q is accepted with probability min(1, p(y)/q(y)), else one is drawn from (p − q)₊/TV(p, q). Its
law is p whatever q is, and it is accepted with probability α = Σ_v min(p_v, q_v) = 1 − TV(p, q) (Leviathan,
Kalman, Matias 2023). So what a draft is distilled for is TV; α ≥ 1 − √(KL/2) (Pinsker) and α ≥ ½e^{−KL}
(Bretagnolle & Huber 1979).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses import kl_divergence
from kdtheory.types import at_most_one, told, widened
from kdtheory.validate import check_at_least, check_fraction, check_logits, check_probs, check_same_shape

__all__ = [
    "acceptance",
    "acceptance_lower_limits",
    "greedy_acceptance",
    "negative_log_acceptance",
    "speculative_law",
    "tokens_per_cycle",
    "total_variation",
]

_MOST_DRAFTS = 10**4


@door
def total_variation(
    draft_logits: Float[Tensor, "*batch v"], target_logits: Float[Tensor, "*batch v"], /
) -> Float[Tensor, "*batch"]:
    """TV(p, q) = ½ Σ_v |p_v − q_v|, a loss for drafts: 1 − α. Where p_v = q_v it has a kink: slope 0 there.

    Raises:
        ValueError: shapes differ, or unusable logits.
    """
    q, p = _laws(draft_logits, target_logits)
    return told(at_most_one((p - q).abs().sum(-1) / 2), draft_logits)


@door
def acceptance(
    draft_logits: Float[Tensor, "*batch v"], target_logits: Float[Tensor, "*batch v"], /
) -> Float[Tensor, "*batch"]:
    """α = Σ_v min(p_v, q_v) = 1 − TV(p, q), the chance that the draft's token is accepted.

    Raises:
        ValueError: shapes differ, or unusable logits.

    >>> acceptance(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.8, 0.2]).log())
    tensor(0.7000)
    """
    q, p = _laws(draft_logits, target_logits)
    return told(at_most_one(torch.minimum(p, q).sum(-1)), draft_logits)


@door
def negative_log_acceptance(
    draft_logits: Float[Tensor, "*batch v"], target_logits: Float[Tensor, "*batch v"], /
) -> Float[Tensor, "*batch"]:
    """−ln α, a loss for drafts whose gradient does not fade where nothing is accepted yet.

    An α too small for its type is summed as a logarithm. Laws that share no token have α = 0 and the loss
    +∞, with a gradient of 0.

    Raises:
        ValueError: shapes differ, or unusable logits.
    """
    q, p = _laws(draft_logits, target_logits)
    alpha = at_most_one(torch.minimum(p, q).sum(-1))
    tiny = alpha < torch.finfo(alpha.dtype).tiny
    losses = -alpha.where(~tiny, 1).log()
    if bool(tiny.any()):
        losses = losses.where(~tiny, _log_loss_of_tiny(draft_logits, target_logits))
    return told(losses, draft_logits)


def _log_loss_of_tiny(draft_logits: Tensor, target_logits: Tensor) -> Tensor:
    """−ln Σ_v e^{min(ln p_v, ln q_v)}; +∞ with a gradient of 0 where every term is zero."""
    q, p = (logits.log_softmax(-1) for logits in widened(draft_logits, target_logits))
    least = torch.minimum(p, q)
    none = torch.isneginf(least.amax(-1))
    return -least.masked_fill(none[..., None], 0).logsumexp(-1).masked_fill(none, -torch.inf)


@door
def acceptance_lower_limits(
    draft_logits: Float[Tensor, "*batch v"], target_logits: Float[Tensor, "*batch v"], /
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """1 − √(KL(p‖q)/2) (Pinsker) and ½e^{−KL(p‖q)} (Bretagnolle, Huber): α lies above both.

    Raises:
        ValueError: shapes differ, or unusable logits.
    """
    divergence = kl_divergence(draft_logits, target_logits)
    apart = divergence > 0  # the root has no slope at 0: it is taken as 0
    pinsker = 1 - (divergence.where(apart, 1) / 2).sqrt().where(apart, 0)
    return pinsker, (-divergence).exp() / 2


@door
def speculative_law(
    draft: Float[Tensor, "*batch v"],
    target: Float[Tensor, "*batch v"],
    /,
    *,
    assumed: Float[Tensor, "*batch v"] | None = None,
) -> Float[Tensor, "*batch v"]:
    """The law of the token after one round of draft, accept or replace; the target's, for every q.

    Args:
        draft: q, probabilities that the token is drawn from.
        target: p.
        assumed: the law that stands in the ratio p/q and in (p − q)₊; q itself where not given. With another
            one (a draft at another temperature, a stale cache) the result is not p.

    Raises:
        ValueError: shapes differ, or rows that are no probabilities.

    >>> p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.1, 0.8])
    >>> speculative_law(q, p)
    tensor([0.7000, 0.2000, 0.1000])
    """
    given = draft if assumed is None else assumed
    for name, probs in (("draft", draft), ("target", target), ("assumed", given)):
        check_probs(name, probs)
        check_same_shape("target", target, name, probs)
    q, p, r = widened(draft, target, given)
    ratio = torch.where(r > 0, p / r.where(r > 0, 1), torch.inf).clamp(max=1)
    left = (p - r).clamp_min(0)
    total = left.sum(-1, keepdim=True)
    replaced = torch.where(total > 0, left / total.where(total > 0, 1), p)
    accepted = q * ratio
    return accepted + (1 - accepted.sum(-1, keepdim=True)).clamp_min(0) * replaced


@door
def tokens_per_cycle(alpha: Float[Tensor, "*batch"] | float, /, *, drafts: int) -> Float[Tensor, "*batch"]:
    """(1 − α^{γ+1})/(1 − α) = Σ_{i=0}^{γ} α^i, tokens from one call of the target with γ independent drafts.

    Args:
        alpha: the chance of acceptance, the same at each place.
        drafts: γ, the tokens proposed before the target is asked.

    Raises:
        ValueError: α outside [0, 1], γ < 0 or above 10⁴.

    >>> tokens_per_cycle(torch.tensor([0.0, 0.5, 1.0]), drafts=2)
    tensor([1.0000, 1.7500, 3.0000])
    """
    check_at_least("drafts", drafts, 0)
    if drafts > _MOST_DRAFTS:
        raise ValueError(f"drafts = {drafts} is more than {_MOST_DRAFTS}; give as many as one call proposes")
    check_fraction("alpha", alpha)
    (chance,) = widened(torch.as_tensor(alpha, dtype=None if isinstance(alpha, Tensor) else torch.float32))
    return (chance[..., None] ** torch.arange(drafts + 1, device=chance.device)).sum(-1)


@door
def greedy_acceptance(
    draft_logits: Float[Tensor, "*batch v"], target_logits: Float[Tensor, "*batch v"], /
) -> Bool[Tensor, "*batch"]:
    """Greedy decoding accepts where the largest logits agree: the share is an agreement of two classifiers.

    What `kdtheory.bounds` says of an agreement from independent prefixes certifies it.

    Raises:
        ValueError: shapes differ, or unusable logits.
    """
    for name, logits in (("draft_logits", draft_logits), ("target_logits", target_logits)):
        check_logits(name, logits)
    check_same_shape("draft_logits", draft_logits, "target_logits", target_logits)
    return draft_logits.argmax(-1) == target_logits.argmax(-1)


def _laws(draft_logits: Tensor, target_logits: Tensor) -> list[Tensor]:
    for name, logits in (("draft_logits", draft_logits), ("target_logits", target_logits)):
        check_logits(name, logits)
    check_same_shape("draft_logits", draft_logits, "target_logits", target_logits)
    return [logits.softmax(-1) for logits in widened(draft_logits, target_logits)]
