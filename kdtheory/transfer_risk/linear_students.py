"""Linear students of a linear teacher (Phuong & Lampert, 2019): where they end and how fast their risk falls.

x ∈ R^d, the teacher says σ(w_*·x), the student σ(w·x) is trained on n points by gradient descent from zero on
the cross-entropy with these soft labels. p(β) = P_x[ᾱ(x, w_*) ≥ β] is the tail of the acute angle to w_*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = ["phuong19_margin_rate", "phuong19_student", "phuong19_transfer_risk"]


@door
def phuong19_student(points: Float[Tensor, "n d"], oracle: Float[Tensor, "d"], /) -> Float[Tensor, "d"]:
    """ŵ = X(XᵀX)⁻¹Xᵀw_* (X is d × n), the projection of w_* on the points; w_* itself if they span R^d.

    Phuong & Lampert (2019), Theorem 1: the end of gradient descent from zero on soft labels, as the steps
    stay in the span of the points and the loss is least where ŵ·x_i = w_*·x_i. Hard labels have no such end.
    Points that depend on each other are no harm.

    Raises:
        ValueError: an entry is not finite, or the points have another dimension than w_*.

    >>> phuong19_student(torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]]), torch.tensor([1.0, -1.0, 5.0]))
    tensor([ 1., -1.,  0.])
    """
    check_finite("points", points)
    check_finite("oracle", oracle)
    if points.shape[-1:] != oracle.shape:
        raise ValueError(f"points has dimension {points.shape[-1]} and oracle {len(oracle)}; give the same")
    points, oracle = at_least_float32(points, oracle)
    oracle = oracle.to(points)
    _, values, basis = torch.linalg.svd(points, full_matrices=False)
    seen = values > max(points.shape) * torch.finfo(points.dtype).eps * values.max()
    spanning = basis[seen]
    projection: Tensor = spanning.mT @ (spanning @ oracle)
    return projection


@door
def phuong19_transfer_risk(
    tail: Callable[[float], float], /, *, n: int, betas: Sequence[float] | None = None
) -> tuple[float, float]:
    """E R_n ≤ p(β) + p(π/2 − β)ⁿ for every β in [0, π/2] (Phuong & Lampert, 2019, Theorem 3), at the best β.

    Either a fresh x has an angle of at least β, or all n points have one of at least π/2 − β; else some x_i,
    and so ŵ, is within π/2 − β of w_* and x within β: the signs agree. At β = π/2 it is 1
    where no x is orthogonal to w_*. It says nothing about isotropic Gaussians in high dimension, whose angles
    are all close to π/2.

    Args:
        tail: p, a function of the angle in radians.
        n: the number of points.
        betas: the β to choose from; 2,001 in [0, π/2] where not given. Any choice is a bound if p is the
            true tail; with an estimate take the upper edge of its band.

    Returns:
        The bound, and the β that gives it.

    Raises:
        ValueError: n < 1, or a β outside [0, π/2].

    >>> phuong19_transfer_risk(lambda angle: 1 - 2 * angle / math.pi, n=2, betas=[math.pi / 4])[0]  # ½ + ¼
    0.75
    """
    check_at_least("n", n, 1)
    grid = np.linspace(0, math.pi / 2, 2001) if betas is None else np.asarray(betas, dtype=float)
    check_at_least("the number of betas", grid.size, 1)
    if not bool(((grid >= 0) & (grid <= math.pi / 2)).all()):
        raise ValueError("betas must lie in [0, π/2]")
    bounds = [tail(float(beta)) + tail(math.pi / 2 - float(beta)) ** n for beta in grid]
    best = int(np.argmin(bounds))
    return float(bounds[best]), float(grid[best])


@door
def phuong19_margin_rate(n: int, /, *, exponent: float) -> float:
    """E R_n ≤ (1 + (ln n)^κ)/n^κ where p(θ) ≤ (1 − 2θ/π)^κ (Phuong & Lampert 2019; this form derived here).

    Theorem 3 at 1 − 2β/π = (ln n)/n: p(β) ≤ ((ln n)/n)^κ and p(π/2 − β)ⁿ ≤ (1 − (ln n)/n)^{κn} ≤ n^{−κ}.

    Args:
        n: the number of points.
        exponent: κ > 0; the larger, the fewer directions lie close to the teacher's boundary.

    Raises:
        ValueError: n < 1 or κ ≤ 0.

    >>> phuong19_margin_rate(1, exponent=2.0)
    1.0
    """
    check_at_least("n", n, 1)
    check_positive("exponent", exponent)
    return math.exp(-exponent * math.log(n)) + math.pow(math.log(n) / n, exponent)
