"""Empirical Bernstein bounds over draws of real images with redrawn labels, and their constants."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.covering import segment_covering_number
from kdtheory.bounds.empirical_bernstein import maurer09_covering_radius, maurer09_finite_class_radius
from kdtheory.experiments.bounds.enumeration import (
    LOG_TINY,
    exponent_left,
    log_any,
    log_misses,
    needed_radius,
    some_counts,
)
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import softmax_margin_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld
from kdtheory.recipe import Recipe
from kdtheory.risk.empirical import distilled_losses, one_hot_losses
from kdtheory.risk.population import population_risk
from kdtheory.types import Sample

DELTA = 0.05
TOGETHER = 50
"""Draws that are judged in one product."""

Chosen = Callable[[Tensor, FiniteWorld, Sample], Tensor]
"""Losses of nets trained beforehand, world, draws ↦ those of the class: members × draws × atoms × k."""


def before_the_sample(trained: Tensor, world: FiniteWorld, sample: Sample) -> Tensor:
    """The nets trained beforehand."""
    return trained[:, None].expand(-1, len(sample.labels), -1, -1)


def after_the_sample(trained: Tensor, world: FiniteWorld, sample: Sample) -> Tensor:
    """A memoriser: Bayes on the images of its sample, as wrong as can be elsewhere; zero-one losses."""
    assert sample.atoms is not None  # a finite world says which
    seen = torch.zeros(len(sample.labels), world.num_atoms, dtype=torch.bool).scatter(1, sample.atoms, True)
    said = torch.where(seen, world.probs.argmax(-1), world.probs.argmin(-1))
    return 1 - torch.nn.functional.one_hot(said, world.num_classes)[None].double()


def one_end_after_the_sample(trained: Tensor, world: FiniteWorld, sample: Sample) -> Tensor:
    """A net trained beforehand, and a memoriser."""
    fixed = before_the_sample(trained[:1], world, sample)
    return torch.cat([fixed, after_the_sample(trained, world, sample)])


@experiment
def losses_of_trained_nets(run: Run, /) -> Rows:
    """Losses 1 − φ(f(x))_y on all images of 20 networks, each trained on 100 images with redrawn labels."""
    world, size = relabelled_world(run), 20
    training = world.sample((size, 100), run.stream.child("training"))
    nets = train(
        MLP((world.dim, 16, world.num_classes)),
        training.inputs,
        training.labels,
        loss=label_loss,
        members=size,
        stream=run.stream.child("nets"),
        recipe=Recipe(steps=60, learning_rate=0.02),
        device=run.device,
    )
    return Rows(loss=softmax_margin_loss(nets.logits(world.inputs).cpu().double(), gamma=1.0))


@experiment
def bounds_of_a_finite_class(run: Run, /, *, chosen: Chosen = before_the_sample) -> Rows:
    """20 networks trained beforehand, 400 samples of N = 200, δ = 0.05: risk (a sum over all images) and
    bound of the member that comes closest to a violation, and the mean radius; (one-hot, distilled) × draws.
    By enumeration: how much of ln δ the bound leaves of e^{300} independent members with losses 0 or 1,
    N = 10^8, δ = e^{−300}, at the worst risk; and the radius of a member without an error, over its need.
    """

    def radius(variance: Tensor) -> Tensor:
        return maurer09_finite_class_radius(variance, n=200, class_size=20, delta=DELTA)

    n, log_delta, log_size = 10**8, LOG_TINY / 2, -LOG_TINY / 2
    counts = some_counts(n)
    variance = torch.from_numpy(counts * (n - counts) / (n * (n - 1.0)))
    size = round(math.exp(log_size))
    radii = maurer09_finite_class_radius(variance, n=n, class_size=size, delta=math.exp(log_delta)).numpy()
    chances = log_any(log_misses(counts / n + radii, counts, n), log_size)
    return Rows(
        **_worst_members(run, chosen, losses_of_trained_nets.rows(run).loss, radius, n=200),
        attempts=len(counts),
        exponent=exponent_left(chances, log_delta),
        no_error=radii[0] / -math.expm1((log_delta - log_size) / n),
    )


@experiment
def bounds_of_a_segment(run: Run, /, *, chosen: Chosen = before_the_sample) -> Rows:
    """Mixtures (1−a)ℓ(f) + aℓ(g) of two networks' losses, a on a grid of 21, whose covering number is known:
    N_∞(1/N) ≤ ⌈N/2⌉; 400 samples of N = 1,000, δ = 0.05, where the second term alone is 0.17: risk and bound
    of the member that comes closest to a violation, and the mean radius; (one-hot, distilled) × draws. Both
    terms over what one function with losses 0 and 1 needs, N = 40,000, δ/M = e^{−600}: a fair coin's, and
    one that never errs on the sample.
    """

    def radius(variance: Tensor) -> Tensor:
        covering = segment_covering_number(1 / 1000)
        return maurer09_covering_radius(variance, n=1000, covering_number=covering, delta=DELTA)

    n, covering = 40_000, segment_covering_number(1 / 40_000)
    delta = math.exp(LOG_TINY + math.log(10 * covering))
    coin = torch.tensor([0.25, 0.0], dtype=torch.float64)
    fair, none = maurer09_covering_radius(coin, n=n, covering_number=covering, delta=delta).tolist()
    ends, shares = losses_of_trained_nets.rows(run).loss[:2], torch.linspace(0, 1, 21, dtype=torch.float64)
    mixtures = torch.stack([1 - shares, shares], 1)
    return Rows(
        **_worst_members(run, chosen, ends, radius, n=1000, mixtures=mixtures),
        root=(fair - none) / needed_radius(n, LOG_TINY),
        second_term=none / -math.expm1(LOG_TINY / n),
    )


def _worst_members(
    run: Run,
    chosen: Chosen,
    trained: Tensor,
    radius: Callable[[Tensor], Tensor],
    *,
    n: int,
    mixtures: Tensor | None = None,
) -> dict[str, Tensor]:
    """Risk, bound and mean radius over draws; `mixtures` [a members] makes a class of those chosen."""
    world, found = relabelled_world(run), []
    for chunk in range(run.size(quick=400, full=4000) // TOGETHER):
        sample = world.sample((TOGETHER, n), run.stream.child("draws", chunk))
        table = chosen(trained, world, sample)
        risks = population_risk(table, world.probs, world.weights)
        here = table[:, torch.arange(TOGETHER)[:, None], sample.atoms]
        labels, probs = sample.labels.expand(len(here), -1, -1), sample.probs.expand(len(here), -1, -1, -1)
        for values in (one_hot_losses(here, labels), distilled_losses(here, probs)):
            found.append(_closest(*_mixed(mixtures, risks, values), radius))
    risk, bound, width = torch.stack(found).unflatten(0, (-1, 2)).permute(2, 1, 0, 3).flatten(2)
    return {"risk": risk, "bound": bound, "radius": width}


def _mixed(mixtures: Tensor | None, risks: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    if mixtures is None:
        return risks, values
    return mixtures @ risks, torch.einsum("am,mdn->adn", mixtures, values)


def _closest(risks: Tensor, values: Tensor, radius: Callable[[Tensor], Tensor]) -> Tensor:
    """Risk and bound of the member that comes closest to a violation, and the mean radius: 3 × draws."""
    radii = radius(values.var(-1))
    bounds = values.mean(-1) + radii
    worst = (risks - bounds).argmax(0, keepdim=True)
    return torch.cat([risks.gather(0, worst), bounds.gather(0, worst), radii.mean(0, keepdim=True)])
