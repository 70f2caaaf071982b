"""Variances of one-hot and distilled risks: enumerated, in closed form, and over samples at trained nets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import relabelled_world, three_gaussians
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import brier_loss, log_loss, softmax_margin_loss, zero_one_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import World, random_finite_world
from kdtheory.risk.empirical import distilled_risk, one_hot_risk
from kdtheory.risk.variance import distilled_variance, label_noise_variance, one_hot_variance
from kdtheory.search import worst_case
from kdtheory.streams import Stream
from kdtheory.types import Sample

Posterior = Callable[[Tensor], Tensor]
Constant = Callable[[Tensor, Tensor], Tensor]
Source = Callable[[World, Sample, tuple[int, int], Stream], Sample]
TOGETHER = 10
"""Nets that are judged in one product."""


def each_its_own(probs: Tensor) -> Tensor:
    """p*(x) of each point."""
    return probs


def of_the_point_before(probs: Tensor) -> Tensor:
    """p*(x) of another point, the one before it."""
    return probs.roll(1, -2)


@experiment
def risks_of_all_samples(run: Run, /, *, posterior: Posterior = each_its_own) -> Rows:
    """30 random worlds with 3 atoms and 3 classes, a random predictor, log, zero-one and Brier loss in turn:
    means and variances of both risks over all samples of N = 3 points, and the label noise; and the largest
    distilled variance over the one-hot one that a search of 20 starts finds on two atoms, losses in [0, 1].
    """
    trials, attempts = run.size(quick=30, full=300), run.size(quick=20, full=200)
    rows = [
        _enumerated(run.stream.child(trial), (log_loss, zero_one_loss, brier_loss)[trial % 3], posterior)
        for trial in range(trials)
    ]
    mean, variance, soft_mean, soft_variance, noise = torch.tensor(rows, dtype=torch.float64).T
    starts = torch.randn(attempts, 12, dtype=torch.float64, generator=run.stream.child("search").torch())
    weights = torch.full((2,), 0.5, dtype=torch.float64)

    def ratio(points: Tensor) -> Tensor:
        scores, logits = points.view(-1, 2, 2, 3).unbind(1)
        losses, probs = scores.sigmoid(), (2 * logits).softmax(-1)
        halves = weights.expand(len(points), 2)
        soft = distilled_variance(losses, posterior(probs), halves, n=1)
        return soft / one_hot_variance(losses, probs, halves, n=1).clamp_min(1e-3)

    return Rows(
        mean=mean,
        variance=variance,
        soft_mean=soft_mean,
        soft_variance=soft_variance,
        noise=noise,
        attempts=attempts,
        searched=worst_case(ratio, starts).ratio,
    )


def _enumerated(stream: Stream, loss: Callable[[Tensor], Tensor], posterior: Posterior) -> list[float]:
    """Mean and variance of both risks over all samples, and the exact label noise."""
    world = random_finite_world(stream.child("world"), atoms=3, num_classes=3, dim=1)
    losses = loss(2 * torch.randn(3, 3, dtype=torch.float64, generator=stream.child("logits").torch()))
    samples = world.enumerate_samples(3)
    table, teacher = losses[samples.atoms], posterior(world.probs)[samples.atoms]
    moments: list[float] = []
    for risks in (one_hot_risk(table, samples.labels), distilled_risk(table, teacher)):
        mean = samples.probability @ risks
        moments += [float(mean), float(samples.probability @ (risks - mean).square())]
    return [*moments, float(label_noise_variance(losses, world.probs, world.weights, n=3))]


def alike_where_allowed(losses: Tensor, allowed: Tensor) -> Tensor:
    """One loss for all labels that can occur."""
    return torch.where(allowed, losses.mean(-1, keepdim=True), losses)


def all_different(losses: Tensor, allowed: Tensor) -> Tensor:
    """Losses that differ between labels."""
    return losses


@experiment
def label_noise_of_losses_on_the_support(run: Run, /, *, on_support: Constant = alike_where_allowed) -> Rows:
    """200 worlds of 4 atoms and 6 classes, half of which are ruled out at each atom (p* = 0), where losses
    stay arbitrary: the label noise, and after the loss of one possible label a is moved by d = 1/2; beside
    it w(x) p_a (1 − p_a) d².
    """
    trials, atoms, k, step = run.size(quick=200, full=2000), 4, 6, 0.5
    generator = run.stream.child("worlds").torch()
    uniform = torch.rand(3, trials, atoms, k, dtype=torch.float64, generator=generator)
    allowed = uniform[0].argsort(-1).argsort(-1) < k // 2
    probs = (0.1 + uniform[1]) * allowed
    probs = probs / probs.sum(-1, keepdim=True)
    weights = torch.full((atoms,), 1 / atoms, dtype=torch.float64)
    losses = on_support(3 * uniform[2], allowed)
    a, rows = allowed[:, 0].int().argmax(-1), torch.arange(trials)
    moved = losses.clone()
    moved[rows, 0, a] += step
    return Rows(
        noise=label_noise_variance(losses, probs, weights, n=1),
        moved_noise=label_noise_variance(moved, probs, weights, n=1),
        opened=weights[0] * probs[rows, 0, a] * (1 - probs[rows, 0, a]) * step**2,
    )


def fresh(world: World, training: Sample, shape: tuple[int, int], stream: Stream) -> Sample:
    """Fresh samples of the world for each net."""
    return world.sample((len(training.labels), *shape), stream)


def of_the_training_points(world: World, training: Sample, shape: tuple[int, int], stream: Stream) -> Sample:
    """Samples drawn from the points that the net was trained on."""
    members, n = training.labels.shape
    places = torch.randint(n, (members, *shape), generator=stream.torch())
    rows = torch.arange(members)[:, None, None]
    return Sample(*(array[rows, places] for array in (training.inputs, training.labels, training.probs)))


@experiment
def variance_gaps_on_images(run: Run, /, *, source: Source = fresh) -> Rows:
    """80 nets, each trained on 50 real images with redrawn labels, and 200 samples of N = 50 for each, loss
    1 − φ(f)_y: N times the difference of the sample variances of both risks, and the exact label noise, a sum
    over all images.
    """
    world = relabelled_world(run)
    pool = Sample(world.inputs, world.probs.argmax(-1), world.probs)
    return _gaps(run, world, pool, n=50, source=source, posterior=each_its_own)


@experiment
def variance_gaps_on_three_gaussians(run: Run, /, *, posterior: Posterior = each_its_own) -> Rows:
    """80 nets, each trained on 30 points of three overlapping Gaussians, and 200 fresh samples of N = 30 for
    each, loss 1 − φ(f)_y: N times the difference of the sample variances of both risks, and the label noise,
    a mean over 20,000 fresh points, whose own error is a twentieth of 15 %.
    """
    world = three_gaussians()
    pool = world.sample(20_000, run.stream.child("pool"))
    return _gaps(run, world, pool, n=30, source=fresh, posterior=posterior)


def _gaps(run: Run, world: World, pool: Sample, *, n: int, source: Source, posterior: Posterior) -> Rows:
    architecture, trials = MLP((world.dim, 16, world.num_classes)), run.size(quick=80, full=320)
    training = world.sample((trials, n), run.stream.child("training"))
    nets = train(
        architecture,
        training.inputs.float(),
        training.labels,
        loss=label_loss,
        members=trials,
        stream=run.stream.child("nets"),
        steps=60,
        learning_rate=0.02,
        device=run.device,
    )
    weights = torch.full(pool.labels.shape, 1 / pool.labels.numel(), dtype=torch.float64)
    measured, exact = [], []
    for start in range(0, trials, TOGETHER):
        here = slice(start, start + TOGETHER)
        part = Sample(training.inputs[here], training.labels[here], training.probs[here])
        sample = source(world, part, (200, n), run.stream.child("samples", start))
        params = nets.params[here].cpu()
        logits = architecture.logits(params, sample.inputs.float().flatten(1, 2))
        losses = _loss(logits.unflatten(1, (200, n)))
        soft = distilled_risk(losses, posterior(sample.probs))
        measured.append(n * (one_hot_risk(losses, sample.labels).var(-1) - soft.var(-1)))
        everywhere = _loss(architecture.logits(params, pool.inputs.float()))
        exact.append(label_noise_variance(everywhere, pool.probs, weights, n=1))
    return Rows(measured=torch.cat(measured), exact=torch.cat(exact))


def _loss(logits: Tensor) -> Tensor:
    return softmax_margin_loss(logits.double(), gamma=1.0)
