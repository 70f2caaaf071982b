"""The temperature softmax φ_T(z) = softmax(z/T), its entropies, and its zero-temperature limit.

z are logits, T > 0 the temperature of distillation (Hinton, Vinyals, Dean 2015), k the number of classes, p
= φ_T(z). All logarithms are natural. A logit of −∞ rules its class out: probability zero, and 0·ln 0 = 0
everywhere.

Half precision comes in and float32 goes out.

A temperature is a number, or a tensor that broadcasts against the example axes (not the class axis):
[members, 1] against logits [members, n, k] gives each member its own.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import told, widened
from kdtheory.validate import check_logits, check_positive

__all__ = [
    "Setting",
    "check_setting",
    "entropy",
    "entropy_temperature_derivative",
    "per_example",
    "renyi_entropy",
    "tempered_softmax",
    "zero_temperature_softmax",
]

Setting = float | Float[Tensor, "..."]
"""A number, or a tensor that broadcasts against the example axes."""

_NEAR_ONE = 0.01
"""Rényi orders closer to one than this are summed as a deviation from one, which does not cancel."""


@door
def tempered_softmax(
    logits: Float[Tensor, "*batch k"], /, *, temperature: Setting
) -> Float[Tensor, "*batch k"]:
    """φ_T(z) = exp(z/T) / Σ_j exp(z_j/T), the softened class-probabilities (Hinton, Vinyals, Dean 2015).

    Tends to the uniform law as T → ∞ and to the uniform law on the argmax as T → 0+. The largest logit is
    taken off before dividing, so that no T > 0 overflows.

    Raises:
        ValueError: T is not positive and finite, or `logits` hold NaN, +∞ or a row of −∞.

    >>> tempered_softmax(torch.tensor([0.0, 2.0]).log1p(), temperature=0.5)
    tensor([0.1000, 0.9000])
    """
    return told(_log_softened(logits, temperature).exp(), logits)


@door
def entropy(logits: Float[Tensor, "*batch k"], /, *, temperature: Setting = 1.0) -> Float[Tensor, "*batch"]:
    """H(T) = −Σ_j p_j ln p_j with p = φ_T(z), in nats; between 0 and ln k, and non-decreasing in T.

    Raises:
        ValueError: T is not positive and finite, or `logits` hold NaN, +∞ or a row of −∞.

    >>> entropy(torch.zeros(4), temperature=3.0).exp()
    tensor(4.)
    """
    log_probs = _log_softened(logits, temperature)
    probs = log_probs.exp()
    return told(-(probs * log_probs.where(probs > 0, 0)).sum(-1), logits)


@door
def entropy_temperature_derivative(
    logits: Float[Tensor, "*batch k"], /, *, temperature: Setting
) -> Float[Tensor, "*batch"]:
    """dH/dT = Var_{φ_T(z)}(z) / T³ ≥ 0, the closed form of the slope of the entropy in the temperature.

    With β = 1/T, H = ln Z − β·d(ln Z)/dβ, so dH/dβ = −β·d²(ln Z)/dβ² = −β·Var(z), and dβ/dT = −β².
    Var(z)/T² is taken as the variance of ln p, from which z/T differs by a constant.

    Raises:
        ValueError: T is not positive and finite, or `logits` hold NaN, +∞ or a row of −∞.

    >>> entropy_temperature_derivative(torch.tensor([0.0, 2.0]).log1p(), temperature=1.0) / math.log(3) ** 2
    tensor(0.1875)
    """
    log_probs = _log_softened(logits, temperature)
    probs = log_probs.exp()
    scaled = log_probs.where(probs > 0, 0)
    mean = (probs * scaled).sum(-1, keepdim=True)
    variance = probs * (scaled - mean).square() / per_example(temperature, log_probs)
    return told(variance.sum(-1), logits)


@door
def renyi_entropy(logits: Float[Tensor, "*batch k"], /, *, order: float) -> Float[Tensor, "*batch"]:
    """H_α(q) = ln(Σ_j q_j^α) / (1 − α) with q = φ_1(z), the Rényi entropy of order α, in nats (Rényi 1961).

    α = 1 is the Shannon entropy, α = 0 the log of the support's size, α = ∞ the min-entropy −ln max q.
    Non-increasing in α, between 0 and ln k. Near α = 1 the sum is taken as 1 + Σ q (q^{α−1} − 1), which
    loses no digits.

    Raises:
        ValueError: α is negative or NaN, or `logits` hold NaN, +∞ or a row of −∞.

    >>> renyi_entropy(torch.tensor([1.0, 1.0, 2.0]).log(), order=2.0).neg().exp()
    tensor(0.3750)
    """
    if not order >= 0:
        raise ValueError(f"order = {order:g} must be 0 or more; 1 is the Shannon entropy")
    check_logits("logits", logits)
    (logits,) = widened(logits)
    log_probs = logits.log_softmax(-1)
    if order == math.inf:
        return -log_probs.amax(-1)
    if order == 0:
        return torch.isfinite(log_probs).sum(-1).to(logits.dtype).log()
    if order == 1:
        return entropy(logits)
    if abs(order - 1) < _NEAR_ONE:
        probs = log_probs.exp()
        powers = torch.expm1((order - 1) * log_probs.where(probs > 0, 0))
        return (probs * powers).sum(-1).log1p() / (1 - order)
    return (order * log_probs).logsumexp(-1) / (1 - order)


@door
def zero_temperature_softmax(logits: Float[Tensor, "*batch k"], /) -> Float[Tensor, "*batch k"]:
    """lim_{T→0+} φ_T(z): the uniform law on the classes that attain the largest logit.

    Raises:
        ValueError: `logits` hold NaN, +∞ or a row of −∞.

    >>> zero_temperature_softmax(torch.tensor([1.0, 5.0, 5.0]))
    tensor([0.0000, 0.5000, 0.5000])
    """
    check_logits("logits", logits)
    largest = told(logits == logits.amax(-1, keepdim=True), logits)
    return largest / largest.sum(-1, keepdim=True)


def check_setting(name: str, setting: Setting, batch: tuple[int, ...], /) -> None:
    """A tensor of settings broadcasts against the example axes, and adds none to them.

    Raises:
        ValueError: it would make a table of a row: n × 1 against n examples.
    """
    if not isinstance(setting, Tensor):
        return
    try:
        together = np.broadcast_shapes(setting.shape, batch)
    except ValueError:
        together = None
    if together != batch:
        raise ValueError(
            f"{name} has shape {tuple(setting.shape)} for examples of shape {tuple(batch)}; give a number, "
            "or one for each example, without the class axis"
        )


def per_example(setting: Setting, like: Tensor) -> Setting:
    """`setting` made ready to meet logits: a tensor gains a class axis and the dtype and device of `like`."""
    if isinstance(setting, Tensor):
        return setting.to(like).unsqueeze(-1)
    return setting


def _log_softened(logits: Tensor, temperature: Setting) -> Tensor:
    check_positive("temperature", temperature)
    check_logits("logits", logits)
    check_setting("temperature", temperature, logits.shape[:-1])
    (logits,) = widened(logits, temperature=temperature)
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    return (shifted / per_example(temperature, logits)).log_softmax(-1)
