"""Self-distillation in a reproducing-kernel Hilbert space (Mobahi, Farajtabar & Bartlett 2020).

Round t fits the smoothest function to the outputs of the round before, up to a mean squared error ε:

    f_t = argmin ‖f‖ subject to (1/K) Σ_k ‖f(x_k) − y_{t−1,k}‖² ≤ ε,   y_t = f_t(x_1, …, x_K),

whose solution is f_t(x) = g_xᵀ(c_t I + G)⁻¹ y_{t−1}. Letters: G = VᵀDV the Gram matrix of K points,
d_min ≤ d_k ≤ d_max its eigenvalues, κ = d_max/d_min, z_t = V y_t, r_t = ‖y_t‖/√(Kε),
B_t = Π_{i≤t} D(c_i I + D)⁻¹. Targets may have several columns, one for each output; norms are then Frobenius
norms. The paper counts rounds from 0 and writes y_t for the targets of round t; here these are y_{t−1}.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from kdtheory.doors import door
from kdtheory.self_distillation._spectrum import check_eigenvalues, check_rows, eigenbasis
from kdtheory.types import at_least_float32, promoted, rounded_up
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = [
    "RoundsBeforeCollapse",
    "SelfDistillation",
    "effective_rank",
    "mobahi20_multiplier",
    "mobahi20_multiplier_bounds",
    "mobahi20_rounds",
    "mobahi20_rounds_before_collapse",
    "mobahi20_sparsity_growth",
]


_MOST = 1e100


@door
@dataclass(frozen=True, eq=False)
class SelfDistillation:
    """Rounds of self-distillation, as far as they were asked for or until they collapsed.

    Args:
        eigenvalues: d_1 ≤ … ≤ d_K of the Gram matrix.
        multipliers: c_1, …, c_T.
        outputs: y_0, …, y_T on the K points; y_0 are the targets given.
        shrinkage: the diagonals of B_1, …, B_T in the eigenbasis.
        coefficients: (c_T I + G)⁻¹ y_{T−1}, with which f_T(x) = g_xᵀ·coefficients; zeros where T = 0.
        collapsed: whether the next round would be f = 0: ‖y_T‖ ≤ √(Kε).
    """

    eigenvalues: Float[Tensor, "K"]
    multipliers: Float[Tensor, "T"]
    outputs: Float[Tensor, "_ K *outputs"]
    shrinkage: Float[Tensor, "T K"]
    coefficients: Float[Tensor, "K *outputs"]
    collapsed: bool

    @property
    def rounds(self) -> int:
        """T, how many rounds were made."""
        return len(self.multipliers)


@door
def mobahi20_rounds(
    kernel: Float[Tensor, "K K"], targets: Float[Tensor, "K *outputs"], /, *, error: float, rounds: int
) -> SelfDistillation:
    """y_t = Vᵀ B_t V y_0, B_t = Π_{i≤t} D(c_i I + D)⁻¹, c_t such that round t misses y_{t−1} by exactly ε.

    Mobahi, Farajtabar & Bartlett (2020). A round is possible as long as ‖y_{t−1}‖ > √(Kε); then f = 0 is
    near enough, and self-distillation has collapsed.

    Args:
        kernel: G, positive definite.
        targets: y_0.
        error: ε > 0, the mean squared error of every round (of all outputs together).
        rounds: at most this many.

    Raises:
        ValueError: the kernel is not symmetric positive definite, a target is missing or not finite, ε ≤ 0 or
            `rounds` < 0.

    >>> found = mobahi20_rounds(torch.eye(1, dtype=torch.float64), torch.tensor([3.0]).double(),
    ...                         error=1.0, rounds=9)
    >>> found.outputs[:, 0].round(decimals=9).tolist(), found.collapsed  # each round costs √ε
    ([3.0, 2.0, 1.0], True)
    """
    check_positive("error", error)
    check_at_least("rounds", rounds, 0)
    values, vectors = eigenbasis(kernel)
    check_eigenvalues(values, positive=True)
    check_rows("targets", targets, len(values))
    values, vectors, targets = promoted(values, vectors, *at_least_float32(targets))
    along = vectors.mT @ targets.reshape(len(values), -1)
    limit = math.sqrt(len(values) * error) * (1 + 4 * torch.finfo(values.dtype).eps)
    multipliers: list[float] = []
    shrinkage: list[Tensor] = []
    kept = previous = torch.ones_like(values)
    while len(multipliers) < rounds and _norm(kept, along) > limit:
        multiplier = mobahi20_multiplier(values, kept[:, None] * along, error=error)
        previous, kept = kept, kept * values / (multiplier + values)
        multipliers.append(multiplier)
        shrinkage.append(kept)
    factors = torch.stack([torch.ones_like(values), *shrinkage])
    last = previous / (multipliers[-1] + values) if multipliers else torch.zeros_like(values)
    return SelfDistillation(
        values,
        values.new_tensor(multipliers),
        (vectors @ (factors[..., None] * along)).reshape(len(factors), *targets.shape),
        factors[1:],
        (vectors @ (last[:, None] * along)).reshape(targets.shape),
        collapsed=_norm(kept, along) <= limit,
    )


@door
def mobahi20_multiplier(
    eigenvalues: Float[Tensor, "K"], coefficients: Float[Tensor, "K *outputs"], /, *, error: float
) -> float:
    """c > 0 with Σ_k (c/(c + d_k))²‖z_k‖² = Kε: the round that fits z to a mean squared error of exactly ε.

    The left side grows from 0 to ‖z‖² with c; Brent's method inside `mobahi20_multiplier_bounds`.

    Args:
        eigenvalues: d.
        coefficients: z = V y, the round's targets in the eigenbasis.
        error: ε > 0.

    Raises:
        ValueError: an eigenvalue is not positive, or ‖z‖ ≤ √(Kε), where f = 0 is near enough (c = ∞).

    >>> d, z = torch.tensor([1.0, 1.0]).double(), torch.tensor([3.0, 4.0]).double()
    >>> round(mobahi20_multiplier(d, z, error=0.5), 9)  # c·5/(c + 1) = 1
    0.25
    """
    check_rows("coefficients", coefficients, len(eigenvalues))
    eigenvalues, coefficients = (array.detach().cpu().double() for array in (eigenvalues, coefficients))
    norm = float(coefficients.norm())
    low, high = _bounds(eigenvalues, norm, error)
    values = eigenvalues.numpy()
    squares = coefficients.reshape(len(values), -1).square().sum(1).numpy()

    def excess(c: float) -> float:
        return float(math.sqrt(((c / (c + values)) ** 2 * squares).sum()) - math.sqrt(len(values) * error))

    # Where all eigenvalues are equal both ends are the root up to rounding, of which little is left of r − 1.
    spread = 1 + 1e-9 + 64 * sys.float_info.epsilon / (_ratio(eigenvalues, norm, error) - 1)
    low, high = low / spread, high * spread
    return float(optimize.brentq(excess, low, high, xtol=1e-300, rtol=1e-15))


@door
def mobahi20_multiplier_bounds(
    eigenvalues: Float[Tensor, "K"], /, *, norm: float, error: float
) -> tuple[float, float]:
    """d_min√(Kε)/(‖y‖−√(Kε)) ≤ c ≤ d_max√(Kε)/(‖y‖−√(Kε)), y the targets of the round: y_{t−1} for c_t.

    From c/(c + d_max)·‖y‖ ≤ √(Kε) ≤ c/(c + d_min)·‖y‖; both are attained where all eigenvalues are equal.

    Args:
        eigenvalues: d.
        norm: ‖y‖ > √(Kε).
        error: ε > 0.

    Raises:
        ValueError: an eigenvalue is not positive, ε ≤ 0, or ‖y‖ ≤ √(Kε).

    >>> mobahi20_multiplier_bounds(torch.tensor([1.0, 4.0]), norm=4.0, error=2.0)
    (1.0, 4.0)
    """
    return _bounds(eigenvalues, norm, error)


@dataclass(frozen=True)
@door  # of its methods: a wrong version of it may hold fractions
class RoundsBeforeCollapse:
    """Between how many rounds self-distillation collapses.

    Args:
        printed: ⌈(r_0 − 1)/κ⌉, at least as many rounds are possible: Mobahi, Farajtabar & Bartlett (2020).
        least: ⌈r_0 − 1⌉, a bound that needs no κ (derived here).
        most: min(⌈κ(r_0 − 1)⌉, ⌈r_0² − 1⌉), no more rounds are possible (derived here).
    """

    printed: int
    least: int
    most: int


@door
def mobahi20_rounds_before_collapse(
    eigenvalues: Float[Tensor, "K"], /, *, norm: float, error: float
) -> RoundsBeforeCollapse:
    """⌈(r_0 − 1)/κ⌉ ≤ ⌈r_0 − 1⌉ ≤ T ≤ min(⌈κ(r_0 − 1)⌉, ⌈r_0² − 1⌉) rounds, r_0 = ‖y_0‖/√(Kε).

    The first is Mobahi, Farajtabar & Bartlett (2020), by r_t ≥ r_{t−1} − κ. Derived here: a round moves the
    outputs by exactly √(Kε), so r_t ≥ r_{t−1} − 1 by the triangle inequality, whatever κ; with the lower
    bound on c, r_t ≤ r_{t−1} − 1/κ; and since y_t and y_{t−1} − y_t are both shrunk from y_{t−1}, they meet
    at no obtuse angle: r_t² ≤ r_{t−1}² − 1. Where κ = 1 all but the last are attained.

    Args:
        eigenvalues: d.
        norm: ‖y_0‖ > √(Kε).
        error: ε > 0.

    Raises:
        ValueError: an eigenvalue is not positive, ε ≤ 0, or ‖y_0‖ ≤ √(Kε).

    >>> mobahi20_rounds_before_collapse(torch.tensor([1.0, 2.0]), norm=10.0, error=2.0)  # r_0 = 5
    RoundsBeforeCollapse(printed=2, least=4, most=8)
    """
    ratio = _ratio(eigenvalues, norm, error)
    eigenvalues = eigenvalues.detach()
    kappa = float(eigenvalues.max()) / float(eigenvalues.min())
    return RoundsBeforeCollapse(
        max(1, rounded_up((ratio - 1) / kappa)),
        max(1, rounded_up(ratio - 1)),
        max(1, rounded_up(min(kappa * (ratio - 1), ratio**2 - 1))),
    )


@door
def mobahi20_sparsity_growth(
    eigenvalues: Float[Tensor, "K"], /, *, norm: float, error: float
) -> Float[Tensor, "K K"]:
    """g[j, k] with B_t[k,k]/B_t[j,j] ≥ g[j, k]^t for d_k ≥ d_j: the spectrum becomes sparser every round.

    g[j, k] = (r_0 − 1 + d_min/d_j)/(r_0 − 1 + d_min/d_k) ≥ 1. After Mobahi, Farajtabar & Bartlett (2020),
    constants derived here: one round multiplies the ratio by (1 + c/d_j)/(1 + c/d_k), which grows with c, and
    c_t ≥ d_min/(r_{t−1} − 1) ≥ d_min/(r_0 − 1). Says nothing (is 1) for d_j = d_k.

    Args:
        eigenvalues: d.
        norm: ‖y_0‖ > √(Kε).
        error: ε > 0.

    Raises:
        ValueError: an eigenvalue is not positive, ε ≤ 0, or ‖y_0‖ ≤ √(Kε).

    >>> mobahi20_sparsity_growth(torch.tensor([1.0, 2.0]), norm=4.0, error=2.0)[0]  # r_0 − 1 = 1
    tensor([1.0000, 1.3333])
    """
    ratio = _ratio(eigenvalues, norm, error)
    (eigenvalues,) = at_least_float32(eigenvalues)
    level = ratio - 1 + eigenvalues.min() / eigenvalues
    return level[:, None] / level


@door
def effective_rank(outputs: Float[Tensor, "*batch n k"], /) -> Float[Tensor, "*batch"]:
    """e^{−Σ p ln p}, p_i = s_i²/Σs² from the singular values s of the outputs: from 1 to min(n, k).

    After Roy & Vetterli (2007), who take s_i in place of s_i²: here a direction counts by its energy, as in
    the norm that self-distillation shrinks.

    Raises:
        ValueError: an entry is not finite, or all are zero.

    >>> effective_rank(torch.diag(torch.tensor([2.0, 2.0, 0.0]))).round(decimals=5)
    tensor(2.)
    """
    check_finite("outputs", outputs)
    values: Tensor = torch.linalg.svdvals(at_least_float32(outputs)[0])
    check_positive("the norm of the outputs", values[..., 0])
    energy = (values / values[..., :1]).square()  # the largest is 1: none that counts over- or underflows
    share = energy / energy.sum(-1, keepdim=True)
    rank: Tensor = (-torch.special.xlogy(share, share).sum(-1)).exp()
    return rank


def _norm(kept: Tensor, along: Tensor) -> float:
    return float((kept[:, None] * along).detach().norm())


def _bounds(eigenvalues: Tensor, norm: float, error: float) -> tuple[float, float]:
    ratio, eigenvalues = _ratio(eigenvalues, norm, error), eigenvalues.detach()
    return float(eigenvalues.min()) / (ratio - 1), float(eigenvalues.max()) / (ratio - 1)


def _ratio(eigenvalues: Tensor, norm: float, error: float) -> float:
    """‖y‖/√(Kε), which must exceed one."""
    check_eigenvalues(eigenvalues, positive=True)
    check_positive("error", error)
    check_positive("norm", norm)
    least = math.sqrt(len(eigenvalues) * error)
    ratio = norm / least
    if ratio <= 1:
        raise ValueError(f"norm = {norm:.6g} is at most √(Kε) = {least:.6g}: collapsed; take a smaller error")
    if ratio > _MOST:
        raise ValueError(f"norm = {norm:.6g} is {ratio:.0e} times √(Kε); take a larger error")
    return ratio
