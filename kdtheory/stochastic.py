"""Stochastic students: Gaussian posteriors over an MLP's weights, trained against their own PAC-Bayes bound.

Q = N(μ, diag s²), P = N(μ₀, λ²I) with μ₀ learned on other data (or an initialisation) and λ from a grid that
is fixed here. The objective is the bound itself, kl⁻¹(ℓ̂_Q, (KL(Q‖P) + ln(2√n/δ))/n), with a bounded
cross-entropy for the loss, after Dziugaite & Roy (2017) and Pérez-Ortiz et al. (2021); departures: kl⁻¹ is
differentiated exactly, by the implicit function theorem, and while training λ is the best one for (μ, s).

A fresh network at every input costs two matrix products a layer, not a network: the pre-activations of an
input under Gaussian weights are independent Gaussians, given the layer below (Kingma, Salimans & Welling
2015).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory._gaussian_weights import (
    bound_objective,
    bounded_cross_entropy,
    divergences,
    least_divergence,
    sampled_logits,
)
from kdtheory.bounds.pac_bayes import maurer04_pac_bayes_kl
from kdtheory.bounds.result import Bound
from kdtheory.bounds.tails import RiskTail, pac_bayes_tail
from kdtheory.doors import door
from kdtheory.networks import MLP
from kdtheory.networks._checks import check_own
from kdtheory.progress import Progress, told
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, at_least_float32, recordable, resolve_device
from kdtheory.validate import (
    check_at_least,
    check_finite,
    check_fraction,
    check_labels,
    check_positive,
    check_probs,
)

__all__ = ["PRIOR_STDS", "GaussianPosterior", "pac_bayes_certificate", "posterior_tail", "train_posterior"]

PRIOR_STDS = tuple(2 ** (-j / 256) for j in range(4096))
"""The grid of λ, 1 down to 2^{−16}. A bound at the best of them pays ln 4096, and for the distance to it
(size/4)·(ln 2/256)² at most: a nat for 545,000 weights, where steps of 2^{1/4} would cost thousands."""


@door
@dataclass(frozen=True, eq=False)
class GaussianPosterior:
    """Q = N(mean, diag std²) over the flat parameters of an MLP, and the mean of its prior.

    Args:
        architecture: what the flat vectors mean.
        mean, std: μ and s; leading axes are members, each a posterior of its own.
        prior_mean: μ₀.
        prior_stds: the λ that may be chosen from with the data in view; fixed beforehand.

    Raises:
        ValueError: shapes differ or are not the architecture's, a number is not finite, or a std or λ is not
            positive.
    """

    architecture: MLP
    mean: Float[Tensor, "*members size"]
    std: Float[Tensor, "*members size"]
    prior_mean: Float[Tensor, "*members size"]
    prior_stds: tuple[float, ...] = PRIOR_STDS

    def __post_init__(self) -> None:
        if self.mean.shape[-1] != self.architecture.size:
            shapes = f"shape {tuple(self.mean.shape)}, and {self.architecture.name} {self.architecture.size}"
            raise ValueError(f"mean has {shapes} parameters; give that many on the last axis")
        check_finite("mean", self.mean)
        check_finite("prior_mean", self.prior_mean)
        check_positive("std", self.std)
        check_at_least("the number of prior_stds", len(self.prior_stds), 1)
        for std in self.prior_stds:
            check_positive("prior_stds", std)

    @property
    def divergence(self) -> Float[Tensor, "*members"]:
        """min_λ KL(Q‖N(μ₀, λ²I)) over the λ of `prior_stds`, float64."""
        mean, std, prior_mean = self.mean.double(), self.std.double(), self.prior_mean.double()
        prior_log_stds = torch.tensor(self.prior_stds, dtype=torch.float64, device=mean.device).log()
        nats: Tensor = divergences(mean - prior_mean, std.log(), prior_log_stds).amin(0)
        return nats.clamp_min(0)  # where both are one law rounding leaves either sign

    @torch.no_grad()
    def logits(
        self, inputs: Float[Tensor, "*#members n d"], stream: Stream, /
    ) -> Float[Tensor, "*members n k"]:
        """The outputs of a fresh network g ~ Q at every input, each drawn for it alone.

        Drawn in the type of the posterior, float32 at least.

        Raises:
            ValueError: inputs of another shape.
        """
        check_own(self.mean, inputs, self.architecture.input_shape)
        mean, std = at_least_float32(self.mean, self.std)  # in half precision s² below 3e-8 would be zero
        return sampled_logits(self.architecture, mean, std, inputs.to(mean), stream.torch(mean.device))

    def errors(
        self, inputs: Float[Tensor, "n d"], labels: Int[Tensor, "n"], stream: Stream, /, *, rounds: int = 1
    ) -> Bool[Tensor, "rounds n"]:
        """argmax g(x) ≠ y, with a fresh g at each point and round; `labels` may be another predictor's.

        Raises:
            ValueError: no round, or labels that are no classes.
        """
        check_at_least("rounds", rounds, 1)
        check_labels("labels", labels, self.architecture.widths[-1])
        said = [self.logits(inputs, stream.child(index)).argmax(-1) for index in range(rounds)]
        return torch.stack(said).cpu() != labels.cpu()


@door
def pac_bayes_certificate(
    posterior: GaussianPosterior,
    inputs: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    /,
    *,
    delta: float,
    rounds: int,
    stream: Stream,
    prior_fixed: bool,
    fresh_draws: bool,
    independent_draws: bool,
) -> Bound:
    """The PAC-Bayes-kl bound of one posterior, δ split 9 to 1 between the theorem and the sampling of g.

    Args:
        posterior: Q, which may have been trained on these points, and on a teacher's labels.
        inputs, labels: the n points that neither the prior's mean nor its grid depends on.
        delta: δ in total.
        rounds: how often each point is tested by a fresh g.
        stream: where the draws of g come from; nothing else may use it.
        prior_fixed: whether the prior's mean and grid were fixed before the points were drawn.
        fresh_draws: whether nothing else has used the stream, the training of Q least of all.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: n < 8, rounds < 1, δ outside (0, 1), labels that are no classes, several posteriors in
            one, or a flag neither True nor False.
    """
    divergence = _of_one(posterior)
    errors = posterior.errors(inputs, labels, stream, rounds=rounds)
    return maurer04_pac_bayes_kl(
        errors,
        divergence=divergence,
        delta=0.9 * delta,
        delta_sampling=0.1 * delta,
        prior_fixed=prior_fixed,
        fresh_draws=fresh_draws,
        independent_draws=independent_draws,
        priors=len(posterior.prior_stds),
    )


@door
def posterior_tail(
    posterior: GaussianPosterior,
    inputs: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    /,
    *,
    delta_sampling: float,
    rounds: int,
    stream: Stream,
    prior_fixed: bool,
    fresh_draws: bool,
    independent_draws: bool,
) -> RiskTail:
    """The p-value of one posterior's Gibbs risk, for a transfer under one δ: `pac_bayes_tail` of its draws.

    Args:
        posterior, inputs, labels, rounds, stream, prior_fixed, fresh_draws, independent_draws: as in
            `pac_bayes_certificate`.
        delta_sampling: δ of the sampling of g.

    Raises:
        ValueError: as `pac_bayes_certificate`.
    """
    divergence = _of_one(posterior)
    errors = posterior.errors(inputs, labels, stream, rounds=rounds)
    return pac_bayes_tail(
        errors,
        divergence=divergence,
        delta_sampling=delta_sampling,
        prior_fixed=prior_fixed,
        fresh_draws=fresh_draws,
        independent_draws=independent_draws,
        priors=len(posterior.prior_stds),
    )


@door
@as_torch_starts()
@torch.enable_grad()
def train_posterior(
    architecture: MLP,
    inputs: Float[Tensor, "*#members n d"],
    targets: Float[Tensor, "*#members n k"],
    /,
    *,
    prior_mean: Float[Tensor, "*members size"],
    certified: int,
    delta: float,
    stream: Stream,
    recipe: Recipe,
    initial_std: float = 0.01,
    prior_stds: tuple[float, ...] = PRIOR_STDS,
    floor: float = 1e-4,
    device: str | torch.device = "auto",
    progress: Progress = None,
) -> GaussianPosterior:
    """Minimise kl⁻¹(ℓ̂_Q, (KL(Q‖P) + ln(2√n/δ))/n) over μ and s, from μ = μ₀; n = `certified`.

    ℓ = −Σ_y t_y ln max(g(x)_y, floor)/ln(1/floor) ∈ [0, 1], t the targets: labels as one-hot rows, or a
    teacher's probabilities. Q may be trained on any points; only those that will certify it count as n.

    Args:
        architecture: the student.
        inputs, targets: points to learn from; leading axes are members, trained side by side.
        prior_mean: μ₀, where training starts.
        certified: n, the number of points that the bound will be computed on.
        delta: δ of the bound.
        stream: where the order of the points and the draws of g come from.
        recipe: its learning rate is that of μ, ln s moves ten times as fast; the rows of a step are the same
            for all members; neither decay nor an average.
        initial_std: s at the start.
        prior_stds: the grid of λ; a single one costs nothing, ln J the choice among J.
        floor: least probability that the loss distinguishes.
        device: where to train.
        progress: called with (done, total) steps, about a hundred times. None
            shows a bar on a terminal and in a notebook, True a line now and then elsewhere, False nothing.

    Raises:
        ValueError: a target row is no probability or has other classes than the student, an input is not
            finite, a number is out of its range, n < 8, or the recipe says more than this training can do.
    """
    recipe.check_honoured("a posterior")
    check_probs("targets", targets)
    check_finite("inputs", inputs)
    if (classes := targets.shape[-1]) != (outputs := architecture.widths[-1]):
        shapes = f"{classes} classes and {architecture.name} {outputs} outputs"
        raise ValueError(f"targets has {shapes}; give one probability for each")
    check_fraction("delta", delta, open_interval=True)
    check_fraction("floor", floor, open_interval=True)
    check_positive("initial_std", initial_std)
    check_at_least("the number of prior_stds", len(prior_stds), 1)
    check_positive("prior_stds", torch.tensor(prior_stds))
    place, dtype = resolve_device(device), recipe.dtype or torch.float32
    steps = recipe.steps_for(inputs.shape[-2])
    inputs, targets, start = (recordable(array).to(place, dtype) for array in (inputs, targets, prior_mean))
    mean = start.clone().requires_grad_()
    log_std = torch.full_like(start, math.log(initial_std)).requires_grad_()
    optimizer, rates = recipe.optimizer_of([mean]), (recipe.learning_rate, 10 * recipe.learning_rate)
    optimizer.add_param_group({"params": [log_std]})
    draws = stream.child("draws").torch(place)
    batches = _batches(inputs.shape[-2], recipe.batch_size, stream.child("order").torch())
    with told(progress, "posterior") as tell:
        for step in range(steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * recipe.factor(step / steps)
            rows = next(batches)
            logits = sampled_logits(architecture, mean, log_std.exp(), inputs[..., rows, :], draws)
            losses = bounded_cross_entropy(logits, targets[..., rows, :], floor).mean(-1)
            optimizer.zero_grad()
            divergence = least_divergence(mean - start, log_std, prior_stds)
            bound_objective(losses, divergence + math.log(len(prior_stds)), certified, delta).sum().backward()
            optimizer.step()
            if (step + 1) % max(1, steps // 100) == 0:
                tell(step + 1, steps)
    return GaussianPosterior(architecture, mean.detach(), log_std.detach().exp(), start, prior_stds)


def _of_one(posterior: GaussianPosterior) -> float:
    """KL(Q‖P), a number."""
    if posterior.mean.ndim != 1:
        raise ValueError(
            f"posterior has a mean of shape {tuple(posterior.mean.shape)}; give one of its members, a "
            "GaussianPosterior of its own: each has a bound, and δ, of its own"
        )
    return float(posterior.divergence)


def _batches(examples: int, batch_size: int | None, generator: torch.Generator) -> Iterator[Tensor | slice]:
    if batch_size is None or batch_size >= examples:
        while True:
            yield slice(None)
    while True:
        yield from torch.randperm(examples, generator=generator).split(batch_size)
