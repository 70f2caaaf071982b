"""The multi-view worlds of the chapter, their networks, and what was fixed about training them.

The notes' binary world at n = 40, 96 channels, q = 6, ϱ = 0.2, two noise patches of norm 1.44, starts 0.01,
rate 16, 500 steps; six classes with feature noise (p = 0.3, weights 0.2, 0.3, 0.4) at n = 240, 24 channels,
q = 4, noise norm 1.9, starts 0.01, rate 6, 200 steps on labels and 500 of distillation. Steps are taken in
float32: which views a network ends with does not depend on the last digits, and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from kdtheory.multiview import ComparisonPlan
from kdtheory.networks import PatchNetwork
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe

__all__ = ["BINARY", "CLASSES", "FIVE", "GENTLE", "LARGER", "NO_RACE", "Design"]


@dataclass(frozen=True, repr=False)
class Design:
    """A world with the network and the recipe that show its mechanism."""

    world: MultiViewWorld
    channels: int
    power: int
    init_std: float
    plan: ComparisonPlan

    def __repr__(self) -> str:
        world, plan = self.world, self.plan
        return (
            f"{world.classes} classes, μ = {world.single_view:g}, p = {world.noise_chance:g},"
            f" s = {world.noise_norm:g}, q = {self.power}, n = {plan.n}, rate {plan.recipe.learning_rate:g}"
        )

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
        """A copy with another world: μ, feature noise."""
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

NO_RACE = replace(
    BINARY,
    power=2,
    init_std=1e-4,
    plan=replace(BINARY.plan, recipe=BINARY.plan.recipe.but(steps=400, learning_rate=0.5)),
)
"""The design with a quadratic activation, under which all views are learned at once."""

GENTLE = replace(
    BINARY,
    plan=replace(
        BINARY.plan, recipe=BINARY.plan.recipe.but(steps=800, learning_rate=8.0), student_steps=2000
    ),
)
"""The design at half the rate, where the winner does not overshoot."""

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
"""The design with more points and more feature noise, where students reach the ensemble."""

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
