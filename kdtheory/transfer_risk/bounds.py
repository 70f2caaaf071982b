"""Bounds on the transfer risk R_n = P_x[sign z_s(x) ≠ sign z_*(x)], and its exact average.

φ the features of a kernel K, z_*(x) = φ(x)·Δw_* the oracle, z_s(x) = φ(x)·Δŵ the student of n points X,
Θ = K(X, X), k_x = K(X, x). ᾱ_n = ∠(Δŵ, Δw_*); P_n(x)² = K(x, x) − k_xᵀΘ⁻¹k_x is the *power function*, the
squared distance of φ(x) from the span of the features seen; ρ_n² = ‖Δw_*‖² − ‖Δŵ‖² what of the oracle is
unseen, where Δŵ is its projection (a perfect teacher). R_n and its bounds are shares of the points given, so
that they hold for every set of points.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_finite

__all__ = [
    "average_transfer_risk",
    "ji20_transfer_risk",
    "label_free_transfer_risk",
    "misjudging_probability",
    "power_function_transfer_risk",
    "transfer_risk",
]


@door
def transfer_risk(student: Float[Tensor, "*s m"], oracle: Float[Tensor, "*s m"], /) -> Float[Tensor, "*s"]:
    """R_n = P_x[sign z_s(x) ≠ sign z_*(x)], the share of the m points; zero has a sign of its own.

    Raises:
        ValueError: shapes differ, or a value is not finite.

    >>> transfer_risk(torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([2.0, 1.0, 0.1, 1.0]))
    tensor(0.2500)
    """
    _check(student, oracle)
    return _share(student.sign() != oracle.sign(), student)


@door
def ji20_transfer_risk(tail: Callable[[float], float], student_angle: float, /) -> float:
    """R_n ≤ p(π/2 − ᾱ_n) (Ji & Zhu, 2020): where signs differ, φ(x) is within ᾱ_n of orthogonal to Δw_*.

    By the triangle inequality of angles, for every draw and every student, perfect teacher or not. In high
    dimension most features are nearly orthogonal to Δw_*, p is close to 1, and the bound says nothing.

    Args:
        tail: p, a function of the angle in radians: an `AngleTail` of the points on which R_n is taken, its
            `upper` edge at some δ for the population behind them, or a tail that is known.
        student_angle: ᾱ_n = ∠(Δŵ, Δw_*) in radians, in [0, π].

    Raises:
        ValueError: the angle is outside [0, π].

    >>> from kdtheory.transfer_risk.angles import angle_tail
    >>> ji20_transfer_risk(angle_tail(torch.tensor([0.1, 0.2, 1.4, 1.5])), 0.3)
    0.5
    """
    if not 0 <= student_angle <= math.pi + 1e-6:
        raise ValueError(f"student_angle = {student_angle} must lie in [0, π]")
    return tail(max(0.0, math.pi / 2 - student_angle))


@door
def power_function_transfer_risk(
    student: Float[Tensor, "*s m"],
    oracle: Float[Tensor, "*s m"],
    power: Float[Tensor, "*s m"],
    residual_norm: Float[Tensor, "*s"],
    /,
    *,
    projection: Float[Tensor, "*s m"] | None = None,
) -> Float[Tensor, "*s"]:
    """R_n ≤ P_x[|z_s| + |z_*| ≤ P_n(x)ρ_n] ≤ p(π/2 − ᾱ_n), for a perfect teacher (derived here).

    z_* − z_s = (Δw_* − Δŵ)·φ(x), where the first factor has norm ρ_n and sees only the part of φ(x) outside
    the span, of norm P_n(x); where the signs differ it is |z_s| + |z_*|. The second inequality drops |z_s|
    and replaces P_n by ‖φ(x)‖. With an imperfect teacher z_* is within P_nρ_n of the perfect teacher's
    student instead, and the event is |z_*| + sign(z_s)·z_proj ≤ P_nρ_n, where z_s = 0 with either sign.

    Args:
        student: z_s on the points.
        oracle: z_* there.
        power: P_n there.
        residual_norm: ρ_n.
        projection: z_proj, the student of the oracle's own values, where that is not `student`.

    Raises:
        ValueError: shapes differ, a value is not finite, or P_n or ρ_n is negative.

    >>> z = torch.tensor([0.5, 2.0])
    >>> power_function_transfer_risk(z, z, torch.tensor([2.0, 2.0]), torch.tensor(1.0))
    tensor(0.5000)
    """
    _check(student, oracle)
    _check(student, power)
    check_finite("residual_norm", residual_norm)
    seen = student if projection is None else projection
    _check(student, seen)
    _check_lengths(power=power, residual_norm=residual_norm)
    student, oracle, seen, power = at_least_float32(student, oracle, seen, power)
    towards = torch.where(student == 0, -seen.abs(), student.sign() * seen)
    return _share(oracle.abs() + towards <= power * residual_norm[..., None], student)


@door
def label_free_transfer_risk(
    student: Float[Tensor, "*s m"],
    power: Float[Tensor, "*s m"],
    residual_norm: Float[Tensor, "*s"],
    /,
) -> Float[Tensor, "*s"]:
    """R_n ≤ P_x[|z_s| ≤ P_n(x)ρ_n], which needs the oracle's norm but none of its values (derived here).

    Not comparable with p(π/2 − ᾱ_n), never below the bound with |z_*| in it, and an upper bound on ‖Δw_*‖
    will do in ρ_n.

    Raises:
        ValueError: shapes differ, a value is not finite, or P_n or ρ_n is negative.

    >>> label_free_transfer_risk(torch.tensor([0.5, 2.0]), torch.ones(2), torch.tensor(1.0))
    tensor(0.5000)
    """
    _check(student, power)
    check_finite("residual_norm", residual_norm)
    _check_lengths(power=power, residual_norm=residual_norm)
    student, power = at_least_float32(student, power)
    return _share(student.abs() <= power * residual_norm[..., None], student)


@door
def average_transfer_risk(
    power: Float[Tensor, "*s m"], diagonal: Float[Tensor, "m"], /
) -> Float[Tensor, "*s"]:
    """E R_n = (1/π)·E_x ∠(φ(x), span φ(X)) = (1/π)·E_x arcsin(P_n(x)/√K(x, x)), exact (derived here).

    The mean is over oracles: Δw_* isotropic Gaussian on the features, z_* a Gaussian process with covariance
    K; the teacher is perfect. z_s and z_* are then jointly Gaussian with correlation cos ∠.

    Args:
        power: P_n(x).
        diagonal: K(x, x).

    Raises:
        ValueError: shapes differ, a value is not finite, P_n is negative, or K(x, x) is not positive.

    >>> average_transfer_risk(torch.tensor([1.0, 0.5]), torch.ones(2))  # (½ + ⅙)/2
    tensor(0.3333)
    """
    check_finite("power", power)
    check_finite("diagonal", diagonal)
    _check_lengths(power=power)
    power, diagonal = at_least_float32(power, diagonal)
    if not bool((diagonal > 0).all()):
        raise ValueError("diagonal must be K(x, x) > 0; drop points whose feature is zero")
    return (power / diagonal.sqrt()).clamp(0, 1).arcsin().mean(-1) / math.pi


@door
def misjudging_probability(
    student: Float[Tensor, "*s m"], power: Float[Tensor, "*s m"], /
) -> Float[Tensor, "*s m"]:
    """Φ(−|z_s(x)|/P_n(x)), the chance that a Gaussian oracle has the other sign at x, given the data.

    Given its values on X the process at x is Gaussian with mean z_s(x) and standard deviation P_n(x).

    Raises:
        ValueError: shapes differ, a value is not finite, or P_n is negative.

    >>> misjudging_probability(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 0.0]))
    tensor([0.5000, 0.1587, 0.0000])
    """
    _check(student, power)
    _check_lengths(power=power)
    student, power = at_least_float32(student, power)
    ratio = student.abs() / power.clamp_min(torch.finfo(power.dtype).tiny)  # 0 over 0 is 0: a coin
    # torch's own normal distribution function loses the digits of small tails.
    return torch.erfc(ratio / math.sqrt(2)) / 2


def _share(event: Tensor, like: Tensor) -> Tensor:
    share: Tensor = event.to(at_least_float32(like)[0].dtype).mean(-1)
    return share


def _check_lengths(**lengths: Tensor) -> None:
    """They are lengths: a bound of negative ones would be none."""
    for name, values in lengths.items():
        if float(least := values.detach().min()) < 0:
            raise ValueError(f"{name} goes down to {float(least):.3g}; give lengths, which are at least 0")


def _check(first: Tensor, second: Tensor) -> None:
    check_finite("student", first)
    check_finite("the other", second)
