"""The worlds that several experiments share; each is built once in a process, from fixed streams.

The truth must not depend on the seed of a run: five seeds are five experiments in one world.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from kdtheory.datasets import Images, load_images
from kdtheory.doors import remembered
from kdtheory.experiments.run import Run
from kdtheory.losses import label_loss, log_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld, GaussianMixture, gaussian_mixture, relabelled_images
from kdtheory.recipe import Recipe
from kdtheory.risk.empirical import distilled_losses
from kdtheory.streams import Stream

__all__ = [
    "Teacher",
    "bayes",
    "distilled_log_loss",
    "relabelled_world",
    "scrambled",
    "three_gaussians",
]

Teacher = Callable[[FiniteWorld], Tensor]
"""The probabilities that it gives to each image of a world."""
_ROOT = Stream(0).child("worlds")


def relabelled_world(run: Run, /, *, temperature: float = 3.0, most: int = 2000) -> FiniteWorld:
    """Real images whose labels are drawn from φ_T of a fixed net that was trained on their own labels.

    Args:
        run: says which images.
        temperature: T; the net is nearly certain at 1.
        most: of a larger set, this many images, drawn once and for all.
    """
    return _relabelled(run.data, temperature, most)


def bayes(world: FiniteWorld) -> Tensor:
    """p*(x) of each image."""
    return world.probs


def scrambled(world: FiniteWorld) -> Tensor:
    """p*(x) of another image."""
    return world.probs.roll(1, 0)


def three_gaussians() -> GaussianMixture:
    """Three round Gaussians in the plane that overlap: about one label in four is not the likeliest one."""
    angles = torch.arange(3, dtype=torch.float64) * (2 * torch.pi / 3)
    return gaussian_mixture(1.25 * torch.stack([angles.cos(), angles.sin()], -1), std=1.0)


def distilled_log_loss(logits: Tensor, teacher_probs: Tensor, _labels: Tensor | None) -> Tensor:
    """The objective of a student trained on a teacher's labels: the distilled risk of the log loss."""
    return distilled_losses(log_loss(logits), teacher_probs)


@remembered
def _relabelled(data: Path | None, temperature: float, most: int) -> FiniteWorld:
    images = _some(load_images(data), most)
    truth = train(
        MLP((images.dim, 32, images.num_classes)),
        images.inputs,
        images.labels,
        loss=label_loss,
        members=1,
        stream=_ROOT.child("truth"),
        recipe=Recipe(steps=300, learning_rate=0.01),
        device="cpu",
    )
    return relabelled_images(images, truth.logits(images.inputs)[0], temperature=temperature)


def _some(images: Images, most: int) -> Images:
    if images.num_images <= most:
        return images
    chosen = torch.randperm(images.num_images, generator=_ROOT.child("images").torch())[:most]
    return Images(images.inputs[chosen], images.labels[chosen], images.num_classes, images.name)
