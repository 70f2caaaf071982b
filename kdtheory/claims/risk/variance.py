"""Chapter 4.1, Menon et al. (2021), Lemma 1: Bayes labels take the label noise out of the empirical risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint, WorstRatio
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

LEMMA = (
    r"\operatorname{Var}\hat R(f) - \operatorname{Var}\hat R_*(f)"
    r" = \tfrac1N\,\mathbb E_x \operatorname{Var}_{y|x}\,\ell(f(x))_y \ge 0"
)
INDEPENDENT = "f does not depend on the sample."
LOSSES: tuple[Callable[[Tensor], Tensor], ...] = (log_loss, zero_one_loss, brier_loss)


def _noise_not_over_n(*tables: Tensor, n: int, _true: Callable[..., Tensor] = label_noise_variance) -> Tensor:
    return n * _true(*tables, n=n)


def _noise_as_second_moment(losses: Tensor, probs: Tensor, weights: Tensor, /, *, n: int) -> Tensor:
    return (weights * (probs * losses.square()).sum(-1)).sum(-1) / n


def _noise_of_uniform_labels(losses: Tensor, probs: Tensor, weights: Tensor, /, *, n: int) -> Tensor:
    return (weights * losses.var(-1, correction=0)).sum(-1) / n


def _distilled_sum(losses: Tensor, teacher_probs: Tensor, /) -> Tensor:
    return (teacher_probs * losses).sum((-1, -2))


@claim(
    section="4.1",
    formula=LEMMA,
    source="menon2021statistical",
    place="Lemma 1",
    assumes=(INDEPENDENT, "The teacher gives the Bayes class-probabilities p*."),
    control=Control("the teacher's rows p*(x) are given to the wrong x", posterior="scrambled"),
    uses=(one_hot_risk, distilled_risk, label_noise_variance, distilled_variance, one_hot_variance),
    mutants=(
        Mutant("the noise is not divided by N", label_noise_variance, _noise_not_over_n),
        Mutant("second moment for variance", label_noise_variance, _noise_as_second_moment),
        Mutant("a sum for the mean over the sample", distilled_risk, _distilled_sum),
    ),
)
def distilled_risk_has_no_larger_variance(setting: Setting, /, *, posterior: str = "true") -> Evidence:
    """For a fixed predictor the Bayes-distilled risk has the mean of the one-hot risk and no larger variance:
    what it saves is (1/N) E_x Var_{y|x} ℓ(f(x))_y, the label noise.

    Every sample of N = 3 points of a random world with 3 atoms and 3 classes is enumerated, so that means and
    variances of both risks are exact sums; random predictors, log, zero-one and Brier loss in turn. A search
    over losses and p* on two atoms tries to make the distilled variance the larger one; it must come within
    0.1 per cent.
    """
    trials = setting.size(quick=30, full=300)
    rows = [_enumerated(setting.stream.child(trial), LOSSES[trial % 3], posterior) for trial in range(trials)]
    mean, variance, soft_mean, soft_variance, noise = torch.tensor(rows, dtype=torch.float64).T
    return Joint(
        parts={
            "one mean": Identity.of(soft_mean, mean, tolerance=1e-10),
            "gap": Identity.of(variance - soft_variance, noise, tolerance=1e-10),
            "no larger": Inequality.of(soft_variance, variance, slack=1e-12),
            "searched": _hardest_world(setting, posterior),
        }
    )


def _hardest_world(setting: Setting, posterior: str) -> Evidence:
    """The largest distilled variance over the one-hot one, losses in [0, 1]."""
    attempts = setting.size(quick=20, full=200)
    starts = torch.randn(attempts, 12, dtype=torch.float64, generator=setting.stream.child("search").torch())
    weights = torch.full((2,), 0.5, dtype=torch.float64)

    def ratio(points: Tensor) -> Tensor:
        scores, logits = points.view(-1, 2, 2, 3).unbind(1)
        losses, probs = scores.sigmoid(), (2 * logits).softmax(-1)
        told = probs if posterior == "true" else probs.flip(-2)
        whole = one_hot_variance(losses, probs, weights.expand(len(points), 2), n=1)
        soft = distilled_variance(losses, told, weights.expand(len(points), 2), n=1)
        return soft / whole.clamp_min(1e-3)

    found = worst_case(ratio, starts)
    return WorstRatio(attempts=attempts, ratio=found.ratio, must_reach=0.999)


def _enumerated(stream: Stream, loss: Callable[[Tensor], Tensor], posterior: str) -> list[float]:
    """Mean and variance of both risks over all samples, and the exact label noise."""
    n = 3
    world = random_finite_world(stream.child("world"), atoms=3, num_classes=3, dim=1)
    losses = loss(2 * torch.randn(3, 3, dtype=torch.float64, generator=stream.child("logits").torch()))
    teacher = world.probs if posterior == "true" else world.probs.roll(1, 0)
    samples = world.enumerate_samples(n)
    table = losses[samples.atoms]
    moments: list[float] = []
    for risks in (one_hot_risk(table, samples.labels), distilled_risk(table, teacher[samples.atoms])):
        mean = samples.probability @ risks
        moments += [float(mean), float(samples.probability @ (risks - mean).square())]
    noise = label_noise_variance(losses, world.probs, world.weights, n=n)
    return [*moments, float(noise)]


@claim(
    section="4.1",
    formula=r"\operatorname{Var}\hat R = \operatorname{Var}\hat R_* \iff"
    r" \ell(f(x))_y \text{ is constant on the support of } p^*(x) \text{ for almost every } x",
    source="menon2021statistical",
    place="Lemma 1",
    assumes=(INDEPENDENT,),
    control=Control("the losses differ on the support", on_support="different"),
    uses=(label_noise_variance,),
    mutants=(Mutant("labels drawn uniformly", label_noise_variance, _noise_of_uniform_labels),),
)
def variance_gap_vanishes_iff_loss_is_constant_on_the_support(
    setting: Setting, /, *, on_support: str = "constant"
) -> Evidence:
    """The Bayes-distilled risk saves nothing exactly when, for almost every x, the loss is the same for every
    label that can occur there.

    Half of the labels of each atom are ruled out (p* = 0), where losses stay arbitrary. "If": losses made
    equal on the support leave no gap. "Only if": moving the loss of one possible label a by d from the others
    opens a gap of w(x) p_a (1 − p_a) d².
    """
    trials, atoms, k = setting.size(quick=200, full=2000), 4, 6
    generator = setting.stream.child("worlds").torch()
    uniform = torch.rand(3, trials, atoms, k, dtype=torch.float64, generator=generator)
    allowed = uniform[0].argsort(-1).argsort(-1) < k // 2
    probs = (0.1 + uniform[1]) * allowed
    probs = probs / probs.sum(-1, keepdim=True)
    weights = torch.full((atoms,), 1 / atoms, dtype=torch.float64)
    losses = 3 * uniform[2]
    if on_support == "constant":
        losses = torch.where(allowed, losses.mean(-1, keepdim=True), losses)
    still = label_noise_variance(losses, probs, weights, n=1)
    a, step = allowed[:, 0].int().argmax(-1), 0.5
    rows = torch.arange(trials)
    moved = losses.clone()
    moved[rows, 0, a] += step
    opened = weights[0] * probs[rows, 0, a] * (1 - probs[rows, 0, a]) * step**2
    return Joint(
        parts={
            "if": Identity.of(still, torch.zeros(trials), tolerance=1e-12, effect=1.0),
            "only if": Identity.of(label_noise_variance(moved, probs, weights, n=1), opened, tolerance=1e-9),
        }
    )


@dataclass(frozen=True)
class _Design:
    """How trials are made: how many, samples in each, N, where they come from, the teacher's rows."""

    trials: int
    replicates: int
    n: int
    fitted_to: str = "another sample"
    posterior: str = "true"


