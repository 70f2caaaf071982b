"""Softmax margins φ_γ(v) = softmax(v/γ): the error, how fast they change, how far they are apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.margins import (
    confidence_lipschitz,
    distillation_error,
    label_free_distillation_error,
    margin_surrogate,
    margin_surrogate_lipschitz,
    multiclass_margin,
    softmax_confidence,
    softmax_distance,
    softmax_distance_lipschitz,
)
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.search import worst_case
from kdtheory.streams import Stream

GAMMA = 0.7
Ratio = Callable[[Tensor, Tensor], Tensor]


def distance_over_the_sup_norm(u: Tensor, v: Tensor, /) -> Tensor:
    """½‖φ(u) − φ(v)‖₁ over its constant times ‖u − v‖_∞."""
    constant = softmax_distance_lipschitz(gamma=GAMMA, norm="sup")
    return softmax_distance(u, v, gamma=GAMMA) / (constant * (u - v).abs().amax(-1))


def distance_over_the_euclidean_norm(u: Tensor, v: Tensor, /) -> Tensor:
    """½‖φ(u) − φ(v)‖₁ over its constant times ‖u − v‖₂."""
    constant = softmax_distance_lipschitz(gamma=GAMMA, norm="euclidean")
    return softmax_distance(u, v, gamma=GAMMA) / (constant * _euclidean(u - v))


def confidence_over_the_euclidean_norm(u: Tensor, v: Tensor, /) -> Tensor:
    """|φ(u)_0 − φ(v)_0| over its constant times ‖u − v‖₂."""
    constant = confidence_lipschitz(gamma=GAMMA)
    return (_confidence(u) - _confidence(v)).abs() / (constant * _euclidean(u - v))


def margin_loss_over_the_distance(u: Tensor, v: Tensor, /) -> Tensor:
    """((1 − φ(u)_0) − (1 − φ(v)_0))/½‖φ(u) − φ(v)‖₁."""
    return (_confidence(v) - _confidence(u)) / softmax_distance(u, v, gamma=GAMMA).clamp_min(1e-3)


def odds_over_the_surrogate(u: Tensor, _v: Tensor, /) -> Tensor:
    """The odds (1 − φ(u)_0)/φ(u)_0 over σ/(1 − σ), σ = σ(ln(k−1) − m/γ); |u| ≤ 3, so that 1 − φ keeps its
    digits.
    """
    u = 3 * (u / 3).tanh()
    loss, margins = 1 - _confidence(u), multiclass_margin(u, _label(u))
    bound = margin_surrogate(margins, gamma=GAMMA, num_classes=u.shape[-1])
    return loss / (1 - loss) / (bound / (1 - bound))


def surrogate_over_the_margin(u: Tensor, v: Tensor, /) -> Tensor:
    """|σ(ln(k−1) − a/γ) − σ(ln(k−1) − b/γ)| over its constant times |a − b|, a and b the first entries."""
    k, constant = u.shape[-1], margin_surrogate_lipschitz(gamma=GAMMA)
    a, b = u[:, 0], v[:, 0]
    change = margin_surrogate(a, gamma=GAMMA, num_classes=k) - margin_surrogate(b, gamma=GAMMA, num_classes=k)
    return change.abs() / (constant * (a - b).abs().clamp_min(1e-3))


@experiment
def largest_ratio_over_pairs(run: Run, /, *, ratio: Ratio = distance_over_the_sup_norm) -> Rows:
    """The largest ratio that a search finds over pairs u, v = c ± e^h·d/2, ‖d‖ = 1, for 2 and for 4 classes,
    1/400 ≤ e^h ≤ 20; its 10 attempts each begin at all sizes between, for some constants are attained by near
    pairs only.
    """
    attempts, largest = run.size(quick=10, full=160), []
    for k in (2, 4):
        starts = torch.randn(attempts, 2 * k + 1, dtype=torch.float64, generator=run.stream.child(k).torch())
        starts[:, -1] = torch.linspace(-6, 3, attempts)

        def of_pairs(points: Tensor, k: int = k) -> Tensor:
            centre, direction, size = points[:, :k], points[:, k : 2 * k], points[:, -1:].clamp(-6, 3).exp()
            half = size * direction / (2 * direction.norm(dim=-1, keepdim=True))
            return ratio(centre + half, centre - half)

        largest.append(worst_case(of_pairs, starts, steps=120, learning_rate=0.1, polished=1).ratio)
    return Rows(attempts=2 * attempts, ratio=max(largest))


@experiment
def largest_ratio_with_constant_scaled(
    run: Run, /, *, ratio: Ratio = distance_over_the_sup_norm, share: float = 1.0
) -> Rows:
    """The largest ratio of the search, its constant multiplied by `share`."""
    found = largest_ratio_over_pairs.given(ratio=ratio).rows(run)
    return Rows(attempts=found.attempts, ratio=found.ratio / share)


@experiment
def surrogates_of_the_margin(run: Run, /, *, share: float = 1.0) -> Rows:
    """Two searches: over logits within ±3, comparing odds (1 − φ)/φ; and over pairs of margins, the Lipschitz
    constant multiplied by `share`.
    """
    odds = largest_ratio_over_pairs.given(ratio=odds_over_the_surrogate).rows(run)
    slopes = largest_ratio_over_pairs.given(ratio=surrogate_over_the_margin).rows(run)
    return Rows(attempts=odds.attempts, odds=odds.ratio, slope=slopes.ratio / share)


@experiment
def errors_and_softmax_margin_losses(run: Run, /, *, factor: float = 2.0) -> Rows:
    """Random logits, half of them small whole numbers so that ties abound, 2, 3 and 10 classes, γ from 0.01
    to 100: the error, ties counted, and `factor` times the softmax margin loss.
    """
    trials = run.size(quick=500, full=5000)
    errors, losses = [], []
    for k in (2, 3, 10):
        for place, gamma in enumerate((0.01, 1.0, 100.0)):
            logits, labels = _cases(run.stream.child(k, place), trials, k)
            errors.append(((logits >= logits.gather(-1, labels[:, None])).sum(-1) > 1).double())
            losses.append(factor * (1 - softmax_confidence(logits, labels, gamma=gamma)))
    return Rows(error=torch.cat(errors), loss=torch.cat(losses))


def over_the_examples(logits: Tensor, /) -> tuple[Tensor, Tensor]:
    """The terms of the sum for each label j of the first example: f(x_i)_j for all i; and its own place."""
    return logits.mT, torch.zeros(logits.shape[:2], dtype=torch.long)


def over_the_classes(logits: Tensor, /) -> tuple[Tensor, Tensor]:
    """The terms of the sum for each label j of the first example: f(x_1)_l for all l; and its own place."""
    return logits[:, :1].expand_as(logits), torch.arange(logits.shape[-1]).expand(logits.shape[:2])


@experiment
def sums_of_softmaxes(
    run: Run, /, *, summed: Callable[[Tensor], tuple[Tensor, Tensor]] = over_the_examples
) -> Rows:
    """As many examples as classes, 2 or 5, random logits: the quotient, with its denominator `summed` over
    examples or classes, added up over all labels of the first example.
    """
    trials, sums = run.size(quick=200, full=2000), []
    for k in (2, 5):
        logits = torch.randn(trials, k, k, dtype=torch.float64, generator=run.stream.child(k).torch())
        sums.append(softmax_confidence(*summed(logits), gamma=0.5).sum(-1))
    return Rows(total=torch.cat(sums))


@experiment
def distillation_errors(run: Run, /, *, share: float = 1.0) -> Rows:
    """100 random pairs of predictors on 20 points of 2 to 5 classes: the printed distillation error and
    `share` of the label-free one at γ = 0.7. For logits that are permutations of 0, …, k−1, so that nothing
    is nearly tied: `share` of the label-free one at γ = 0.01, the share of disagreements, the label-free one
    at γ = 1,000 and ‖f − g‖_∞/2γ.
    """
    rows = []
    for trial in range(run.size(quick=100, full=1000)):
        k, stream = 2 + trial % 4, run.stream.child(trial)
        f, labels = _cases(stream.child("f"), 20, k)
        g, _ = _cases(stream.child("g"), 20, k)
        near, far = (_permutations(stream.child(name), 20, k) for name in ("f", "g"))
        rows.append(
            (
                k,
                distillation_error(f, g, labels, gamma=GAMMA),
                share * label_free_distillation_error(f, g, gamma=GAMMA),
                share * label_free_distillation_error(near, far, gamma=0.01),
                (near.argmax(-1) != far.argmax(-1)).double().mean(),
                label_free_distillation_error(near, far, gamma=1000.0),
                (near - far).abs().amax(-1).mean() / 2000,
            )
        )
    names = ("classes", "printed", "label_free", "sharp", "apart", "flat", "cap")
    return Rows(**dict(zip(names, torch.tensor(rows, dtype=torch.float64).T, strict=True)))


def _euclidean(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norm


def _label(logits: Tensor) -> Tensor:
    return torch.zeros(len(logits), dtype=torch.long)


def _confidence(logits: Tensor) -> Tensor:
    return softmax_confidence(logits, _label(logits), gamma=GAMMA)


def _cases(stream: Stream, count: int, k: int) -> tuple[Tensor, Tensor]:
    """Logits, every second row of small whole numbers, and labels."""
    generator = stream.torch()
    logits = 2 * torch.randn(count, k, dtype=torch.float64, generator=generator)
    logits[::2] = logits[::2].round()
    return logits, torch.randint(k, (count,), generator=generator)


def _permutations(stream: Stream, count: int, k: int) -> Tensor:
    return torch.rand(count, k, generator=stream.torch()).argsort(-1).double()
