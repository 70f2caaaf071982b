"""How the features of fresh points lie to the oracle: p(β) = P_x[ᾱ(φ(x), Δw_*) ≥ β], with its DKW band.

ᾱ(a, b) = arccos(|aᵀb|/‖a‖‖b‖) ∈ [0, π/2] is the acute angle. In the space of a kernel φ(x)ᵀΔw_* is the
oracle's value z_*(x) and ‖φ(x)‖² = K(x, x), so that no feature is ever formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special
from torch import Tensor

from kdtheory.doors import door
from kdtheory.transfer_risk.functions import KernelFunction
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_fraction, check_positive

__all__ = ["AngleTail", "acute_angles", "angle_tail", "dkw_width", "isotropic_angle_tail", "projection_angle"]


@door
@dataclass(frozen=True, eq=False)
class AngleTail:
    """p(β) = P_x[ᾱ(φ(x), Δw_*) ≥ β], as m points say it.

    Args:
        angles: the acute angles of the points, in radians, ascending.

    Raises:
        ValueError: there is none, one is outside [0, π/2] or NaN, or they do not ascend.

    >>> tail = angle_tail(torch.tensor([0.2, 1.0, 1.5, 1.5]))
    >>> tail(1.5), tail.upper(1.5, delta=math.exp(-8))  # radius √(8/(2·4)) = 1
    (0.5, 1.0)
    """

    angles: Float[Tensor, "m"]

    def __post_init__(self) -> None:
        _check_angles(self.angles)
        if bool((self.angles.diff() < 0).any()):
            raise ValueError("angles must ascend; `angle_tail` sorts them")

    def __call__(self, beta: float, /) -> float:
        """The share of the points whose angle is at least β, up to the rounding of an angle."""
        least = beta - 4 * torch.finfo(self.angles.dtype).eps
        below = torch.searchsorted(self.angles, self.angles.new_tensor(least), side="left")
        return (len(self.angles) - int(below)) / len(self.angles)

    def upper(self, beta: float, /, *, delta: float) -> float:
        """With probability ≥ 1 − δ over the points, p(β) is at most this at *every* β at once."""
        return min(1.0, self(beta) + dkw_width(len(self.angles), delta=delta))


@door
def angle_tail(angles: Float[Tensor, "m"], /) -> AngleTail:
    """The tail of acute angles, given one for each point.

    Raises:
        ValueError: there is none, or one is outside [0, π/2] or NaN.
    """
    return AngleTail(angles.sort().values)


@door
def acute_angles(oracle: KernelFunction, inputs: Float[Tensor, "m *shape"], /) -> Float[Tensor, "m"]:
    """ᾱ(φ(x), Δw_*) = arccos(|z_*(x)|/(√K(x, x)·‖Δw_*‖)) of each point, in radians.

    Raises:
        ValueError: the oracle or a feature is zero, so that there is no angle.

    >>> from kdtheory.transfer_risk.functions import linear_function
    >>> acute_angles(linear_function(torch.tensor([1.0, 0.0])), torch.tensor([[-1.0, 1.0]])) / torch.pi
    tensor([0.2500])
    """
    lengths = oracle.kernel.diagonal(inputs).sqrt() * oracle.squared_norm.sqrt()
    if not bool((lengths > 0).all()):
        raise ValueError("oracle or a point has a feature of norm zero, which has no angle; drop such points")
    return (oracle(inputs).abs() / lengths).clamp_max(1).arccos()


@door
def projection_angle(
    squared_norms: Float[Tensor, "*s"], oracle: Float[Tensor, ""], /
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """ᾱ_n and ρ_n with cos²ᾱ_n = ‖Δŵ_n‖²/‖Δw_*‖², ρ_n² = ‖Δw_*‖² − ‖Δŵ_n‖² = ‖Δw_*‖²sin²ᾱ_n.

    Valid where Δŵ_n is the projection of Δw_*, the student of a perfect teacher: ‖Δŵ_n‖² = zᵀΘ⁻¹z. Both are
    rounded up, by what the difference may have lost: a bound made of them stays one.

    Args:
        squared_norms: ‖Δŵ_n‖².
        oracle: ‖Δw_*‖².

    Raises:
        ValueError: a norm is not finite, the oracle is zero, or a projection is longer than it.

    >>> angle, rest = projection_angle(torch.tensor(0.5), torch.tensor(1.0))
    >>> angle / torch.pi, rest.square()
    (tensor(0.2500), tensor(0.5000))
    """
    check_finite("squared_norms", squared_norms)
    check_positive("oracle", oracle)
    epsilon = max(torch.finfo(squares.dtype).eps for squares in (squared_norms, oracle))
    if float((squared_norms / oracle).detach().max()) > 1 + 1e4 * epsilon:
        raise ValueError("squared_norms exceeds the oracle's: no projection is longer than what it projects")
    squared_norms, oracle = at_least_float32(squared_norms, oracle)
    rounding = 64 * epsilon * oracle
    unseen = ((oracle - squared_norms).clamp_min(0) + rounding).sqrt()
    return (unseen / oracle.sqrt()).clamp_max(1).arcsin(), unseen


@door
def dkw_width(points: int, /, *, delta: float) -> float:
    """√(ln(1/δ)/2m), so that P[sup_β (p(β) − p̂(β)) > width] ≤ δ (Dvoretzky, Kiefer, Wolfowitz; Massart 1990).

    One-sided, with Massart's constant one, which needs δ ≤ ½; above that δ counts as ½.

    Raises:
        ValueError: no point, or δ outside (0, 1).

    >>> dkw_width(200, delta=math.exp(-4))
    0.1
    """
    check_at_least("points", points, 1)
    check_fraction("delta", delta, open_interval=True)
    return math.sqrt(math.log(1 / min(delta, 0.5)) / (2 * points))


@door
def isotropic_angle_tail(beta: ArrayLike, /, *, dim: int) -> np.ndarray:
    """p(β) = I_{cos²β}(½, (d−1)/2) for directions uniform on the sphere in R^d, such as isotropic Gaussians.

    The squared cosine to any fixed direction has the Beta law with these parameters. In high dimension p is
    close to 1 until just below π/2.

    Raises:
        ValueError: d < 2, or an angle outside [0, π/2].

    >>> isotropic_angle_tail([0.0, math.pi / 4, math.pi / 2], dim=2).round(12).tolist()  # 1 − 2β/π
    [1.0, 0.5, 0.0]
    """
    check_at_least("dim", dim, 2)
    angles = np.asarray(beta, dtype=float)
    if not bool(((angles >= 0) & (angles <= np.pi / 2)).all()):
        raise ValueError("beta must lie in [0, π/2], the range of acute angles")
    return np.asarray(special.betainc(0.5, (dim - 1) / 2, np.cos(angles) ** 2))


def _check_angles(angles: Tensor) -> None:
    check_finite("angles", angles)
    if not bool(((angles >= 0) & (angles <= math.pi / 2 + 1e-6)).all()):
        raise ValueError(f"angles spans {float(angles.min()):.3g} to {float(angles.max()):.3g}; acute angles "
                         "lie in [0, π/2]")  # fmt: skip
