"""Chapter 4.2: empirical Bernstein bounds on one-hot and on Bayes-distilled risks (Maurer & Pontil, 2009)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.covering import segment_covering_number
from kdtheory.bounds.empirical_bernstein import maurer09_covering_radius, maurer09_finite_class_radius
from kdtheory.claims.bounds.wrong import bernstein_terms
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, MeanInequality, WorstRatio
from kdtheory.claims.wrong import scaled
from kdtheory.experiments.bounds.enumeration import (
    LOG_TINY,
    exponent_left,
    log_any,
    log_misses,
    needed_radius,
    some_counts,
)
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
BOUNDED = "The loss lies in [0, 1]."
FIXED = "The class was fixed before the sample was drawn."

Radius = Callable[[Tensor, int], Tensor]


def _standard_error_alone(variance: Tensor, /, *, n: int, **_: float) -> Tensor:
    return (variance / n).sqrt()


def _members(share: float) -> Callable[..., Tensor]:
    """The radius with ln(2|F|^share/δ)."""

    def wrong(
        variance: Tensor,
        /,
        *,
        n: int,
        class_size: int,
        delta: float,
        _true: Callable[..., Tensor] = maurer09_finite_class_radius,
    ) -> Tensor:
        return _true(variance, n=n, class_size=max(1, round(class_size**share)), delta=delta)

    return wrong


def _covering_terms(first: float, second: float) -> Callable[..., Tensor]:
    """The covering radius with its two terms multiplied."""

    def wrong(
        variance: Tensor, /, *, _true: Callable[..., Tensor] = maurer09_covering_radius, **settings: Any
    ) -> Tensor:
        rest = _true(torch.zeros_like(variance), **settings)
        return first * (_true(variance, **settings) - rest) + second * rest

    return wrong


def _variance_over_n_squared(variance: Tensor, /, *, n: int, class_size: int, delta: float) -> Tensor:
    log = math.log(2) + math.log(class_size) - math.log(delta)
    return (2 * variance * log).sqrt() / n


@claim(
    section="4.2",
    formula=r"\Pr\Bigl[\forall f\in F:\ R(f) \le \hat R_*(f) + \sqrt{2\hat V_*(f)\ln(2|F|/\delta)/N}"
    r" + \tfrac{7\ln(2|F|/\delta)}{3(N-1)}\Bigr] \ge 1-\delta",
    source="maurer2009empirical",
    place="Theorem 4",
    assumes=(BOUNDED, FIXED),
    control=Control("the class is a memoriser of the sample", chosen="after the sample"),
    uses=(maurer09_finite_class_radius, one_hot_losses, distilled_losses),
    mutants=(
        Mutant("only the standard error is left", maurer09_finite_class_radius, _standard_error_alone),
        Mutant("√V̂/N for √(V̂/N)", maurer09_finite_class_radius, _variance_over_n_squared),
        Mutant("ln |F| is forgotten", maurer09_finite_class_radius, _members(0.0)),
        Mutant("0.9 ln |F|", maurer09_finite_class_radius, _members(0.9)),
        Mutant("0.9 of the root", maurer09_finite_class_radius, bernstein_terms(0.9, 1.0)),
        Mutant("0.9 of 7/3", maurer09_finite_class_radius, bernstein_terms(1.0, 0.9)),
        Mutant("half the one-hot losses", one_hot_losses, scaled(0.5)),
        Mutant("half the distilled losses", distilled_losses, scaled(0.5)),
    ),
    power=Scaled(maurer09_finite_class_radius),
)
def empirical_bernstein_bound_covers_a_finite_class(
    setting: Setting, /, *, chosen: str = "before the sample"
) -> Evidence:
    """With probability at least 1 − δ the empirical Bernstein bound holds for all predictors of a finite
    class at once, from one-hot labels and from Bayes labels; and with Bayes labels it is the tighter one on
    average. Neither ln|F| nor the factor of the root can be smaller; 7/3 is 7/3 of what members without an
    error need.

    Twenty networks trained beforehand, loss 1 − φ(f)_y, samples of N = 200 of real images with redrawn
    labels, δ = 0.05; the true risks are sums over all images. A draw violates if any member does. The
    memoriser of the control is right on the sample's images and wrong on all others. "attained": |F| =
    e^{300} independent members with losses 0 or 1, N = 10^8, δ = e^{−300}, by enumeration of the number of
    errors, at the worst risk; "7/3": one of them with no error.
    """
    world, size = relabelled_world(setting), 20
    table = _trained_losses(setting, world, size)

    def radius(variance: Tensor, n: int) -> Tensor:
        return maurer09_finite_class_radius(variance, n=n, class_size=size, delta=DELTA)

    def members(sample: Sample) -> tuple[Tensor, Tensor]:
        losses = table if chosen == "before the sample" else _memoriser(world, sample)[None]
        return losses, losses[:, sample.atoms]

    covered = _covered(setting, world, members, radius, n=200)
    return Joint(parts={**covered, **_attained()})


def _attained() -> dict[str, Evidence]:
    """How much of ln δ e^{300} independent members leave, and the radius of one that does not err."""
    n, log_delta, log_size = 10**8, LOG_TINY / 2, -LOG_TINY / 2
    counts = some_counts(n)
    variance = torch.from_numpy(counts * (n - counts) / (n * (n - 1.0)))
    radius = maurer09_finite_class_radius(
        variance, n=n, class_size=round(math.exp(log_size)), delta=math.exp(log_delta)
    ).numpy()
    chances = log_any(log_misses(counts / n + radius, counts, n), log_size)
    none = radius[0] / -math.expm1((log_delta - log_size) / n)
    return {
        "attained": WorstRatio(
            attempts=len(counts), ratio=exponent_left(chances, log_delta), slack=1e-6, must_reach=0.95
        ),
        "7/3": Identity.of([none], [7 / 3], tolerance=0.01),
    }


@claim(
    section="4.2",
    formula=r"\Pr\Bigl[\forall f:\ R(f) \le \hat R_*(f) + \sqrt{18\hat V_*(f)\ln(M/\delta)/N}"
    r" + \tfrac{15\ln(M/\delta)}{N-1}\Bigr] \ge 1-\delta,\quad M = 10\,\mathcal N_\infty(1/N, H, 2N)",
    source="maurer2009empirical",
    place="Theorem 6",
    assumes=(BOUNDED, FIXED, "N ≥ 16."),
    control=Control("one end of the segment is a memoriser of the sample", chosen="after the sample"),
    uses=(maurer09_covering_radius, segment_covering_number, one_hot_losses, distilled_losses),
    mutants=(
        Mutant("only the standard error is left", maurer09_covering_radius, _standard_error_alone),
        Mutant("0.9 of the root", maurer09_covering_radius, _covering_terms(0.9, 1.0)),
        Mutant("0.9 of the second term", maurer09_covering_radius, _covering_terms(1.0, 0.9)),
        Mutant("no second term", maurer09_covering_radius, _covering_terms(1.0, 0.0)),
        Mutant("half the one-hot losses", one_hot_losses, scaled(0.5)),
    ),
    power=Scaled(maurer09_covering_radius),
)
def empirical_bernstein_bound_covers_a_segment(
    setting: Setting, /, *, chosen: str = "before the sample"
) -> Evidence:
    """With probability at least 1 − δ the covering form of the empirical Bernstein bound holds for all
    mixtures (1−a)ℓ(f) + aℓ(g) of two predictors' losses at once, 0 ≤ a ≤ 1; with Bayes labels it is tighter
    on average. Its constants are loose: the root is three times what one function needs at δ/M, the second
    term fifteen times.

    An infinite class whose covering number is known: N_∞(1/N) ≤ ⌈N/2⌉. N = 1,000, δ = 0.05, a on a grid of
    21; the second term alone is 0.17 here, and no violation is expected. The looseness for a function with
    losses 0 and 1, a fair coin's and one that never errs on the sample, N = 40,000, δ/M = e^{−600}.
    """
    world = relabelled_world(setting)
    ends = _trained_losses(setting, world, 2)
    shares = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None]

    def radius(variance: Tensor, n: int) -> Tensor:
        covering = segment_covering_number(1 / n)
        return maurer09_covering_radius(variance, n=n, covering_number=covering, delta=DELTA)

    def members(sample: Sample) -> tuple[Tensor, Tensor]:
        first, second = ends if chosen == "before the sample" else (ends[0], _memoriser(world, sample))
        pair = torch.stack([first, second])
        return pair, pair[:, sample.atoms]

    covered = _covered(setting, world, members, radius, n=1000, shares=shares)
    return Joint(parts={**covered, **_generous()})


def _generous() -> dict[str, Evidence]:
    """Both terms over what one function of the cover needs, at δ/M = e^{−600}: fair coins, and no error."""
    n, covering = 40_000, segment_covering_number(1 / 40_000)
    log_delta = LOG_TINY + math.log(10 * covering)
    settings: dict[str, Any] = {"n": n, "covering_number": covering, "delta": math.exp(log_delta)}
    fair, none = maurer09_covering_radius(torch.tensor([0.25, 0.0], dtype=torch.float64), **settings).tolist()
    ratios = [(fair - none) / needed_radius(n, LOG_TINY), none / -math.expm1(LOG_TINY / n)]
    return {
        "three times": Identity.of(ratios[:1], [3.0], tolerance=0.02),
        "fifteen times": Identity.of(ratios[1:], [15.0], tolerance=0.02),
    }


def _covered(
    setting: Setting,
    world: FiniteWorld,
    members: Callable[[Sample], tuple[Tensor, Tensor]],
    radius: Radius,
    *,
    n: int,
    shares: Tensor | None = None,
) -> dict[str, Evidence]:
    """Count draws in which some member's risk exceeds its bound, and compare the mean radii.

    `members` gives the losses of the class on all atoms and on the sample; `shares` [a 1] mixes two of them.
    """
    draws = setting.size(quick=400, full=4000)
    rows = []
    for draw in range(draws):
        sample = world.sample(n, setting.stream.child("draws", draw))
        table, on_sample = members(sample)
        risks = population_risk(table, world.probs, world.weights)
        both = one_hot_losses(on_sample, sample.labels), distilled_losses(on_sample, sample.probs)
        if shares is not None:
            risks = _mixed(shares, risks[:, None])[:, 0]
            both = _mixed(shares, both[0]), _mixed(shares, both[1])
        rows.append([_worst(risks, values, radius, n) for values in both])
    risk, bound, width = torch.tensor(rows, dtype=torch.float64).permute(2, 1, 0)
    names = "one-hot", "distilled"
    covered = {
        name: Coverage.of(risk[kind], bound[kind], delta=DELTA, trivial=1.0)
        for kind, name in enumerate(names)
    }
    return {**covered, "distilled is tighter": MeanInequality.of(width[1], width[0])}


def _mixed(shares: Tensor, ends: Tensor) -> Tensor:
    return (1 - shares) * ends[0] + shares * ends[1]


def _worst(risks: Tensor, values: Tensor, radius: Radius, n: int) -> tuple[float, float, float]:
    """Risk and bound of the member that comes closest to violating, and the mean radius of the class."""
    radii = radius(values.var(-1), n)
    bounds = values.mean(-1) + radii
    worst = (risks - bounds).argmax()
    return float(risks[worst]), float(bounds[worst]), float(radii.mean())


def _trained_losses(setting: Setting, world: FiniteWorld, size: int) -> Tensor:
    """ℓ(f(x))_y of `size` networks, each trained on its own 100 points, on all atoms."""
    training = world.sample((size, 100), setting.stream.child("training"))
    nets = train(
        MLP((world.dim, 16, world.num_classes)),
        training.inputs,
        training.labels,
        loss=label_loss,
        members=size,
        stream=setting.stream.child("nets"),
        recipe=Recipe(steps=60, learning_rate=0.02),
        device=setting.device,
    )
    return softmax_margin_loss(nets.logits(world.inputs).cpu().double(), gamma=1.0)


def _memoriser(world: FiniteWorld, sample: Sample) -> Tensor:
    """Zero-one losses of a predictor that is Bayes on the sample's images, as wrong as can be elsewhere."""
    seen = torch.zeros(world.num_atoms, dtype=torch.bool)
    seen[sample.atoms] = True
    said = torch.where(seen, world.probs.argmax(-1), world.probs.argmin(-1))
    return 1 - torch.nn.functional.one_hot(said, world.num_classes).double()
