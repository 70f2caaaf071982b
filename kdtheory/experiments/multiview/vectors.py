"""Single networks, ensembles and students on Gaussian and Gaussian-like inputs, and on multi-view ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP, Architecture, PatchNetwork
from kdtheory.populations import Population, train
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

__all__ = [
    "LINEAR",
    "MIXTURE",
    "MULTI_VIEW",
    "RELU_NETWORK",
    "Law",
    "Points",
    "compared",
    "students_on_vectors",
]

DIM, SEEN, FRESH, MEMBERS, STUDENTS = 10, 1000, 10_000, 6, 3
NETWORK = MLP((DIM, 32, 2))
PATCHES = MultiViewWorld(single_view=0.4, noise_patches=1, noise_norm=1.0, patch_dim=14)


@dataclass(frozen=True, eq=False)
class Points:
    """Training points with their labels, and fresh ones with theirs."""

    seen: Tensor
    labels: Tensor
    fresh: Tensor
    right: Tensor


@dataclass(frozen=True)
class Law:
    """Where points come from, the networks that read them, and how these are trained.

    Args:
        points: draws one training set with fresh points.
        network: that reads them.
        steps: of full-batch descent.
        learning_rate: of each.
        optimizer: "adam" or "sgd".
        sets: training sets over which one draw is a mean.
    """

    points: Callable[[Stream], Points]
    network: Architecture = NETWORK
    steps: int = 75
    learning_rate: float = 0.02
    optimizer: str = "adam"
    sets: int = 1


def _normal(stream: Stream) -> Tensor:
    return torch.randn(SEEN + FRESH, DIM, dtype=torch.float64, generator=stream.torch())


def _split(inputs: Tensor, labels: Tensor) -> Points:
    return Points(inputs[:SEEN].float(), labels[:SEEN], inputs[SEEN:].float(), labels[SEEN:])


def by_a_linear_rule(stream: Stream) -> Points:
    """Gaussian inputs, labelled by sign ⟨w, x⟩."""
    inputs = _normal(stream.child("inputs"))
    weight = torch.randn(DIM, dtype=torch.float64, generator=stream.child("rule").torch())
    return _split(inputs, (inputs @ weight > 0).long())


def by_a_relu_network(stream: Stream) -> Points:
    """Gaussian inputs, above or below the median of a random ReLU network with eight units."""
    inputs, generator = _normal(stream.child("inputs")), stream.child("rule").torch()
    first = torch.randn(DIM, 8, dtype=torch.float64, generator=generator)
    second = torch.randn(8, dtype=torch.float64, generator=generator)
    score = (inputs @ first).clamp_min(0) @ second
    return _split(inputs, (score > score.median()).long())


def by_part_of_a_mixture(stream: Stream) -> Points:
    """Two Gaussians for each of two labels, around random means."""
    inputs, generator = _normal(stream.child("inputs")), stream.child("rule").torch()
    labels, part = torch.randint(2, (2, len(inputs)), generator=generator)
    means = torch.randn(2, 2, DIM, dtype=torch.float64, generator=generator)
    return _split(inputs + means[labels, part], labels)


def by_views(stream: Stream) -> Points:
    """The notes' binary world at n = 10, with one noise patch on an axis of its own for every training point.

    Fresh points have the exact shares of the world. Their noise patches are orthogonal to all that was seen,
    and are left out.
    """
    seen, fresh = (PATCHES.stratified(10, stream.child(name)) for name in ("seen", "fresh"))
    features, place = PATCHES.num_features, torch.arange(PATCHES.num_features)
    inputs = torch.zeros(2, 10, features + 1, PATCHES.patch_dim)
    for shown, views in zip(inputs, (seen, fresh), strict=True):
        shown[:, place, place] = views.coefficients.float()
    inputs[0, :, features, features:] = PATCHES.noise_norm * torch.eye(10)
    first, second = inputs.flatten(-2)
    return Points(first, seen.labels, second, fresh.labels)


LINEAR, RELU_NETWORK, MIXTURE = map(Law, (by_a_linear_rule, by_a_relu_network, by_part_of_a_mixture))
MULTI_VIEW = Law(
    by_views,
    PatchNetwork(2, PATCHES.num_patches, PATCHES.patch_dim, channels=12, power=6, init_std=0.03),
    steps=150,
    learning_rate=24.0,
    optimizer="sgd",
    sets=3,
)


@experiment(tuned_on=(0, 1, 5))
def students_on_vectors(run: Run, /, *, law: Law = LINEAR) -> Rows:
    """12 draws of 1000 training points in R^10: six networks of 32 units, their ensemble, three students
    of it and three of one network each, at T = 4 without labels; mean accuracies on 10,000 fresh points. On
    multi-view inputs networks of patches, 36 sets of ten training points, three a draw.
    """
    return Rows(**compared(law, run.stream, draws=run.size(quick=12, full=40), device=run.device))


def compared(law: Law, stream: Stream, /, *, draws: int, device: str = "cpu") -> dict[str, Tensor]:
    """Accuracies of single networks, their ensemble, and students of it and of one network, for each draw."""
    sets = [law.points(stream.child("points", place)) for place in range(draws * law.sets)]
    single = _trained(law, sets, None, MEMBERS, stream.child("single"), device)
    teachers = torch.stack([nets.logits(one.seen) for nets, one in zip(single, sets, strict=True)])
    means = teachers.mean(1, keepdim=True).expand(-1, STUDENTS, -1, -1)
    distilled = _trained(law, sets, means, STUDENTS, stream.child("distilled"), device)
    alone = _trained(law, sets, teachers[:, :STUDENTS], STUDENTS, stream.child("self-distilled"), device)
    logits, others, own = (
        [nets.logits(one.fresh).cpu() for nets, one in zip(part, sets, strict=True)]
        for part in (single, distilled, alone)
    )
    right = [one.right for one in sets]
    return {
        name: torch.stack(
            [accuracy(one, labels).mean() for one, labels in zip(part, right, strict=True)]
        ).unflatten(0, (draws, -1)).mean(1)
        for name, part in (
            ("single", logits),
            ("ensemble", [one.mean(0) for one in logits]),
            ("distilled", others),
            ("self_distilled", own),
        )
    }  # fmt: skip


def _trained(
    law: Law, sets: list[Points], teachers: Tensor | None, count: int, stream: Stream, device: str
) -> list[Population]:
    """`count` networks on each training set, of all sets trained as one population."""
    inputs, labels = (
        torch.stack(part).repeat_interleave(count, 0)
        for part in zip(*((one.seen, one.labels) for one in sets), strict=True)
    )
    nets = train(
        law.network,
        inputs,
        labels,
        teacher_probs=None if teachers is None else teachers.softmax(-1).flatten(0, 1),
        loss=label_loss if teachers is None else distillation,
        settings={} if teachers is None else {"temperature": 4.0},
        members=len(inputs),
        stream=stream,
        recipe=Recipe(steps=law.steps, learning_rate=law.learning_rate, optimizer=law.optimizer),
        device=device,
    )
    groups = (part.split(count) for part in (nets.params, nets.last_loss, nets.gradient_norm))
    return [
        replace(nets, params=params, last_loss=loss, gradient_norm=norm)
        for params, loss, norm in zip(*groups, strict=True)
    ]