@dataclass(frozen=True)
class _Gaps:
    """One trial an entry: N(Var R̂ − Var R̂_*) over the replicates, and the exact E_x Var_{y|x} ℓ."""

    measured: Tensor
    exact: Tensor


def _gaps(setting: Setting, world: World, pool: Sample, design: _Design) -> _Gaps:
    """Trials of `replicates` samples each: the spread of both risks at a net trained on another sample.

    On "the same sample" the replicates are drawn from the net's own training points.
    """
    trials, shape = setting.size(quick=design.trials, full=4 * design.trials), (design.replicates, design.n)
    architecture, stream = MLP((world.dim, 16, world.num_classes)), setting.stream
    training = world.sample((trials, design.n), stream.child("training"))
    nets = _trained(setting, architecture, training, stream.child("nets"))
    rows = []
    for trial, params in enumerate(nets):
        if design.fitted_to == "the same sample":
            sample = _resampled(training, trial, shape, stream.child("samples", trial))
        else:
            sample = world.sample(shape, stream.child("samples", trial))
        rows.append(_gap(params, architecture, sample, pool, design.posterior))
    measured, exact = torch.tensor(rows, dtype=torch.float64).T
    return _Gaps(design.n * measured, exact)


def _resampled(training: Sample, row: int, shape: tuple[int, int], stream: Stream) -> Sample:
    """Samples whose points are drawn from one training sample."""
    places = torch.randint(training.labels.shape[1], shape, generator=stream.torch())
    return Sample(*(array[row][places] for array in (training.inputs, training.labels, training.probs)))


