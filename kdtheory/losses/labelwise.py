"""The loss of each label: ℓ(v) ∈ R^k, what a predictor with logits v pays if the label is 0, 1, …, k−1.

A risk is then an inner product: the one-hot risk reads ℓ(f(x))_y, the distilled one p(x)ᵀℓ(f(x)) (Menon et
al., 2021). Each function maps logits [*batch k] to losses [*batch k] of their dtype (half: float32).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32, told, widened
from kdtheory.validate import check_logits, check_positive

__all__ = ["brier_loss", "log_loss", "softmax_margin_loss", "zero_one_loss"]


@door
def log_loss(logits: Float[Tensor, "*batch k"], /) -> Float[Tensor, "*batch k"]:
    """ℓ(v)_y = −ln φ(v)_y, the cross-entropy of each label, in nats.

    Unbounded: +∞ where a logit is −∞, so bounds that ask for losses in [0, 1] do not apply to it.

    Raises:
        ValueError: `logits` hold NaN, +∞ or a row of −∞, or fewer than two classes.

    >>> log_loss(torch.zeros(4)).exp()
    tensor([4., 4., 4., 4.])
    """
    check_logits("logits", logits)
    (logits,) = at_least_float32(logits)
    return -logits.log_softmax(-1)


@door
def zero_one_loss(logits: Float[Tensor, "*batch k"], /) -> Float[Tensor, "*batch k"]:
    """ℓ(v)_y = 1[argmax v ≠ y], the misclassification loss of each label.

    Ties go to the class with the smallest number, as `torch.argmax` does: of k labels exactly k−1 pay 1.

    Raises:
        ValueError: `logits` hold NaN, +∞ or a row of −∞, or fewer than two classes.

    >>> zero_one_loss(torch.tensor([[0.0, 3.0, 1.0], [2.0, 2.0, 0.0]]))
    tensor([[1., 0., 1.],
            [0., 1., 1.]])
    """
    check_logits("logits", logits)
    return torch.ones_like(at_least_float32(logits)[0]).scatter(-1, logits.argmax(-1, keepdim=True), 0.0)


@door
def softmax_margin_loss(logits: Float[Tensor, "*batch k"], /, *, gamma: float) -> Float[Tensor, "*batch k"]:
    """ℓ(v)_y = 1 − φ_γ(v)_y with φ_γ(v) = softmax(v/γ): a smooth loss in [0, 1].

    Twice this loss is at least the misclassification loss for every γ > 0, ties included (Hsu et al., 2021).
    As γ → 0+ it tends to the misclassification loss where the argmax is unique, as γ → ∞ to 1 − 1/k.

    Args:
        logits: v.
        gamma: the margin scale γ, in the units of the logits.

    Raises:
        ValueError: γ is not positive and finite, or `logits` hold NaN, +∞ or a row of −∞.

    >>> softmax_margin_loss(torch.zeros(4), gamma=0.1)
    tensor([0.7500, 0.7500, 0.7500, 0.7500])
    """
    check_positive("gamma", gamma)
    check_logits("logits", logits)
    (wide,) = widened(logits, temperature=gamma)
    return told(1 - ((wide - wide.amax(-1, keepdim=True)) / gamma).softmax(-1), logits)


@door
def brier_loss(logits: Float[Tensor, "*batch k"], /) -> Float[Tensor, "*batch k"]:
    """ℓ(v)_y = ‖φ(v) − e_y‖₂², the quadratic score of each label (Brier 1950), in [0, 2].

    Raises:
        ValueError: `logits` hold NaN, +∞ or a row of −∞, or fewer than two classes.

    >>> brier_loss(torch.zeros(2))
    tensor([0.5000, 0.5000])
    """
    check_logits("logits", logits)
    probs = at_least_float32(logits)[0].softmax(-1)
    losses = probs.square().sum(-1, keepdim=True) - 2 * probs + 1
    # That of a likely class is as small as the other probabilities, of which the difference has no digit.
    top = probs.argmax(-1, keepdim=True)
    others = probs.scatter(-1, top, 0.0)
    small = others.square().sum(-1, keepdim=True) + others.sum(-1, keepdim=True).square()
    return losses.scatter(-1, top, small)
