"""Multi-view data (Allen-Zhu & Li 2020): several features, any one of which tells the class.

Letters: k classes with V views each, F = kV orthonormal features, view v of class c being feature cV + v;
μ the share of single-view inputs; p and w the chance and the weight of a foreign feature (*feature noise*);
P′ noise patches of norm about s in R^d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.problems._draws import axes, check_inputs
from kdtheory.problems.world import World
from kdtheory.streams import Stream
from kdtheory.types import Sample
from kdtheory.validate import check_at_least, check_fraction, check_one_of, check_positive

__all__ = ["MultiViewWorld", "Views"]


@door
@dataclass(frozen=True)
class Views:
    """Multi-view points by their features, without the noise patches.

    Args:
        coefficients: the weight of every feature, F = kV numbers a point.
        labels: the classes.
        single: which points show one view of their class only.
    """

    coefficients: Float[Tensor, "*shape f"]
    labels: Int[Tensor, "*shape"]
    single: Bool[Tensor, "*shape"]


@door
@final
@dataclass(frozen=True)
class MultiViewWorld(World):
    """y uniform; own views at weight 1, all V or, with probability μ, one; foreign ones at w with chance p.

    An input has F + P′ patches in R^d, one after the other: patch f is the weight of feature f times v_f, the
    last P′ are noise N(0, s²/d·I). A foreign weight never passes for an own one, so p*(x) is one-hot and
    the Bayes error 0. The features are the first F axes, without loss of generality where noise and
    initialisation are isotropic, and a network that sums over patches does not see their fixed order.

    The defaults are the notes' binary world: (1, 1) with 0.8, (1, 0) and (0, 1) with 0.1 each, every feature
    of the other label at 0.1. Departures from the paper: a feature fills one patch, and an own view weighs
    exactly 1 (there a few patches whose weights sum to a constant); single-view inputs have the feature noise
    of the others.

    Args:
        classes: k.
        num_views: V.
        single_view: μ in [0, 1].
        noise_chance: p in [0, 1].
        noise_weights: the possible weights of a foreign feature, each in (0, 1), equally likely.
        noise_law: "each" view of each other class with chance p; or "one" view of each other class with
            chance p, as in the paper's toy example (there p = 1, w = 0.1).
        noise_patches: P′.
        noise_norm: s, the root mean square norm of a noise patch.
        patch_dim: d ≥ F.

    Raises:
        ValueError: a number out of its range, or d below the number of features.

    >>> world = MultiViewWorld(noise_patches=1, patch_dim=8)
    >>> world.dim, world.posterior(world.sample(3, Stream(0)).inputs).amax(-1).tolist()
    (40, [1.0, 1.0, 1.0])
    """

    classes: int = 2
    num_views: int = 2
    single_view: float = 0.2
    noise_chance: float = 1.0
    noise_weights: tuple[float, ...] = (0.1,)
    noise_law: str = "each"
    noise_patches: int = 2
    noise_norm: float = 1.44
    patch_dim: int = 1000

    def __post_init__(self) -> None:
        check_at_least("classes", self.classes, 2)
        check_at_least("num_views", self.num_views, 2)
        check_fraction("single_view", self.single_view)
        check_fraction("noise_chance", self.noise_chance)
        if not self.noise_weights:
            raise ValueError("noise_weights is empty; give at least one weight in (0, 1)")
        for weight in self.noise_weights:
            check_fraction("noise_weights", weight, open_interval=True)
        check_one_of("noise_law", self.noise_law, ("each", "one"))
        check_at_least("noise_patches", self.noise_patches, 1)
        check_positive("noise_norm", self.noise_norm)
        check_at_least("patch_dim", self.patch_dim, self.num_features)

    @property
    def num_classes(self) -> int:
        """k, the number of classes."""
        return self.classes

    @property
    def num_features(self) -> int:
        """F = kV, the number of features."""
        return self.classes * self.num_views

    @property
    def num_patches(self) -> int:
        """F + P′, the patches of an input."""
        return self.num_features + self.noise_patches

    @property
    def dim(self) -> int:
        """(F + P′)·d, the dimension of an input."""
        return self.num_patches * self.patch_dim

    def views(self, shape: int | tuple[int, ...], stream: Stream) -> Views:
        """Independent draws by their features; `sample` on the same stream shows the same ones.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """
        shape, generator = axes(shape), stream.child("views").torch()
        labels = torch.randint(self.classes, shape, generator=generator)
        single = torch.rand(shape, generator=generator) < self.single_view
        shown = torch.randint(self.num_views, shape, generator=generator)
        return self._shown(labels, single, shown, stream)

    def stratified(self, n: int, stream: Stream) -> Views:
        """n points with exact shares: n/k of each label, and among them μ/V that show only view v, each v.

        What a finite sample leaves to chance, the balance of labels and of views, is taken out: every view
        of every class has the same chance to be learned.

        Raises:
            ValueError: n, k, V and μ do not divide into whole numbers.
        """
        check_at_least("n", n, 1)
        alone = self.single_view * n / (self.classes * self.num_views)
        if n % self.classes or abs(alone - round(alone)) > 1e-9:
            raise ValueError(
                f"n = {n} does not split into {self.classes} labels with {alone:g} points of each lone view; "
                "take a multiple of k and of kV/μ"
            )
        place = torch.arange(n) // self.classes
        single = place < round(alone) * self.num_views
        return self._shown(torch.arange(n) % self.classes, single, place % self.num_views, stream)

    def _shown(self, labels: Tensor, single: Tensor, shown: Tensor, stream: Stream) -> Views:
        own = torch.nn.functional.one_hot(labels, self.classes)[..., None].bool()
        visible = torch.nn.functional.one_hot(shown, self.num_views)[..., None, :].bool()
        present = ~single[..., None, None] | visible
        noise = self._feature_noise(labels.shape, stream.child("feature noise"))
        weights = torch.where(own, present.double(), noise)
        return Views(weights.flatten(-2), labels, single)

    def _feature_noise(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        generator, grid = stream.torch(), (*shape, self.classes, self.num_views)
        weights = torch.tensor(self.noise_weights, dtype=torch.float64)
        drawn = weights[torch.randint(len(weights), grid, generator=generator)]
        chance = torch.rand(grid, generator=generator)
        if self.noise_law == "each":
            return drawn * (chance < self.noise_chance)
        first = chance.argmin(-1, keepdim=True) == torch.arange(self.num_views)
        return drawn * (first & (torch.rand(grid[:-1], generator=generator) < self.noise_chance)[..., None])

    def patches(self, views: Views, stream: Stream) -> Float[Tensor, "*shape dim"]:
        """The inputs of these points: features on their axes, fresh noise patches from `stream`, float64."""
        shape = views.labels.shape
        inputs = torch.zeros(*shape, self.num_patches, self.patch_dim, dtype=torch.float64)
        place = torch.arange(self.num_features)
        inputs[..., place, place] = views.coefficients
        size = (*shape, self.noise_patches, self.patch_dim)
        noise = torch.randn(size, dtype=torch.float64, generator=stream.child("patches").torch())
        inputs[..., self.num_features :, :] = noise * (self.noise_norm / self.patch_dim**0.5)
        return inputs.flatten(-2)

    def sample(self, shape: int | tuple[int, ...], stream: Stream) -> Sample:
        """Independent draws of (x, y), with p*(x) beside them.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """
        views = self.views(shape, stream)
        inputs = self.patches(views, stream)
        return Sample(inputs, views.labels, torch.nn.functional.one_hot(views.labels, self.classes).double())

    def posterior(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """p*(x), one-hot: the class that shows a view at weight 1.

        Raises:
            ValueError: the last axis is not `dim`, an entry is not finite, or no or several classes show one.
        """
        check_inputs(inputs, self.dim)
        place = torch.arange(self.num_features)
        patches = inputs.unflatten(-1, (self.num_patches, self.patch_dim))
        weights = patches[..., place, place].unflatten(-1, (self.classes, self.num_views))
        own = (weights > (1 + max(self.noise_weights)) / 2).any(-1)
        if not bool((own.sum(-1) == 1).all()):
            raise ValueError("inputs: a point shows a full view of no class, or of several; none such occurs")
        probs: Tensor = own.double()
        return probs
