"""Kernel classifiers: the supervision complexity of their targets, and the margin bound that it enters.

K the n × n kernel matrix of the points, Y their targets, n × k (or n, for two classes). The interpolant of
least norm in the kernel's space has ‖f‖² = tr(YᵀK⁻¹Y).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.bounds.assumptions import DRAWN, KERNEL_FIXED
from kdtheory.bounds.deviation import uniform_term
from kdtheory.bounds.norm_margin import ramp_loss
from kdtheory.bounds.norms import grid_point
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import (
    check_at_least,
    check_finite,
    check_flags,
    check_fraction,
    check_positive,
    check_weight,
)

__all__ = ["adjusted_supervision_complexity", "harutyunyan23_kernel_margin", "supervision_complexity"]


@door
def supervision_complexity(
    kernel: Float[Tensor, "n n"], targets: Float[Tensor, "n *k"], /
) -> Float[Tensor, ""]:
    """tr(YᵀK⁻¹Y), the squared norm of the smoothest function through the targets (Harutyunyan et al., 2023).

    Raises:
        ValueError: K is not symmetric and positive definite, or the targets are not one row for each point.

    >>> supervision_complexity(torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 2.0]))
    tensor(2.)
    """
    check_finite("kernel", kernel)
    check_finite("targets", targets)
    kernel, targets = promoted(*at_least_float32(kernel, targets))
    if len(targets) != len(kernel):
        raise ValueError(f"targets has {len(targets)} rows for {len(kernel)} points; give one each")
    if not torch.allclose(kernel, kernel.mT, rtol=1e-6, atol=1e-12):
        raise ValueError("kernel is not symmetric; take (K + Kᵀ)/2 if rounding is the cause")
    factor, broken = torch.linalg.cholesky_ex(kernel)
    if int(broken):
        raise ValueError("kernel is not positive definite; merge equal points or add a ridge to its diagonal")
    whitened = torch.linalg.solve_triangular(factor, targets.reshape(len(targets), -1), upper=False)
    complexity: Tensor = whitened.square().sum()
    return complexity


@door
def adjusted_supervision_complexity(
    kernel: Float[Tensor, "n n"], targets: Float[Tensor, "n *k"], /
) -> Float[Tensor, ""]:
    """√(tr(YᵀK⁻¹Y)·tr K)/n, which does not change when the kernel is scaled (Harutyunyan et al., 2023).

    Raises:
        ValueError: K is not symmetric and positive definite, or the targets are not one row for each point.

    >>> round(float(adjusted_supervision_complexity(2 * torch.eye(4), torch.ones(4))), 6)  # √(4/2·8)/4
    1.0
    """
    return (supervision_complexity(kernel, targets) * kernel.trace()).sqrt() / len(kernel)


@door
def harutyunyan23_kernel_margin(
    margins: Float[Tensor, "n"],
    /,
    *,
    squared_norm: float,
    trace: float,
    gamma: float,
    delta: float,
    outputs: int = 1,
    weight: float = 1.0,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """Pr[err] ≤ (1/n)Σ ramp(m_i/γ) + (2/γ)·B·√(tr K)/n + 3√(ln(2/(δp))/2n), B ≥ ‖f‖ on a grid, p its weight.

    After Harutyunyan et al. (2023), constants derived here. For the interpolant of targets Y, ‖f‖² is the
    supervision complexity, and the second term its adjusted form, 2√(YᵀK⁻¹Y·tr K)/(γn), rounded up. The ball
    of radius B has Rad_n ≤ B√(tr K)/n and the ramp is 1/γ-Lipschitz. With k > 1 outputs the margins are
    √2-Lipschitz in f, Rad^vec_n ≤ B√(k·tr K)/n, and the factor is 4√k/γ. ramp ≤ 1[m < γ].

    Args:
        margins: y·f(x_i) for labels ±1, or f_y − max_{j≠y} f_j.
        squared_norm: ‖f‖², summed over outputs.
        trace: tr K on the sample.
        gamma: γ, chosen beforehand or paid for in `weight`.
        delta: δ.
        outputs: k; 1 for two classes told apart by a sign.
        weight: of γ (and of the kernel) if chosen after the data.
        fixed_in_advance: whether the kernel, the candidates of γ and their shares of δ were fixed before the
            points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: a margin is not finite, or a norm, tr K, γ, δ, k or the weight out of range.

    >>> bound = harutyunyan23_kernel_margin(torch.ones(900), squared_norm=4.0, trace=900.0, gamma=1.0,
    ...     delta=0.05, fixed_in_advance=True, independent_draws=True)
    >>> round(bound.terms["complexity"], 6)  # 2·2·30/900
    0.133333
    """
    check_finite("margins", margins)
    check_positive("squared_norm", squared_norm)
    check_positive("trace", trace)
    check_fraction("delta", delta, open_interval=True)
    check_at_least("outputs", outputs, 1)
    check_weight("weight", weight)
    n, loss = len(margins), float(ramp_loss(margins.detach(), gamma=gamma).double().mean())
    radius, share = grid_point(math.sqrt(squared_norm))
    factor = 1.0 if outputs == 1 else 2 * math.sqrt(outputs)
    complexity = factor * radius * math.sqrt(trace) / (gamma * n)

    def terms(size: int) -> dict[str, float]:
        shrunk = complexity * math.sqrt(n / size)  # tr K grows with n
        deviation = uniform_term(size, delta * share * weight)
        return {"margin loss": loss, "complexity": 2 * shrunk, "deviation": deviation}

    found = terms(n)
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    assumptions = {
        DRAWN: independent_draws,
        KERNEL_FIXED: fixed_in_advance,
    }
    return Bound(
        "harutyunyan23_kernel_margin",
        sum(found.values()),
        found,
        delta,
        assumptions,
        value_at=lambda size: sum(terms(size).values()),
        quantities={"n": n, "gamma": gamma, "radius": radius, "weight": share * weight},
    )
