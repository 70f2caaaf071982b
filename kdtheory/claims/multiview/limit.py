"""Chapter 7, the two spaces: plain networks on patches in R^d come to the orthogonal limit as d grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Rate
from kdtheory.losses import label_loss
from kdtheory.multiview import LimitPopulation, limit_of, span_coordinates, train_limit
from kdtheory.networks import PatchNetwork
from kdtheory.populations import train
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

STEPS, RATE = 60, 2.0


def _other_rate(
    start: LimitPopulation, *points: object, _true: Callable[..., LimitPopulation] = train_limit, **kw: Any
) -> LimitPopulation:
    return _true(
        start, *points, **{**kw, "recipe": kw["recipe"].but(learning_rate=2 * kw["recipe"].learning_rate)}
    )


def _norm_not_squared(
    *where: object, noise_norm: float, _true: Callable[..., LimitPopulation] = limit_of
) -> LimitPopulation:
    return _true(*where, noise_norm=noise_norm**0.5)


@claim(
    section="7.1",
    formula=r"\mathbb E\,\lvert F_d - F_\infty\rvert = O(d^{-1/2})",
    source="allenzhu2020towards",
    assumes=("Features and noise patches are drawn as the world says: isotropic Gaussian noise.",),
    control=Control("all noise patches share a direction", common=0.5),
    uses=(train_limit, limit_of),
    mutants=(
        Mutant("s for s²", limit_of, _norm_not_squared),
        Mutant("twice the rate", train_limit, _other_rate),
    ),
    tuned_on=(100, 101, 102, 103, 104, 105),
    loose="an exponent: what would be noticed is a distance that does not fall, as of a limit with s for s²",
    cost=6,
)
def plain_networks_come_to_the_orthogonal_limit(setting: Setting, /, *, common: float = 0.0) -> Evidence:
    """Networks trained by plain torch on Gaussian patches in R^d and the element-wise limit from the same
    starts differ in their training logits by an amount that falls like d^{−1/2}.

    d = 256, 1024, 4096; the notes' world at n = 20, 12 channels, sixty steps, in which the first views
    are learned and memorising begins; the mean absolute difference, one slope for each training set, at most
    −1/2 + 0.15.
    """
    replicates, dims = setting.size(quick=40, full=96), (256, 1024, 4096)
    streams = [setting.stream.child(replicate) for replicate in range(replicates)]
    table = torch.stack([_distances(streams, dim, common) for dim in dims], 1)
    notes = {f"d = {dim}": float(mean) for dim, mean in zip(dims, table.mean(0), strict=True)}
    return Rate.of(torch.tensor(dims), table, expected=-0.5, margin=0.15, one_sided=True, notes=notes)


def _distances(streams: Sequence[Stream], dim: int, common: float) -> Tensor:
    """The mean |F_d − F_∞| over two networks, the training points and the classes, for each training set.

    The patches are given by their coordinates in their span, which descent does not leave: what a network
    sees of an isotropic start has the same law there. The plain networks are one population.
    """
    world = MultiViewWorld(noise_norm=1.8, patch_dim=dim)
    sets, starts, limits = [], [], []
    for stream in streams:
        views = world.stratified(20, stream.child("views"))
        patches = _aligned(world, world.patches(views, stream.child("patches", dim)), common)
        inputs, _ = span_coordinates(world, patches, patches[:0])
        short = inputs.shape[-1] // world.num_patches
        network = PatchNetwork(2, world.num_patches, short, channels=12, power=4, init_std=0.05)
        params = network.init(stream.child("init", dim), members=2, dtype=torch.float64)
        start = limit_of(network, params, inputs, views, noise_norm=world.noise_norm)
        limits.append(
            train_limit(
                start, views, recipe=Recipe(steps=STEPS, learning_rate=RATE, optimizer="sgd")
            ).train_logits(views)
        )
        sets += [(inputs, views.labels)] * 2
        starts.append(params)
    points, labels = (torch.stack(part) for part in zip(*sets, strict=True))
    nets = train(
        network,
        points,
        labels,
        loss=label_loss,
        members=len(points),
        stream=streams[0],
        recipe=Recipe(steps=STEPS, learning_rate=RATE, optimizer="sgd"),
        initial=torch.cat(starts),
        device="cpu",
    )
    gap = nets.logits(points).double() - torch.cat(limits)
    means: Tensor = gap.abs().flatten(1).mean(1).unflatten(0, (-1, 2)).mean(1)
    return means


def _aligned(world: MultiViewWorld, inputs: Tensor, common: float) -> Tensor:
    """A share of the squared norm of every noise patch put on one axis that they all share."""
    patches = inputs.unflatten(-1, (world.num_patches, world.patch_dim)).clone()
    noise = patches[:, world.num_features :] * (1 - common) ** 0.5
    noise[..., -1] += common**0.5 * world.noise_norm
    patches[:, world.num_features :] = noise
    shared: Tensor = patches.flatten(-2)
    return shared
