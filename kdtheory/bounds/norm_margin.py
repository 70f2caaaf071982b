"""Margin bounds of trained nets, their norms read off after training and rounded up to a grid.

Pr[argmax f ≠ y] ≤ (1/n)Σ ramp(m_i/γ) + 2·Rad + 3√(ln(2/(δp))/2n), m_i the margin of f at x_i and p the
weight of the grid's point. For trained nets of depth three and more they are usually far above 1: that is
their lesson.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.bounds.assumptions import DRAWN, GRID_FIXED
from kdtheory.bounds.deviation import uniform_term
from kdtheory.bounds.margins import multiclass_margin
from kdtheory.bounds.norms import NetNorms, bartlett17_complexity, golowich18_vector_relu_net, grid_point
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_finite, check_flags, check_fraction, check_positive, check_weight

__all__ = ["bartlett17_margin", "golowich18_margin", "ramp_loss"]


@door
def ramp_loss(margins: Float[Tensor, "*batch"], /, *, gamma: float) -> Float[Tensor, "*batch"]:
    """ramp(m/γ) = min(1, max(0, 1 − m/γ)): between 1[m ≤ 0] and 1[m < γ], 1/γ-Lipschitz.

    Raises:
        ValueError: γ is not positive and finite, or a margin is not finite.

    >>> import torch
    >>> ramp_loss(torch.tensor([-1.0, 0.5, 3.0]), gamma=2.0)
    tensor([1.0000, 0.7500, 0.0000])
    """
    check_positive("gamma", gamma)
    check_finite("margins", margins)
    (margins,) = at_least_float32(margins)
    return (1 - margins / gamma).clamp(0, 1)


@door
def golowich18_margin(
    logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    /,
    *,
    norms: NetNorms,
    input_norm: float,
    gamma: float,
    delta: float,
    weight: float = 1.0,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """Pr[argmax f ≠ y] ≤ mean ramp(m/γ) + (4/γ)·Rad^vec_n + 3√(ln(2/(δp))/2n), Rad^vec by Frobenius norms.

    After Golowich, Rakhlin & Shamir (2018), constants derived here: `golowich18_vector_relu_net` and vector
    contraction, the ramp of the margin being √2/γ-Lipschitz. ΠM_j is rounded up to the grid.

    Args:
        logits: f on the sample.
        labels: its labels.
        norms: of the layers of f, biases included (`homogeneous_layers`).
        input_norm: (Σ‖x_i‖²)^½, of inputs with their 1 appended if there are biases.
        gamma: γ, chosen beforehand or paid for in `weight`.
        delta: δ.
        weight: of γ (and of the architecture) if chosen after the data.
        fixed_in_advance: whether the architecture, the candidates of γ and their shares of δ were fixed
            before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: logits or labels out of range, or a norm, γ, δ or the weight.

    >>> import torch
    >>> norms = NetNorms((1.0,), (1.0,), (1.0,), (3, 2))
    >>> bound = golowich18_margin(torch.eye(2).repeat(200, 1), torch.tensor([0, 1] * 200), norms=norms,
    ...     input_norm=20.0, gamma=1.0, delta=0.05, fixed_in_advance=True, independent_draws=True)
    >>> round(bound.terms["complexity"], 4), bound.terms["margin loss"]  # 4·√2·20/400
    (0.2828, 0.0)
    """
    n, outputs = logits.shape
    product, share = grid_point(math.prod(norms.frobenius))
    vector = golowich18_vector_relu_net(
        norm_product=product, input_norm=input_norm, depth=norms.depth, outputs=outputs, n=n
    )
    check_positive("gamma", gamma)
    quantities = {"n": n, "gamma": gamma, "norm_product": product, "weight": share * weight}
    settings = {"gamma": gamma, "delta": delta, "weight": weight, "share": share}
    margins = multiclass_margin(logits, labels)
    return _bound(
        "golowich18_margin",
        margins,
        2 * vector / gamma,
        settings,
        quantities,
        fixed_in_advance,
        independent_draws,
    )


@door
def bartlett17_margin(
    logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    /,
    *,
    norms: NetNorms,
    input_norm: float,
    gamma: float,
    delta: float,
    weight: float = 1.0,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """Pr[argmax f ≠ y] ≤ mean ramp(m/γ) + 2·Rad_n + 3√(ln(2/(δp))/2n), Rad by spectral norms and covering.

    Bartlett, Foster & Telgarsky (2017), constants derived here (`bartlett17_complexity` with Lipschitz
    constant √2/γ), reference matrices zero. Πs_j and each ratio b_j/s_j are rounded up to the grid.

    Args:
        logits, labels, norms, input_norm, gamma, delta, weight, fixed_in_advance, independent_draws: as in
            `golowich18_margin`.

    Raises:
        ValueError: logits or labels out of range, or a norm, γ, δ or the weight.

    >>> import torch
    >>> norms = NetNorms((1.0,), (1.0,), (1.0,), (3, 2))
    >>> bartlett17_margin(torch.eye(2).repeat(200, 1), torch.tensor([0, 1] * 200), norms=norms,
    ...     input_norm=20.0, gamma=1.0, delta=0.05, fixed_in_advance=True, independent_draws=True).vacuous
    True
    """
    n = len(logits)
    check_positive("gamma", gamma)
    product, share = grid_point(math.prod(norms.spectral))
    ratios = []
    for rows, spectral in zip(norms.rows, norms.spectral, strict=True):
        ratio, portion = grid_point(rows / spectral)
        ratios.append(ratio)
        share *= portion
    complexity = bartlett17_complexity(
        spectral_product=product * math.sqrt(2) / gamma,
        ratios=ratios,
        widths=norms.widths,
        input_norm=input_norm,
        n=n,
    )
    quantities = {"n": n, "gamma": gamma, "spectral_product": product, "weight": share * weight}
    settings = {"gamma": gamma, "delta": delta, "weight": weight, "share": share}
    margins = multiclass_margin(logits, labels)
    return _bound(
        "bartlett17_margin", margins, complexity, settings, quantities, fixed_in_advance, independent_draws
    )


def _bound(
    name: str,
    margins: Tensor,
    complexity: float,
    settings: Mapping[str, float],
    quantities: Mapping[str, float],
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    check_fraction("delta", settings["delta"], open_interval=True)
    check_weight("weight", settings["weight"])
    n, loss = len(margins), float(ramp_loss(margins.detach(), gamma=settings["gamma"]).double().mean())
    delta = settings["delta"] * settings["weight"] * settings["share"]

    def terms(size: int) -> dict[str, float]:
        shrunk = complexity * math.sqrt(n / size)
        return {"margin loss": loss, "complexity": 2 * shrunk, "deviation": uniform_term(size, delta)}

    found = terms(n)
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    assumptions = {
        DRAWN: independent_draws,
        GRID_FIXED: fixed_in_advance,
    }
    return Bound(
        name,
        sum(found.values()),
        found,
        settings["delta"],
        assumptions,
        value_at=lambda size: sum(terms(size).values()),
        quantities=quantities,
    )
