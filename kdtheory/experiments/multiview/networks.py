"""Networks on the labels of multi-view points, in the orthogonal limit: alone, averaged, linearised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.multiview.designs import BINARY, Design
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.multiview import (
    LazyPopulation,
    LimitPopulation,
    first_view,
    limit_start,
    missed_share,
    missed_view_probability,
    train_lazy,
    train_limit,
    views_held,
)
from kdtheory.problems import Views
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

__all__ = [
    "Singles",
    "averages_of_four_networks",
    "ensembles_of_eight_networks",
    "learning_features",
    "linearised",
    "networks_in_two_regimes",
    "networks_on_shuffled_labels",
    "networks_on_the_labels",
    "shuffled",
    "singles",
    "their_own",
]

MEMBERS, AVERAGED, ENSEMBLE, BATCH = 768, 4, 8, 32
Nets = LimitPopulation | LazyPopulation


@dataclass(frozen=True, eq=False)
class Singles:
    """Networks trained on the labels of one stratified sample.

    Args:
        start: before training.
        nets: after it.
        points: the training points, with the labels they were trained on.
        test: 20 points with the exact shares of the binary world, so that accuracies on them are exact.
        held: the views that each holds.
    """

    start: LimitPopulation
    nets: LimitPopulation
    points: Views
    test: Views
    held: Tensor

    @property
    def logits(self) -> Tensor:
        """Logits on the fresh points."""
        return self.nets.logits(self.test.coefficients)

    @property
    def accuracy(self) -> Tensor:
        """On the fresh points."""
        return accuracy(self.logits, self.test.labels)


def their_own(labels: Tensor, stream: Stream) -> Tensor:
    """The labels as they are."""
    return labels


def shuffled(labels: Tensor, stream: Stream) -> Tensor:
    """The labels in a random order."""
    return labels[torch.randperm(len(labels), generator=stream.torch())]


def singles(
    design: Design,
    members: int,
    stream: Stream,
    /,
    *,
    average_of: int = 1,
    labels: Callable[[Tensor, Stream], Tensor] = their_own,
) -> Singles:
    """Networks of the binary design; those that are an average of N train at N times the rate."""
    points = design.world.stratified(design.plan.n, stream.child("train"))
    points = replace(points, labels=labels(points.labels, stream.child("shuffle")))
    start = _start(design, points, members, stream, average_of=average_of)
    recipe = design.plan.recipe
    rate = recipe.learning_rate * average_of
    nets = train_limit(start, points, recipe=recipe.but(learning_rate=rate))
    held = views_held(nets.projections, num_views=design.world.num_views, threshold=design.network.threshold)
    return Singles(start, nets, points, design.world.stratified(20, stream.child("test")), held)


def _start(
    design: Design, points: Views, members: int, stream: Stream, *, average_of: int = 1
) -> LimitPopulation:
    return limit_start(
        design.network,
        points,
        noise_norm=design.world.noise_norm,
        members=members,
        stream=stream.child("nets"),
        average_of=average_of,
    )


@experiment(tuned_on=(0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105, 294726, 552239, 961687))
def networks_on_the_labels(
    run: Run, /, *, design: Design = BINARY, members: int = MEMBERS, average_of: int = 1
) -> Rows:
    """Networks from independent starts on one stratified sample in the orthogonal limit, each an average of
    `average_of` that are trained as one (at as many times the rate, since each sees that share of the
    gradient): accuracy on the training points and on fresh ones with the exact shares of the world, which
    views they hold, and which was ahead at the start.
    """
    found = singles(design, run.size(quick=members, full=8 * members), run.stream, average_of=average_of)
    return Rows(
        accuracy=found.accuracy,
        train_accuracy=accuracy(found.nets.train_logits(found.points), found.points.labels),
        held=found.held,
        ahead=first_view(found.start.projections, num_views=design.world.num_views),
        logits=found.logits,
        labels=found.test.labels,
    )


@experiment
def ensembles_of_eight_networks(
    run: Run, /, *, design: Design = BINARY, holding: tuple[int, ...] = (1,)
) -> Rows:
    """768 networks in 96 ensembles of 8, the mean of whose logits is taken; and, of each 32 networks, the
    share of all pairs and triples that miss a view of a label, counting those that hold as many of its views
    as `holding` says.
    """
    found = networks_on_the_labels.given(design=design).rows(run)
    logits = found.logits.unflatten(0, (-1, ENSEMBLE)).mean(1)
    sizes = (2, 3)
    return Rows(
        single=found.accuracy.unflatten(0, (-1, ENSEMBLE)).mean(-1),
        ensemble=accuracy(logits, found.labels),
        size=sizes,
        missed=torch.stack([_missed(found.held.unflatten(0, (-1, BATCH)), n, holding) for n in sizes]),
        closed=torch.tensor([missed_view_probability(n) for n in sizes], dtype=torch.float64),
    )


def _missed(held: Tensor, size: int, holding: tuple[int, ...]) -> Tensor:
    """The share of ensembles that miss a view, one entry a batch: the mean over its labels."""
    rows = []
    for batch in held:
        counted = torch.isin(batch.sum(-1), torch.tensor(holding))
        labels = [missed_share(batch[counted[:, c], c][:, None], size=size) for c in range(batch.shape[1])]
        rows.append(torch.cat(labels).mean())
    return torch.stack(rows)


@experiment
def averages_of_four_networks(run: Run, /, *, together: int = AVERAGED) -> Rows:
    """192 averages of the logits of four networks of the notes' world, of which `together` are trained as
    one: accuracy on fresh points.
    """
    found = networks_on_the_labels.given(members=MEMBERS // together, average_of=together).rows(run)
    logits = found.logits.unflatten(0, (-1, AVERAGED // together)).mean(1)
    return Rows(accuracy=accuracy(logits, found.labels))


@experiment
def networks_on_shuffled_labels(
    run: Run, /, *, labels: Callable[[Tensor, Stream], Tensor] = shuffled
) -> Rows:
    """Two networks of the notes' world on each of 200 training sets of their own: mean accuracy on fresh
    points, and that of the mean of their logits.
    """
    single, ensemble = [], []
    for replicate in range(run.size(quick=200, full=800)):
        found = singles(BINARY, 2, run.stream.child(replicate), labels=labels)
        single.append(found.accuracy.mean())
        ensemble.append(accuracy(found.logits.mean(0), found.test.labels))
    return Rows(single=torch.stack(single), ensemble=torch.stack(ensemble))


def linearised(start: LimitPopulation, points: Views) -> Nets:
    """Trained in the tangent-kernel regime, minus the output of the start."""
    return train_lazy(start, points, steps=1000, centred=True)


def learning_features(start: LimitPopulation, points: Views) -> Nets:
    """Trained by the recipe of the notes' world."""
    recipe = BINARY.plan.recipe
    rate = recipe.learning_rate
    return train_limit(start, points, recipe=recipe.but(learning_rate=rate))


@experiment
def networks_in_two_regimes(
    run: Run,
    /,
    *,
    trained: Callable[[LimitPopulation, Views], Nets] = linearised,
    init_std: float = 0.3,
) -> Rows:
    """128 networks of the notes' world, from starts of this size and trained so: accuracy on fresh points."""
    design, members = replace(BINARY, init_std=init_std), run.size(quick=128, full=800)
    points = design.world.stratified(design.plan.n, run.stream.child("train"))
    test = design.world.stratified(20, run.stream.child("test"))
    nets = trained(_start(design, points, members, run.stream), points)
    return Rows(accuracy=accuracy(nets.logits(test.coefficients), test.labels))
