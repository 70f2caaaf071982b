"""Chapter 5.1, 5.3, 5.4: softmax margins bound the error, and are inherited (Hsu et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.margins import (
    distillation_error,
    label_free_distillation_error,
    softmax_confidence,
    softmax_distance,
)
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.verdict import Verdict
from kdtheory.search import worst_case
from kdtheory.streams import Stream


def _odds(logits: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    own = logits.gather(-1, labels[..., None]).squeeze(-1)
    hidden = logits.scatter(-1, labels[..., None], -torch.inf)
    return (own / gamma - (hidden / gamma).logsumexp(-1)).exp().clamp_max(1.0)


def _next_label(
    logits: Tensor,
    labels: Tensor,
    /,
    *,
    gamma: float,
    _true: Callable[..., Tensor] = softmax_confidence,
) -> Tensor:
    return _true(logits, (labels + 1) % logits.shape[-1], gamma=gamma)


def _uniform(logits: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    return torch.full_like(logits[..., 0], 1 / logits.shape[-1])


def _full_l1(*both: Tensor, gamma: float, _true: Callable[..., Tensor] = softmax_distance) -> Tensor:
    return 2 * _true(*both, gamma=gamma)


def _half_l2(student: Tensor, teacher: Tensor, /, *, gamma: float) -> Tensor:
    apart = (student / gamma).softmax(-1) - (teacher / gamma).softmax(-1)
    norm: Tensor = torch.linalg.vector_norm(apart, dim=-1)
    return norm / 2


def _gamma_forgotten(*both: Tensor, gamma: float, _true: Callable[..., Tensor] = softmax_distance) -> Tensor:
    return _true(*both, gamma=1.0)


def _doubled(*inputs: Tensor, gamma: float, _true: Callable[..., Tensor] = distillation_error) -> Tensor:
    return 2 * _true(*inputs, gamma=gamma)


@claim(
    section="5.1",
    formula=r"\mathbf 1[\operatorname{argmax} f(x) \ne y] \le 2\,(1 - \varphi_\gamma(f(x))_y)",
    source="hsu2021generalization",
    assumes=("γ > 0.",),
    control=Control("the factor 2 is dropped", factor=1.0),
    uses=(softmax_confidence,),
    mutants=(
        Mutant("odds for probability", softmax_confidence, _odds),
        Mutant("the next label is read", softmax_confidence, _next_label),
    ),
    power=Scaled(softmax_confidence, towards="more"),
    place="derived here",
)
def error_is_at_most_twice_the_softmax_margin_loss(setting: Setting, /, *, factor: float = 2.0) -> Evidence:
    """Where another class is at least as likely as the label, φ_γ(f(x))_y ≤ ½; so the error, ties counted, is
    at most 2(1 − φ_γ(f(x))_y) for every γ > 0.

    Random logits, half of them small whole numbers so that ties abound, 2 to 10 classes, γ from 0.01 to 100.
    With the factor 1 every tie of two is a counterexample.
    """
    trials = setting.size(quick=500, full=5000)
    lhs, rhs = [], []
    for k in (2, 3, 10):
        for place, gamma in enumerate((0.01, 1.0, 100.0)):
            logits, labels = _cases(setting.stream.child(k, place), trials, k)
            own = logits.gather(-1, labels[:, None])
            lhs.append(((logits >= own).sum(-1) > 1).double())
            rhs.append(factor * (1 - softmax_confidence(logits, labels, gamma=gamma)))
    return Inequality.of(torch.cat(lhs), torch.cat(rhs), slack=1e-12)


@claim(
    section="5.3",
    formula=r"\varphi_\gamma(f(x_i), y_i)"
    r" = \frac{\exp(f(x_i)_{y_i}/\gamma)}{\sum_{i=1}^k \exp(f(x_i)_j/\gamma)}",
    source="shen2021deep",
    assumes=("γ > 0.",),
    control=Control("the sum runs over the classes j", summed="classes"),
    uses=(softmax_confidence,),
    mutants=(Mutant("1/k whatever the logits", softmax_confidence, _uniform),),
    power=Scaled(softmax_confidence),
    loose="The printed sums are as far from one as from each other: no factor mends them.",
    expect=Verdict.REFUTED,
)
def printed_softmax_is_a_probability_vector(setting: Setting, /, *, summed: str = "examples") -> Evidence:
    """As printed, the softmax with margin scale γ sums over the index i of the examples; read so, the values
    of an example's labels would have to sum to one.

    The index is a misprint for j, and f(x_i)y_i, f(x_i)j are f(x_i)_{y_i}, f(x_i)_j. As many examples as
    classes, random logits: the printed quotient is summed over the labels of the first example.
    """
    trials, sums = setting.size(quick=200, full=2000), []
    for k in (2, 5):
        generator = setting.stream.child(k).torch()
        logits = torch.randn(trials, k, k, dtype=torch.float64, generator=generator)
        if summed == "examples":
            first = torch.zeros(trials, k, dtype=torch.long)
            parts = softmax_confidence(logits.mT, first, gamma=0.5)
        else:
            every = torch.arange(k).expand(trials, k)
            parts = softmax_confidence(logits[:, :1].expand(-1, k, -1), every, gamma=0.5)
        sums.append(parts.sum(-1))
    total = torch.cat(sums)
    return Identity.of(total, torch.ones_like(total), tolerance=1e-12)


@claim(
    section="5.3",
    formula=r"\Phi_{\gamma,n}(f,g) \le \Phi^{TV}_{\gamma,n}(f,g)"
    r" = \tfrac1n \sum_i \tfrac12 \lVert \varphi_\gamma(f(x_i)) - \varphi_\gamma(g(x_i)) \rVert_1",
    source="hsu2021generalization",
    assumes=("γ > 0.",),
    control=Control("a quarter of the ℓ1 distance is taken, not half", share=0.5),
    uses=(distillation_error, label_free_distillation_error, softmax_distance),
    mutants=(
        Mutant("the printed error doubled", distillation_error, _doubled),
        Mutant("the full ℓ1 norm", softmax_distance, _full_l1),
        Mutant("γ is forgotten", softmax_distance, _gamma_forgotten),
    ),
    power=Scaled(distillation_error),
    place="derived here",
)
def distillation_error_is_at_most_the_label_free_one(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """On the same points the printed distillation error is at most the label-free one, which tends to the
    share of disagreements as γ → 0 and vanishes like 1/γ as γ → ∞.

    Random pairs of predictors on 20 points, and a search over pairs on two points and three classes for a
    printed error above the other; with two classes the two are equal. For the limits the logits are
    permutations of 0, …, k−1, so that nothing is nearly tied.
    """
    trials = setting.size(quick=100, full=1000)
    printed, free, sharp, apart, flat, cap = [], [], [], [], [], []
    for trial in range(trials):
        k = 2 + trial % 4
        stream = setting.stream.child(trial)
        f, labels = _cases(stream.child("f"), 20, k)
        g, _ = _cases(stream.child("g"), 20, k)
        printed.append(distillation_error(f, g, labels, gamma=0.7))
        free.append(share * label_free_distillation_error(f, g, gamma=0.7))
        f, g = _permutations(stream.child("f"), 20, k), _permutations(stream.child("g"), 20, k)
        sharp.append(share * label_free_distillation_error(f, g, gamma=0.01))
        apart.append((f.argmax(-1) != g.argmax(-1)).double().mean())
        flat.append(label_free_distillation_error(f, g, gamma=1000.0))
        cap.append((f - g).abs().amax(-1).mean() / 2000)
    return Joint(
        parts={
            "printed ≤ label-free": Inequality.of(torch.stack(printed), torch.stack(free), slack=1e-12),
            "searched": _hardest_pair(setting, share),
            "γ → 0": Identity.of(torch.stack(sharp), torch.stack(apart), tolerance=1e-9),
            "γ → ∞": Inequality.of(torch.stack(flat), torch.stack(cap), slack=1e-12),
        }
    )


@claim(
    section="5.4",
    formula=r"1 - \varphi_\gamma(f)_y \le (1 - \varphi_\gamma(g)_y)"
    r" + \tfrac12 \lVert \varphi_\gamma(f) - \varphi_\gamma(g) \rVert_1",
    source="hsu2021generalization",
    assumes=("γ > 0.",),
    control=Control("a quarter of the ℓ1 distance is taken, not half", share=0.5),
    uses=(softmax_confidence, softmax_distance),
    mutants=(
        Mutant("the full ℓ1 norm", softmax_distance, _full_l1),
        Mutant("half the Euclidean distance", softmax_distance, _half_l2),
    ),
    power=Scaled(softmax_distance),
    place="derived here",
)
def teacher_inherits_the_students_margin_loss(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """At every point the softmax margin loss of f is at most that of g plus half the ℓ1 distance of their
    softened outputs, whatever the label; the constant cannot be improved.

    A search over pairs of logits tries to make (φ_γ(g)_y − φ_γ(f)_y) larger than the distance; it must come
    within 0.1 per cent of it, and may not exceed it.
    """
    attempts, worst = setting.size(quick=20, full=200), 0.0
    for k in (2, 4):
        starts = torch.randn(attempts, 2 * k, dtype=torch.float64, generator=setting.stream.child(k).torch())

        def ratio(points: Tensor, k: int = k) -> Tensor:
            f, g = points[:, :k], points[:, k:]
            labels = torch.zeros(len(points), dtype=torch.long)
            gain = softmax_confidence(g, labels, gamma=0.7) - softmax_confidence(f, labels, gamma=0.7)
            return gain / (share * softmax_distance(f, g, gamma=0.7)).clamp_min(1e-3)

        worst = max(worst, worst_case(ratio, starts, steps=60).ratio)
    return WorstRatio(attempts=2 * attempts, ratio=worst, must_reach=0.999)


def _hardest_pair(setting: Setting, share: float) -> Evidence:
    """The largest printed error over the label-free one, on two points."""
    attempts = setting.size(quick=10, full=100)
    generator = setting.stream.child("search").torch()
    labels = torch.tensor([0, 1])

    def ratio(pairs: Tensor) -> Tensor:
        f, g = pairs.view(-1, 2, 2, 3).unbind(1)
        rows = [
            distillation_error(one, other, labels, gamma=0.7)
            / (share * label_free_distillation_error(one, other, gamma=0.7)).clamp_min(1e-3)
            for one, other in zip(f, g, strict=True)
        ]
        return torch.stack(rows)

    starts = torch.randn(attempts, 12, dtype=torch.float64, generator=generator)
    found = worst_case(ratio, starts, steps=40)
    return WorstRatio(attempts=attempts, ratio=found.ratio, must_reach=0.999)


def _cases(stream: Stream, count: int, k: int) -> tuple[Tensor, Tensor]:
    """Logits, every second row of small whole numbers, and labels."""
    generator = stream.torch()
    logits = 2 * torch.randn(count, k, dtype=torch.float64, generator=generator)
    logits[::2] = logits[::2].round()
    return logits, torch.randint(k, (count,), generator=generator)


def _permutations(stream: Stream, count: int, k: int) -> Tensor:
    return torch.rand(count, k, generator=stream.torch()).argsort(-1).double()
