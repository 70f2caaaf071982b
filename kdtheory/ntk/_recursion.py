"""The layer-by-layer recursion of infinitely wide networks, as torch operations on a whole block of pairs.

Legend. p = K(x, x) before an activation, a = √p, and for a pair K(x, x′) = a a′(1 − u): u = 1 − cos θ is
carried instead of the cosine, so that the angle of two nearly equal points, θ ≈ √(2u), keeps its digits. A
tilde marks what comes out of the activation. An affine layer, (W_std/√n)·Wh + b_std·b, makes

    K ← w²K̃ + β²,   Θ ← K + w²K̇Θ,   w = W_std, β = b_std,

and since √(p p′) − K is a sum of terms ≥ 0,

    a a′u = w²ã ã′ũ + w²β²(ã − ã′)²/(a a′ + w²ã ã′ + β²)   (a, a′ after the layer),

no digit of u is lost to cancellation. Opposite points have a ReLU kernel that is as steep in 2 − u as that of
equal ones is in u; it is carried beside u, with 2 − ũ in the place of ũ and 2β² more. K̇ = E[φ′(z)φ′(z′)].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "Layers", "activated", "activated_alone", "diagonals", "propagated"]

ACTIVATIONS = ("relu", "erf", "identity")


@dataclass(frozen=True)
class Layers:
    """The layers of a fully connected network of infinite width: an affine layer, then `hidden` times φ and
    an affine layer.
    """

    hidden: int
    activation: str
    weight_var: float
    bias_var: float
    tangent: bool


def diagonals(norms: Tensor, layers: Layers) -> tuple[list[Tensor], Tensor]:
    """a = √K(x, x) after each affine layer, and the diagonal of the kernel, from ã = ‖x‖/√d."""
    roots, root, tangent = [], norms, torch.zeros_like(norms)
    for depth in range(layers.hidden + 1):
        if depth:
            root, slope = activated_alone(root, layers.activation)
            tangent = layers.weight_var * slope * tangent
        variance = layers.weight_var * root.square() + layers.bias_var
        root, tangent = variance.sqrt(), tangent + variance
        roots.append(root)
    return roots, tangent if layers.tangent else variance


def propagated(
    gaps: tuple[Tensor, Tensor],
    before: tuple[Tensor, Tensor],
    roots: tuple[list[Tensor], list[Tensor]],
    layers: Layers,
) -> Tensor:
    """The kernel of every pair, from u and 2 − u of the inputs, their ã and the `diagonals` of both sides."""
    inside = before[0][:, None], before[1][None]
    gaps, tangent = _affine(gaps, inside, (roots[0][0], roots[1][0]), None, layers)
    for depth in range(1, layers.hidden + 1):
        sides = roots[0][depth - 1][:, None], roots[1][depth - 1][None]
        gap, slope, inside = activated(*gaps, sides, layers.activation)
        after = roots[0][depth], roots[1][depth]
        gaps, tangent = _affine((gap, 2 - gap), inside, after, slope.mul_(tangent), layers)
    return tangent if layers.tangent else (roots[0][-1][:, None] * roots[1][-1]).mul_(1 - gaps[0])


def _affine(
    gaps: tuple[Tensor, Tensor],
    inside: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    pulled: Tensor | None,
    layers: Layers,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """u and 2 − u, and Θ, after an affine layer; `pulled` is K̇Θ of the layers before it."""
    outside = after[0][:, None] * after[1]
    spread = layers.weight_var * inside[0] * inside[1]
    lost, left = (spread * gap for gap in gaps)
    if layers.bias_var:
        # In this order no product of four lengths is formed, which might overflow.
        skew = (inside[0] - inside[1]).square().div_(outside + spread + layers.bias_var)
        skew *= layers.weight_var * layers.bias_var
        lost += skew
        left += skew + 2 * layers.bias_var
    # Two points of norm zero without bias: their kernel is 0 whatever u is.
    least = outside.clamp_min(torch.finfo(outside.dtype).tiny)
    kernel = outside - lost
    gaps = (lost / least).clamp_(0, 2), (left / least).clamp_(0, 2)
    return gaps, kernel if pulled is None else kernel.add_(pulled, alpha=layers.weight_var)


def activated(
    gap: Tensor, rest: Tensor, sides: tuple[Tensor, Tensor], activation: str
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """ũ, K̇ and both ã, from u, 2 − u and both a."""
    if activation == "identity":
        return gap, torch.ones_like(gap), sides
    if activation == "relu":
        angle = 2 * torch.atan2(gap.sqrt(), rest.sqrt())
        missing = (angle.sin() - angle * (1 - gap)) / math.pi
        return (gap - missing).clamp_(0, 1), 0.5 - angle / (2 * math.pi), _scaled(sides, math.sqrt(0.5))
    product = sides[0] * sides[1]
    # (1 + 2p)(1 + 2p′) − 4K² without the difference of two large numbers.
    root = torch.hypot(_across(*sides), 2 * product * (gap * rest).sqrt())
    inside = tuple(activated_alone(side, activation)[0] for side in sides)
    kernel = torch.atan2(2 * product * (1 - gap), root).mul_(2 / math.pi)
    outside = (inside[0] * inside[1]).clamp_min(torch.finfo(gap.dtype).tiny)
    return (1 - kernel / outside).clamp_(0, 2), (4 / math.pi) / root, (inside[0], inside[1])


def activated_alone(root: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """ã and K̇(x, x)."""
    if activation == "identity":
        return root, torch.ones_like(root)
    if activation == "relu":
        return root * math.sqrt(0.5), torch.full_like(root, 0.5)
    across = _across(root, root)
    variance = (2 / math.pi) * torch.atan2(2 * root.square(), across)
    return variance.sqrt(), (4 / math.pi) / across


def _across(a: Tensor, b: Tensor) -> Tensor:
    return (1 + 2 * (a.square() + b.square())).sqrt()


def _scaled(sides: tuple[Tensor, Tensor], factor: float) -> tuple[Tensor, Tensor]:
    return sides[0] * factor, sides[1] * factor
