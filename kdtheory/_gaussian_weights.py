"""What training a Gaussian posterior goes through at each step: draws of logits, KL, and the bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdtheory.bounds.pac_bayes import maurer04_kl_limit
from kdtheory.networks import MLP
from kdtheory.networks._mlp_tape import ACTIVATIONS

__all__ = ["bound_objective", "bounded_cross_entropy", "divergences", "least_divergence", "sampled_logits"]


def sampled_logits(
    architecture: MLP, mean: Tensor, std: Tensor, inputs: Tensor, generator: torch.Generator
) -> Tensor:
    """Local reparameterisation: pre-activations ~ N(h·Mᵀ, h²·(S²)ᵀ), independent over units and rows."""
    centre, spread = architecture.unpack(mean), architecture.unpack(std.square())
    hidden = inputs
    layers = len(architecture.widths) - 1
    for depth in range(layers):
        weight, bias = f"{2 * depth}.weight", f"{2 * depth}.bias"
        location, variance = hidden @ centre[weight].mT, hidden.square() @ spread[weight].mT
        if architecture.bias:
            location = location + centre[bias][..., None, :]
            variance = variance + spread[bias][..., None, :]
        noise = torch.randn(location.shape, generator=generator, dtype=location.dtype, device=location.device)
        # Where an input is zero and there is no bias the variance is zero, and its root has no derivative.
        hidden = location + variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt() * noise
        if depth < layers - 1:
            hidden = ACTIVATIONS[architecture.activation].function(hidden)
    return hidden


def bounded_cross_entropy(logits: Tensor, targets: Tensor, floor: float) -> Tensor:
    least = math.log(floor)
    return (targets * logits.log_softmax(-1).clamp_min(least)).sum(-1) / least


def least_divergence(offset: Tensor, log_std: Tensor, prior_stds: tuple[float, ...]) -> Tensor:
    """KL(N(μ, diag s²)‖N(μ₀, λ²I)) at the only λ, or at the best real one, λ² = mean(s² + (μ − μ₀)²)."""
    if len(prior_stds) > 1:
        squares = (log_std.mul(2).exp() + offset.square()).mean(-1)
        return offset.shape[-1] / 2 * squares.log() - log_std.sum(-1)
    return divergences(offset, log_std, offset.new_tensor(prior_stds).log())[0]


def divergences(offset: Tensor, log_std: Tensor, prior_log_stds: Tensor) -> Tensor:
    """KL(N(μ, diag s²)‖N(μ₀, λ²I)) at each λ, a new axis in front."""
    squares = (log_std.mul(2).exp() + offset.square()).mean(-1)
    logs = prior_log_stds.reshape(-1, *[1] * squares.ndim)
    return offset.shape[-1] / 2 * (squares * logs.mul(-2).exp() - 1 + 2 * logs) - log_std.sum(-1)


def bound_objective(losses: Tensor, divergence: Tensor, n: int, delta: float) -> Tensor:
    """kl⁻¹(ℓ̂, c) with its exact derivatives, ∂q/∂c = q(1−q)/(q−p), ∂q/∂p = ln(q(1−p)/(p(1−q)))·∂q/∂c."""
    p = losses.detach().double().cpu().clamp(1e-12, 1 - 1e-6)  # below q: a slope of 0/0 is none
    nats = divergence.detach().double().cpu().clamp_min(0)
    q = torch.as_tensor(maurer04_kl_limit(p.numpy(), nats.numpy(), n=n, delta=delta)).clamp_max(1 - 1e-9)
    slope = q * (1 - q) / (q - p)
    tilt = (torch.logit(q) - torch.logit(p)) * slope
    return tilt.to(losses) * losses + slope.to(losses) * divergence / n
