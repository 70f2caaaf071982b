"""Chapter 4.2: empirical Bernstein bounds on one-hot and on Bayes-distilled risks (Maurer & Pontil, 2009)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.covering import segment_covering_number
from kdtheory.bounds.empirical_bernstein import maurer09_covering_radius, maurer09_finite_class_radius
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Joint, MeanInequality
from kdtheory.claims.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import softmax_margin_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld
from kdtheory.risk.empirical import distilled_losses, one_hot_losses
from kdtheory.risk.population import population_risk
from kdtheory.types import Sample

DELTA = 0.05
BOUNDED = "The loss lies in [0, 1]."
FIXED = "The class was fixed before the sample was drawn."

Radius = Callable[[Tensor, int], Tensor]


def _standard_error_alone(variance: Tensor, /, *, n: int, **_: float) -> Tensor:
    return (variance / n).sqrt()


def _variance_over_n_squared(variance: Tensor, /, *, n: int, class_size: int, delta: float) -> Tensor:
    return (2 * variance * torch.tensor(2 * class_size / delta).log()).sqrt() / n


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
    ),
)
def empirical_bernstein_bound_covers_a_finite_class(
    setting: Setting, /, *, chosen: str = "before the sample"
) -> Evidence:
    """With probability at least 1 − δ the empirical Bernstein bound holds for all predictors of a finite
    class at once, from one-hot labels and from Bayes labels; and with Bayes labels it is the tighter one on
    average.

    Twenty networks trained beforehand, loss 1 − φ(f)_y, samples of N = 200 of real images with redrawn
    labels, δ = 0.05; the true risks are sums over all images. A draw violates if any member does. The
    memoriser of the control is right on the sample's images and wrong on all others.
    """
    world, size = relabelled_world(setting), 20
    table = _trained_losses(setting, world, size)

    def radius(variance: Tensor, n: int) -> Tensor:
        return maurer09_finite_class_radius(variance, n=n, class_size=size, delta=DELTA)

    def members(sample: Sample) -> tuple[Tensor, Tensor]:
        losses = table if chosen == "before the sample" else _memoriser(world, sample)[None]
        return losses, losses[:, sample.atoms]

    return _covered(setting, world, members, radius, n=200)


@claim(
    section="4.2",
    formula=r"\Pr\Bigl[\forall f:\ R(f) \le \hat R_*(f) + \sqrt{18\hat V_*(f)\ln(M/\delta)/N}"
    r" + \tfrac{15\ln(M/\delta)}{N-1}\Bigr] \ge 1-\delta,\quad M = 10\,\mathcal N_\infty(1/N, H, 2N)",
    source="maurer2009empirical",
    place="Theorem 6",
    assumes=(BOUNDED, FIXED, "N ≥ 16."),
    control=Control("one end of the segment is a memoriser of the sample", chosen="after the sample"),
    uses=(maurer09_covering_radius, segment_covering_number, one_hot_losses, distilled_losses),
    mutants=(Mutant("only the standard error is left", maurer09_covering_radius, _standard_error_alone),),
)
def empirical_bernstein_bound_covers_a_segment(
    setting: Setting, /, *, chosen: str = "before the sample"
) -> Evidence:
    """With probability at least 1 − δ the covering form of the empirical Bernstein bound holds for all
    mixtures (1−a)ℓ(f) + aℓ(g) of two predictors' losses at once, 0 ≤ a ≤ 1; with Bayes labels it is tighter
    on average.

    An infinite class whose covering number is known: N_∞(1/N) ≤ ⌈N/2⌉. N = 1,000, δ = 0.05, a on a grid of
    21. The constants are generous: the second term alone is 0.17 here, and no violation is expected.
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

    return _covered(setting, world, members, radius, n=1000, shares=shares)


def _covered(
    setting: Setting,
    world: FiniteWorld,
    members: Callable[[Sample], tuple[Tensor, Tensor]],
    radius: Radius,
    *,
    n: int,
    shares: Tensor | None = None,
) -> Joint:
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
    return Joint(parts={**covered, "distilled is tighter": MeanInequality.of(width[1], width[0])})


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
        steps=60,
        learning_rate=0.02,
        device=setting.device,
    )
    return softmax_margin_loss(nets.logits(world.inputs).cpu().double(), gamma=1.0)


def _memoriser(world: FiniteWorld, sample: Sample) -> Tensor:
    """Zero-one losses of a predictor that is Bayes on the sample's images, as wrong as can be elsewhere."""
    seen = torch.zeros(world.num_atoms, dtype=torch.bool)
    seen[sample.atoms] = True
    said = torch.where(seen, world.probs.argmax(-1), world.probs.argmin(-1))
    return 1 - torch.nn.functional.one_hot(said, world.num_classes).double()
