"""The two multi-view worlds of the chapter, their networks, and what was fixed about training them.

The notes' binary world at n = 40, 96 channels, q = 6, ϱ = 0.2, two noise patches of norm 1.44, starts 0.01,
rate 16, 500 steps; six classes with feature noise (p = 0.3, weights 0.2, 0.3, 0.4) at n = 240, 24 channels,
q = 4, noise norm 1.9, starts 0.01, rate 6, 200 steps on labels and 500 of distillation. Steps are taken in
float32: which views a network ends with does not hang on the last digits, and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtheory.claims.evidence import Coverage
from kdtheory.multiview import (
    Comparison,
    ComparisonPlan,
    LimitPopulation,
    compare,
    limit_start,
    train_limit,
    views_held,
)
from kdtheory.networks import PatchNetwork
from kdtheory.problems import MultiViewWorld, Views
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

__all__ = [
    "BINARY",
    "CLASSES",
    "FIVE",
    "GENTLE",
    "LARGER",
    "Design",
    "Singles",
    "comparisons",
    "rarely",
    "replicated",
    "singles",
]


@dataclass(frozen=True)
class Design:
    """A world with the network and the recipe that show its mechanism."""

    world: MultiViewWorld
    channels: int
    power: int
    init_std: float
    plan: ComparisonPlan

    @property
    def network(self) -> PatchNetwork:
        """The architecture for this world."""
        world = self.world
        return PatchNetwork(
            world.classes,
            world.num_patches,
            world.patch_dim,
            channels=self.channels,
            power=self.power,
            init_std=self.init_std,
        )

    def in_world(self, **changes: object) -> Design:
        """The same with another world: μ, feature noise."""
        return replace(self, world=replace(self.world, **changes))  # type: ignore[arg-type]


BINARY = Design(
    MultiViewWorld(noise_patches=2, noise_norm=1.44),
    channels=96,
    power=6,
    init_std=0.01,
    plan=ComparisonPlan(
        n=40,
        recipe=Recipe(steps=500, learning_rate=16.0, optimizer="sgd", dtype=torch.float32),
        student_steps=1000,
    ),
)
"""The world as the notes print it."""

GENTLE = replace(
    BINARY,
    plan=replace(
        BINARY.plan, recipe=BINARY.plan.recipe.but(steps=800, learning_rate=8.0), student_steps=2000
    ),
)
"""The same at half the rate, where the winner does not overshoot."""

CLASSES = Design(
    MultiViewWorld(
        classes=6, noise_chance=0.3, noise_weights=(0.2, 0.3, 0.4), noise_patches=2, noise_norm=1.9
    ),
    channels=24,
    power=4,
    init_std=0.01,
    plan=ComparisonPlan(
        n=240,
        recipe=Recipe(steps=200, learning_rate=6.0, optimizer="sgd", dtype=torch.float32),
        student_steps=500,
    ),
)
"""Six classes with feature noise."""

LARGER = replace(CLASSES, plan=replace(CLASSES.plan, n=360)).in_world(noise_chance=0.5, noise_norm=1.95)
"""The same with more points and more feature noise, where students reach the ensemble."""

FIVE = Design(
    MultiViewWorld(
        classes=5, single_view=0.4, noise_chance=0.5, noise_weights=(0.4,), noise_patches=2, noise_norm=1.75
    ),
    channels=24,
    power=4,
    init_std=0.01,
    plan=ComparisonPlan(
        n=150,
        recipe=Recipe(steps=300, learning_rate=4.0, optimizer="sgd", dtype=torch.float32),
        student_steps=1200,
    ),
)
"""Five classes, two fifths of the points with one view: single networks err on one point in fifteen."""


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
    def accuracy(self) -> Tensor:
        """On the fresh points."""
        return accuracy(self.nets.logits(self.test.coefficients), self.test.labels)

    @property
    def train_accuracy(self) -> Tensor:
        """On the labels they were trained on."""
        return accuracy(self.nets.train_logits(self.points), self.points.labels)


def singles(
    design: Design, members: int, stream: Stream, /, *, average_of: int = 1, shuffled: bool = False
) -> Singles:
    """Networks of the binary design; those that are an average of N train at N times the rate."""
    points = design.world.stratified(design.plan.n, stream.child("train"))
    if shuffled:
        order = torch.randperm(len(points.labels), generator=stream.child("shuffle").torch())
        points = replace(points, labels=points.labels[order])
    start = limit_start(
        design.network,
        points,
        noise_norm=design.world.noise_norm,
        members=members,
        stream=stream.child("nets"),
        average_of=average_of,
    )
    recipe = design.plan.recipe
    nets = train_limit(
        start,
        points,
        recipe=recipe.but(learning_rate=recipe.learning_rate * average_of),
    )
    held = views_held(nets.projections, num_views=design.world.num_views, threshold=design.network.threshold)
    test = design.world.stratified(20, stream.child("test"))
    return Singles(start, nets, points, test, held)


def replicated(
    design: Design,
    stream: Stream,
    /,
    *,
    replicates: int,
    members: int,
    students: int,
    self_students: int | None = None,
) -> list[Comparison]:
    """Independent comparisons, each with a training set of its own."""
    return [
        compare(
            design.world,
            design.network,
            design.plan,
            members=members,
            students=students,
            self_students=self_students,
            stream=stream.child(replicate),
        )
        for replicate in range(replicates)
    ]


def comparisons(found: list[Comparison]) -> dict[str, Tensor]:
    """Accuracies, one entry a replicate; students as their mean."""
    return {
        "single": torch.stack([one.single_accuracy.mean() for one in found]),
        "ensemble": torch.tensor([one.ensemble_accuracy for one in found], dtype=torch.float64),
        "distilled": torch.stack([one.distilled_accuracy.mean() for one in found]),
        "self-distilled": torch.stack([one.self_distilled_accuracy.mean() for one in found]),
        "all views, single": torch.stack([one.single.held.all(-1).double().mean() for one in found]),
        "all views, distilled": torch.stack([one.distilled.held.all(-1).double().mean() for one in found]),
    }


def rarely(violated: Tensor, share: float) -> Coverage:
    """That violations are rarer than `share`, by the exact binomial test: also where there are none."""
    outcome = violated.flatten().double()
    if not len(outcome):  # nothing to judge is no evidence that violations are rare
        outcome = torch.ones(1, dtype=torch.float64)
    return Coverage.of(outcome, torch.full_like(outcome, 0.5), delta=share)
