"""Patch networks in the lazy (neural tangent kernel) regime, on orthogonal patches.

Linearised at the start, F_c(X) = F_c⁰(X) + ⟨∇F_c⁰(X), θ⟩, and gradient descent stays in the span of the
training points: F_c = F_c⁰ + K_c α_c with the tangent kernel of the class,
K_c(X, X′) = Σ_f x_f x′_f Σ_r a′(x_f u_{c,r,f}) a′(x′_f u_{c,r,f}) + 1[X = X′]·s² Σ_j a′(z_j)²
(constants derived here; classes share no parameters). Each member has its own random features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.doors import door
from kdtheory.multiview.limit import LimitPopulation, check_views
from kdtheory.networks.patches import smoothed_relu_slope
from kdtheory.problems.multi_view import Views
from kdtheory.validate import check_at_least, check_positive

__all__ = ["LazyPopulation", "tangent_kernel", "train_lazy"]


@door
@dataclass(frozen=True, eq=False)
class LazyPopulation:
    """Linearised networks, by their start and the coefficients of the training points.

    Args:
        start: the networks that were linearised.
        views: the training points.
        alpha: α, one number per member, training point and class.
        centred: whether F⁰ is taken off, F_c = K_c α_c. Without that, what the noise patches of a fresh point
            add to F⁰ is left out here, as in `LimitPopulation.logits`; at a large start it is not small.
    """

    start: LimitPopulation
    views: Views
    alpha: Float[Tensor, "members n k"]
    centred: bool = False

    def logits(self, coefficients: Float[Tensor, "t f"], /) -> Float[Tensor, "members t k"]:
        """The logits of fresh points, by their features."""
        kernel = tangent_kernel(self.start, coefficients, self.views.coefficients)
        learned = torch.einsum("mktn,mnk->mtk", kernel, self.alpha)
        return learned if self.centred else self.start.logits(coefficients) + learned

    def train_logits(self) -> Float[Tensor, "members n k"]:
        """The logits of the training points: features and memory."""
        memory = _memory_kernel(self.start).movedim(1, 2)
        logits = self.logits(self.views.coefficients) + memory.mT * self.alpha
        return logits if self.centred else logits + self.start.remembered()


@door
def tangent_kernel(
    start: LimitPopulation, rows: Float[Tensor, "t f"], columns: Float[Tensor, "n f"], /
) -> Float[Tensor, "members k t n"]:
    """K_c(X, X′) without the noise patches, which two different points do not share."""
    slope = partial(smoothed_relu_slope, power=start.network.power, threshold=start.network.threshold)
    total: Tensor = start.projections.new_zeros(())
    for feature in range(rows.shape[-1]):
        channels = start.projections[..., feature]
        left, right = (
            slope(channels[..., None, :] * points[:, feature, None]) * points[:, feature, None]
            for points in (rows.double(), columns.double())
        )
        total = total + left @ right.mT
    return total / start.average_of**2


def _memory_kernel(start: LimitPopulation) -> Float[Tensor, "members n k"]:
    network = start.network
    slopes = smoothed_relu_slope(start.memory, power=network.power, threshold=network.threshold)
    total: Tensor = start.noise_norm**2 * slopes.square().sum(-1) / start.average_of**2
    return total


@door
def train_lazy(
    start: LimitPopulation, views: Views, /, *, steps: int, relative_rate: float = 1.0, centred: bool = False
) -> LazyPopulation:
    """Full-batch gradient descent of the linearised networks on the cross-entropy of the labels.

    Args:
        start: where they are linearised; a start with a large `init_std` is the usual lazy regime.
        views: the training points that the start was made for.
        steps: of gradient descent.
        relative_rate: the step size times the largest eigenvalue of K/n; below 4 descent is sure, since the
            cross-entropy has curvature at most 1/2 in the logits.
        centred: whether the output of the start is taken off all logits, so that training begins at 0.

    Raises:
        ValueError: a number out of its range, other points than the start was made for, or a label that is no
            class.
    """
    check_at_least("steps", steps, 0)
    check_positive("relative_rate", relative_rate)
    check_views(start, views)
    kernel = tangent_kernel(start, views.coefficients, views.coefficients)
    kernel = kernel + torch.diag_embed(_memory_kernel(start).mT)
    first = torch.zeros_like(start.remembered()) if centred else start.train_logits(views)
    target = one_hot(views.labels.long(), start.network.num_classes).double()
    scale = relative_rate / torch.linalg.eigvalsh(kernel)[..., -1].amax(-1)
    alpha = torch.zeros_like(first)
    for _ in range(steps):
        logits = first + (kernel @ alpha.mT[..., None])[..., 0].mT
        alpha += scale[:, None, None] * (target - logits.softmax(-1))
    return LazyPopulation(start, views, alpha, centred)