def _trained(setting: Setting, architecture: MLP, sample: Sample, stream: Stream) -> Tensor:
    """The parameters of one net for each sample [members n], trained on its labels."""
    nets = train(
        architecture,
        sample.inputs.float(),
        sample.labels,
        loss=label_loss,
        members=len(sample.labels),
        stream=stream,
        steps=60,
        learning_rate=0.02,
        device=setting.device,
    )
    return nets.params.cpu()


def _gap(
    params: Tensor, architecture: MLP, sample: Sample, pool: Sample, posterior: str
) -> tuple[float, float]:
    """Var R̂ − Var R̂_* over the replicates of one net, and its exact value at N = 1."""
    teacher = sample.probs if posterior == "true" else sample.probs.roll(1, -2)
    inputs = sample.inputs.float()
    logits = architecture.logits(params, inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
    losses = softmax_margin_loss(logits.double(), gamma=1.0)
    gap = one_hot_risk(losses, sample.labels).var() - distilled_risk(losses, teacher).var()
    everywhere = softmax_margin_loss(architecture.logits(params, pool.inputs.float()).double(), gamma=1.0)
    weights = torch.full(pool.labels.shape, 1 / pool.labels.numel(), dtype=torch.float64)
    return float(gap), float(label_noise_variance(everywhere, pool.probs, weights, n=1))


@claim(
    section="4.1",
    formula=LEMMA,
    source="menon2021statistical",
    place="Lemma 1",
    assumes=(INDEPENDENT, "The teacher gives the Bayes class-probabilities p*."),
    control=Control("each net is judged on points that it was trained on", fitted_to="the same sample"),
    uses=(one_hot_risk, distilled_risk, label_noise_variance),
    mutants=(
        Mutant("second moment for variance", label_noise_variance, _noise_as_second_moment),
        Mutant("a sum for the mean over the sample", distilled_risk, _distilled_sum),
    ),
    power=Scaled(label_noise_variance),
    cost=3,
)
def variance_gap_is_the_label_noise_on_trained_networks(
    setting: Setting, /, *, fitted_to: str = "another sample"
) -> Evidence:
    """At networks trained on another sample of real images with redrawn labels, the variance of the one-hot
    risk exceeds that of the Bayes-distilled risk by the label noise (1/N) E_x Var_{y|x} ℓ(f(x))_y.

    Each of 80 trials trains a net on 50 points, draws 200 samples of N = 50 and compares the difference of
    the two sample variances with the exact sum over all images; loss 1 − φ(f)_y; equal within 20 % of the
    effect. Judged on points that it was trained on a net has fitted their label noise: the gap closes, and
    reverses.
    """
    world = relabelled_world(setting)
    pool = Sample(world.inputs, world.probs.argmax(-1), world.probs)
    gaps = _gaps(setting, world, pool, _Design(80, 200, 50, fitted_to=fitted_to))
    return Equality.of(gaps.measured, gaps.exact, margin=0.2)


@claim(
    section="4.1",
    formula=LEMMA,
    source="menon2021statistical",
    place="Lemma 1",
    assumes=(INDEPENDENT, "The teacher gives the Bayes class-probabilities p*."),
    control=Control("each point gets the p* of another one", posterior="scrambled"),
    uses=(one_hot_risk, distilled_risk, label_noise_variance),
    mutants=(
        Mutant("second moment for variance", label_noise_variance, _noise_as_second_moment),
        Mutant("labels drawn uniformly", label_noise_variance, _noise_of_uniform_labels),
    ),
    power=Scaled(label_noise_variance),
    cost=3,
)
def variance_gap_is_the_label_noise_on_a_gaussian_mixture(
    setting: Setting, /, *, posterior: str = "true"
) -> Evidence:
    """On a mixture of three overlapping Gaussians, at networks trained on another sample, the variance of the
    one-hot risk exceeds that of the Bayes-distilled risk by the label noise.

    As on the images, with N = 30; the expectation over x is a mean over 20,000 fresh points, whose own
    error is a twentieth of the margin of 15 %.
    """
    world = three_gaussians()
    pool = world.sample(20_000, setting.stream.child("pool"))
    gaps = _gaps(setting, world, pool, _Design(80, 200, 30, posterior=posterior))
    return Equality.of(gaps.measured, gaps.exact, margin=0.15)
