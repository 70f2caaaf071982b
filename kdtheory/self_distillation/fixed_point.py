"""Self-distillation that keeps some of the labels: rounds on mixed targets, and where they end.

    y_t = A(αy + (1−α)y_{t−1}),  A = K(K + λI)⁻¹,  y_0 = y

(Borup & Andersen 2021; λ is the penalty of Σ‖f(x_i) − y_i‖² + λ‖f‖², K the kernel matrix). Along an
eigenvector of eigenvalue d a round multiplies the distance from the limit by (1−α)d/(d + λ).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.self_distillation._spectrum import check_rows, eigenbasis
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import check_at_least, check_fraction, check_positive

__all__ = ["borup21_contraction", "borup21_fixed_point", "borup21_rounds", "kernel_ridge"]


@door
def kernel_ridge(
    kernel: Float[Tensor, "n n"], targets: Float[Tensor, "n *outputs"], /, *, penalty: float
) -> Float[Tensor, "n *outputs"]:
    """K(K + λI)⁻¹y, the outputs of kernel ridge regression on its own points.

    Raises:
        ValueError: λ ≤ 0, the kernel is not symmetric positive semi-definite, or the targets do not fit.

    >>> kernel_ridge(torch.eye(2), torch.tensor([2.0, 4.0]), penalty=1.0)
    tensor([1., 2.])
    """
    check_positive("penalty", penalty)
    return _filtered(kernel, targets, lambda d: d / (d + penalty))


@door
def borup21_rounds(
    kernel: Float[Tensor, "n n"],
    targets: Float[Tensor, "n *outputs"],
    /,
    *,
    penalty: float,
    alpha: float,
    rounds: int,
) -> Float[Tensor, "_ n *outputs"]:
    """y_0, …, y_T in closed form: y_t = y_∞ + ((1−α)A)ᵗ(y − y_∞).

    Borup & Andersen (2021).

    Args:
        kernel: K.
        targets: y, with one column for each output, or none.
        penalty: λ > 0.
        alpha: α ∈ [0, 1], the weight of the labels; 0 is pure self-distillation.
        rounds: T.

    Raises:
        ValueError: a setting is out of its range, or kernel or targets are unusable.

    >>> borup21_rounds(torch.eye(1), torch.tensor([1.0]), penalty=1.0, alpha=0.5, rounds=2)[:, 0]
    tensor([1.0000, 0.5000, 0.3750])
    """
    _check(penalty, alpha)
    check_at_least("rounds", rounds, 0)

    times = torch.arange(rounds + 1)[:, None]

    def after(d: Tensor) -> Tensor:
        limit = alpha * d / (alpha * d + penalty)
        return limit + ((1 - alpha) * d / (d + penalty)) ** times.to(d.device) * (1 - limit)

    return _filtered(kernel, targets, after)


@door
def borup21_fixed_point(
    kernel: Float[Tensor, "n n"], targets: Float[Tensor, "n *outputs"], /, *, penalty: float, alpha: float
) -> Float[Tensor, "n *outputs"]:
    """y_∞ = K(K + (λ/α)I)⁻¹y: kernel ridge regression with a penalty 1/α times as large.

    Borup & Andersen (2021): y_∞ = A(αy + (1−α)y_∞) has this one solution. At α = 0 it is zero: nothing of the
    labels is left.

    Args:
        kernel: K.
        targets: y.
        penalty: λ > 0.
        alpha: α ∈ [0, 1].

    Raises:
        ValueError: a setting is out of its range, or kernel or targets are unusable.

    >>> borup21_fixed_point(torch.eye(1), torch.tensor([3.0]), penalty=1.0, alpha=0.5)
    tensor([1.])
    """
    _check(penalty, alpha)
    return _filtered(kernel, targets, lambda d: alpha * d / (alpha * d + penalty))


@door
def borup21_contraction(kernel: Float[Tensor, "n n"], /, *, penalty: float, alpha: float) -> float:
    """q = (1−α)d_max/(d_max + λ) < 1 with ‖y_t − y_∞‖ ≤ q‖y_{t−1} − y_∞‖; attained along the top eigenvector.

    Raises:
        ValueError: a setting is out of its range, or the kernel is unusable.

    >>> borup21_contraction(torch.diag(torch.tensor([1.0, 3.0])), penalty=1.0, alpha=0.5)
    0.375
    """
    _check(penalty, alpha)
    top = float(eigenbasis(kernel)[0][-1].detach())
    return (1 - alpha) * top / (top + penalty)


def _filtered(kernel: Tensor, targets: Tensor, factor: Callable[[Tensor], Tensor]) -> Tensor:
    """Vᵀ factor(D) V y, for each row of factors."""
    values, vectors = eigenbasis(kernel)
    check_rows("targets", targets, len(values))
    values, vectors, targets = promoted(values, vectors, *at_least_float32(targets))
    factors = factor(values.double()).to(values)  # a penalty may lie outside float32's range
    along = factors[..., None] * (vectors.mT @ targets.reshape(len(values), -1))
    return (vectors @ along).reshape(*factors.shape[:-1], *targets.shape)


def _check(penalty: float, alpha: float) -> None:
    check_positive("penalty", penalty)
    check_fraction("alpha", alpha)
