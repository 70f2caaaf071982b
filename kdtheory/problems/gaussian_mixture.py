"""Gaussian mixtures with their exact Bayes posterior.

Letters: class c has components v with means μ_cv, covariances Σ_cv = L_cv L_cvᵀ and joint weights w_cv.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.problems._draws import axes, categorical_draws, check_inputs
from kdtheory.problems.world import World
from kdtheory.streams import Stream
from kdtheory.types import Sample
from kdtheory.validate import check_finite, check_positive, check_weights

__all__ = ["GaussianMixture", "gaussian_mixture"]


@door
@final
@dataclass(frozen=True, eq=False)
class GaussianMixture(World):
    """(c, v) has probability w_cv, x ~ N(μ_cv, Σ_cv), y = c; p*(x)_c ∝ Σ_v w_cv·N(x; μ_cv, Σ_cv).

    Every class has V components; give one it does not need the weight 0. Inputs are drawn in the dtype of
    `means`; densities and p* are computed in float64, through their logarithms, so that p* is right far from
    every mean too, at r standard deviations to about r²·10⁻¹⁶. `gaussian_mixture` builds one from
    standard deviations or shared covariances.

    Args:
        means: μ_cv.
        covariances: Σ_cv, symmetric and positive definite.
        weights: w_cv ≥ 0, of sum one over classes and components; kept in float64.

    Raises:
        ValueError: shapes that disagree, fewer than 2 classes, entries that are not finite, weights that are
            no probabilities, or a covariance that is not symmetric and positive definite.

    >>> world = gaussian_mixture(torch.tensor([[-1.0], [1.0]]), std=1.0)
    >>> [round(p, 4) for p in world.posterior(torch.tensor([0.5])).tolist()]  # σ(2x) = 1/(1 + e^{−1})
    [0.2689, 0.7311]
    """

    means: Float[Tensor, "k v d"]
    covariances: Float[Tensor, "_ _ d1 d2"]
    weights: Float[Tensor, "_ _"]

    def __post_init__(self) -> None:
        shape = tuple(self.means.shape)
        if len(shape) != 3 or shape[0] < 2 or 0 in shape:
            raise ValueError(f"means has shape {shape}; give [k v d] with k ≥ 2 classes of v ≥ 1 components")
        for name, tensor, expected in (
            ("covariances", self.covariances, (*shape, shape[-1])),
            ("weights", self.weights, shape[:2]),
        ):
            if tensor.shape != expected:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}; beside means of {shape} give {expected}"
                )
        check_finite("means", self.means)
        check_finite("covariances", self.covariances)
        check_weights("weights", self.weights.flatten())
        _check_positive_definite(self.covariances)
        weights = self.weights.to(torch.float64)
        object.__setattr__(self, "weights", weights / weights.sum())

    @property
    def num_classes(self) -> int:
        """k, the number of classes."""
        return self.means.shape[0]

    @property
    def dim(self) -> int:
        """d, the dimension of the inputs."""
        return self.means.shape[2]

    @cached_property
    def _factors(self) -> Float[Tensor, "k v d d"]:
        """L_cv, lower triangular, Σ_cv = L_cv L_cvᵀ, float64."""
        factors: Tensor = torch.linalg.cholesky(self.covariances.to(torch.float64))
        return factors

    def log_joint(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """ln(P(y = c)·density of x given y = c), each class c; logsumexp over c is the log density of x.

        Raises:
            ValueError: the last axis of `inputs` is not `dim`, or an entry is not finite.
        """
        check_inputs(inputs, self.dim)
        points = inputs.to(torch.float64).reshape(-1, self.dim)
        k, v, _ = self.means.shape
        classes = [
            torch.stack([self._log_component(points, c, j) for j in range(v)]).logsumexp(0) for c in range(k)
        ]
        return torch.stack(classes, -1).reshape(*inputs.shape[:-1], k)

    def posterior(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """p*(x) of each input, by Bayes' rule on log densities, float64.

        Raises:
            ValueError: the last axis of `inputs` is not `dim`, or an entry is not finite.
        """
        return self.log_joint(inputs).softmax(-1)

    def sample(self, shape: int | tuple[int, ...], stream: Stream) -> Sample:
        """Independent draws of (x, y), with p*(x) beside them; y is the class whose component gave x.

        Args:
            shape: how many, n or the axes (M, n).
            stream: where the randomness comes from.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """
        lengths = axes(shape)
        chosen = categorical_draws(self.weights.flatten(), lengths, stream.child("components"))
        generator = stream.child("inputs").torch()
        inputs = torch.randn((*lengths, self.dim), dtype=torch.float64, generator=generator)
        inputs = inputs.to(self.means.device)
        for component, (mean, factor) in enumerate(
            zip(self.means.to(torch.float64).flatten(0, 1), self._factors.flatten(0, 1), strict=True)
        ):
            here = chosen == component
            inputs[here] = mean + inputs[here] @ factor.T
        inputs = inputs.to(self.means.dtype)
        return Sample(inputs, chosen // self.means.shape[1], self.posterior(inputs))

    def _log_component(self, points: Float[Tensor, "n d"], c: int, v: int) -> Float[Tensor, "n"]:
        """ln w_cv N(x; μ_cv, Σ_cv); one component at a time, to hold [n d] numbers and no more."""
        factor = self._factors[c, v]
        whitened = torch.linalg.solve_triangular(factor, (points - self.means[c, v]).T, upper=False)
        log_norm = factor.diagonal().log().sum() + self.dim / 2 * math.log(2 * math.pi)
        density: Tensor = -log_norm - whitened.square().sum(0) / 2
        return self.weights[c, v].log() + density


@door
def gaussian_mixture(
    means: Float[Tensor, "..."],
    /,
    *,
    std: float | Tensor | None = None,
    covariance: Tensor | None = None,
    weights: Tensor | None = None,
) -> GaussianMixture:
    """A mixture from means [k d] (one Gaussian a class) or [k v d], round or with given covariances.

    Args:
        means: [k d] or [k v d].
        std: standard deviation of every coordinate (Σ = std²·I): one number, [k], or [k v].
        covariance: instead of `std`: one Σ [d d] for all, [k d d] for the classes, or [k v d d].
        weights: class weights [k], shared evenly by a class's components, or joint weights [k v]; uniform
            where None.

    Raises:
        ValueError: not exactly one of `std` and `covariance`, std ≤ 0, or as `GaussianMixture`.

    >>> world = gaussian_mixture(torch.eye(3), std=0.5, weights=torch.tensor([0.5, 0.25, 0.25]))
    >>> world.num_classes, world.dim, world.covariances[0, 0, 0].tolist()
    (3, 3, [0.25, 0.0, 0.0])
    """
    if (std is None) == (covariance is None):
        raise ValueError("std and covariance: give exactly one of the two")
    means = means[:, None] if means.ndim == 2 else means
    if means.ndim != 3 or means.numel() == 0:
        raise ValueError(f"means has shape {tuple(means.shape)}; give [k d] or [k v d]")
    k, v, d = means.shape
    if weights is None:
        weights = torch.full((k,), 1 / k, dtype=torch.float64)
    if weights.ndim == 1:
        weights = weights.to(torch.float64)[:, None].expand(-1, v) / v
    if covariance is None:
        spread = torch.as_tensor(std, dtype=torch.float64)
        check_positive("std", spread)
        covariance = spread.square()[..., None, None] * torch.eye(d, dtype=torch.float64)
    if covariance.ndim == 3:
        covariance = covariance[:, None]
    return GaussianMixture(means, _expanded(covariance, (k, v, d, d)), weights)


def _expanded(covariance: Tensor, shape: tuple[int, ...]) -> Tensor:
    try:
        return covariance.expand(shape)
    except RuntimeError as error:
        shown = tuple(covariance.shape)
        raise ValueError(f"std or covariance gives Σ of shape {shown}, which does not fit {shape}") from error


def _check_positive_definite(covariances: Float[Tensor, "k v d d"]) -> None:
    double = covariances.to(torch.float64)
    scale = double.diagonal(dim1=-2, dim2=-1).abs().amax(-1)
    skew = (double - double.mT).abs().amax((-2, -1))
    if bool((skew > 1e-6 * scale).any()):
        raise ValueError(f"covariances: one misses symmetry by {float(skew.max()):.3g}; give (Σ + Σᵀ)/2")
    failed = torch.linalg.cholesky_ex(double).info > 0
    if bool(failed.any()):
        c, v = failed.nonzero()[0].tolist()
        raise ValueError(f"covariances[{c}, {v}] is not positive definite; give eigenvalues greater than 0")
