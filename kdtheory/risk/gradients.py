"""Noise of a stochastic gradient at a fixed predictor with one-hot and with Bayes labels, exact.

One example's gradient is g_y(x) = ∇_θ ℓ(f_θ(x))_y with a drawn label and ḡ(x) = Σ_y p*(x)_y g_y(x) with the
Bayes label. Both have the same mean, so a step of SGD points the same way on average; their covariances
differ by the label noise alone:

    tr Cov(g_y) − tr Cov(ḡ) = E_x tr Cov_{y|x}(g_y).

A batch of B independent examples divides all three by B. For a network g_y(x) = J(x)ᵀu_y(x) with J the
Jacobian of the logits and u_y = ∂ℓ_y/∂logits, so the squared norms need J(x)J(x)ᵀ (k × k) only: memory does
not grow with atoms × classes × parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.functional import jacobian

from kdtheory._jacobians import mapped_or_plain
from kdtheory.doors import door
from kdtheory.losses.labelwise import log_loss
from kdtheory.risk._doors import check_world
from kdtheory.types import at_least_float32, recordable
from kdtheory.validate import check_at_least, check_finite, check_same_shape

__all__ = ["GradientNoise", "gradient_noise", "network_gradient_noise"]


@door
@dataclass(frozen=True)
class GradientNoise:
    """Traces of covariance matrices of one example's gradient.

    Args:
        one_hot: tr Cov(g_y), drawn labels.
        distilled: tr Cov(ḡ), the labels of `probs`.
        label_noise: E_x tr Cov_{y|x}(g_y), computed on its own and not as their difference.
    """

    one_hot: Float[Tensor, "*batch"]
    distilled: Float[Tensor, "*batch"]
    label_noise: Float[Tensor, "*batch"]


@door
def gradient_noise(
    gradients: Float[Tensor, "*#batch s k p"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
) -> GradientNoise:
    """tr Cov(g_y), tr Cov(ḡ) and E_x tr Cov_{y|x}(g_y) from every atom's gradient under every label.

    Args:
        gradients: g_y(x) ∈ R^p on the atoms.
        probs: p*(x).
        weights: the mass of each atom.

    Raises:
        ValueError: a gradient is not finite, or `probs`, `weights` are no probabilities of fitting size.

    >>> gradients = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])  # one atom, two labels, two parameters
    >>> noise = gradient_noise(gradients, torch.tensor([[0.5, 0.5]]), torch.ones(1))
    >>> noise.one_hot, noise.distilled, noise.label_noise
    (tensor(1.), tensor(0.), tensor(1.))
    """
    check_finite("gradients", gradients)
    check_world(gradients[..., 0], probs, weights)
    gradients, probs, weights = at_least_float32(gradients, probs, weights)
    by_atom = (probs[..., None] * gradients).sum(-2)
    mean = (weights[..., None] * by_atom).sum(-2)
    around_mean = (gradients - mean[..., None, None, :]).square().sum(-1)
    around_atom = (gradients - by_atom[..., None, :]).square().sum(-1)
    between = (by_atom - mean[..., None, :]).square().sum(-1)
    return GradientNoise(
        one_hot=(weights * (probs * around_mean).sum(-1)).sum(-1),
        distilled=(weights * between).sum(-1),
        label_noise=(weights * (probs * around_atom).sum(-1)).sum(-1),
    )


@door
@torch.inference_mode(False)
def network_gradient_noise(
    logits: Callable[[Tensor, Tensor], Tensor],
    params: Float[Tensor, "p"],
    inputs: Float[Tensor, "s dim"],
    probs: Float[Tensor, "s k"],
    weights: Float[Tensor, "s"],
    /,
    *,
    loss: Callable[[Tensor], Tensor] = log_loss,
    chunk_size: int = 128,
) -> GradientNoise:
    """`gradient_noise` of a network, by ‖g_y‖² = u_yᵀ(JJᵀ)u_y and one gradient for the mean.

    The squared norm of the mean is subtracted: a trace below its rounding is given as 0.

    Args:
        logits: the network as a function of its parameters and of inputs, `architecture.logits`; rows of the
            inputs must not see each other.
        params: θ, the flat vector that the gradient is taken in.
        inputs: the atoms x.
        probs: p*(x).
        weights: the mass of each atom.
        loss: ℓ, logits [s k] → losses [s k], differentiable.
        chunk_size: how many atoms' Jacobians stand in memory at once; changes nothing else.

    Raises:
        ValueError: `chunk_size` < 1, a loss is not finite, or `probs`, `weights` are no probabilities of
            fitting size.

    >>> world = torch.zeros(1, 1), torch.tensor([[0.5, 0.5]]), torch.ones(1)
    >>> noise = network_gradient_noise(lambda params, x: params.expand(len(x), 2), torch.zeros(2), *world)
    >>> noise.label_noise  # two constant logits: ‖e_y − (½, ½)‖² = ½
    tensor(0.5000)
    """
    check_at_least("chunk_size", chunk_size, 1)
    frozen, inputs = recordable(params), inputs.clone() if inputs.is_inference() else inputs
    values = logits(frozen, inputs).detach()
    losses = loss(values)
    check_same_shape("the losses", losses, "probs", probs)
    check_world(losses, probs, weights)
    slopes = _loss_slopes(loss, values)
    mean_slopes = (probs[..., None] * slopes).sum(-2)
    grams = torch.cat([_logit_grams(logits, frozen, chunk) for chunk in inputs.split(chunk_size)])
    pull_back = torch.func.vjp(lambda theta: logits(theta, inputs), frozen)[1]
    drift = pull_back((weights[:, None] * mean_slopes).to(values.dtype))[0].square().sum()
    centred = slopes - mean_slopes[:, None, :]
    # E‖g − m‖² = E‖g‖² − (2 − E 1)‖m‖²: masses sum to one up to the rounding of their type.
    about_one, drawn = weights.sum(), (weights * probs.sum(-1)).sum()
    one_hot = (weights * (probs * _squared(slopes, grams)).sum(-1)).sum() - (2 - drawn) * drift
    distilled = (weights * _squared(mean_slopes[:, None, :], grams)[:, 0]).sum() - (2 - about_one) * drift
    return GradientNoise(
        one_hot=one_hot.clamp_min(0),
        distilled=distilled.clamp_min(0),
        label_noise=(weights * (probs * _squared(centred, grams)).sum(-1)).sum(),
    )


def _loss_slopes(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """u_y(x) = ∂ℓ_y/∂logits, axes (atom, label, logit)."""
    slopes: Tensor = torch.func.jacrev(lambda v: loss(v).sum(0))(logits)
    return slopes.movedim(0, 1)


def _logit_grams(logits: Callable[[Tensor, Tensor], Tensor], params: Tensor, inputs: Tensor) -> Tensor:
    """J(x)J(x)ᵀ for each atom; one after the other where torch cannot map them, or maps them wrongly."""

    def single(theta: Tensor, point: Tensor) -> Tensor:
        return logits(theta, point[None])[0]

    def mapped() -> Tensor:
        found: Tensor = torch.func.vmap(torch.func.jacrev(single), in_dims=(None, 0))(params, inputs)
        return found

    def plain() -> Tensor:
        return torch.stack([jacobian(partial(single, point=point), params) for point in inputs])

    pull_back = torch.func.vjp(lambda theta: logits(theta, inputs), params)[1]
    jacobians = mapped_or_plain(mapped, plain, lambda weights: pull_back(weights)[0])
    return jacobians @ jacobians.mT


def _squared(slopes: Tensor, grams: Tensor) -> Tensor:
    """uᵀ K u for each atom (first axis) and each row u."""
    return ((slopes @ grams.to(slopes.dtype)) * slopes).sum(-1)
