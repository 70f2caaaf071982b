"""Plain networks on patches in R^d beside the orthogonal limit, from the same starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import label_loss
from kdtheory.multiview import limit_of, span_coordinates, train_limit
from kdtheory.networks import PatchNetwork
from kdtheory.populations import train
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

__all__ = ["distances_of_plain_networks_from_the_limit"]

STEPS, RATE = 60, 2.0


@experiment(tuned_on=(0, 100, 101, 102, 103, 104, 105))
def distances_of_plain_networks_from_the_limit(run: Run, /, *, common: float = 0.0) -> Rows:
    """The mean absolute difference in the training logits between networks trained by plain torch in R^d,
    d = 256, 1024 and 4096, and the element-wise limit from the same starts, over 24 training sets of the
    notes' world at n = 20 with two networks of 12 channels each: sixty steps, in which the first views are
    learned and memorising begins. All noise patches have a share `common` of their squared norm on one axis.
    """
    streams = [run.stream.child(replicate) for replicate in range(run.size(quick=24, full=96))]
    dims = (256, 1024, 4096)
    return Rows(dim=dims, distance=torch.stack([_distances(streams, dim, common) for dim in dims], 1))


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
