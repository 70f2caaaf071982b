"""The recursion of infinitely wide convolutional networks, as torch operations on a batch of pairs of images.

As in `_recursion`, u = 1 − cos is carried, here for every pair of positions that matters: all (p, p′) where
the network pools, p = p′ where it flattens. A k × k convolution reads at p the positions p + δ; with the
vectors A = ((w/k)·ã(p + δ))_δ and β of the bias beside them, Â = A/‖A‖,

    K(p, p′) = ‖A‖‖B‖(1 − u),  u = Σ_δ [½(Â_δ − B̂_δ)² + Â_δ B̂_δ ũ(p + δ, p′ + δ)],

all terms ≥ 0. Positions outside the image are zero ("zeros") or those on the other side ("circular").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.ntk._recursion import activated, activated_alone

__all__ = ["Filters", "Pixels", "pixels", "propagated_images", "roots_of"]


@dataclass(frozen=True)
class Filters:
    """The layers of the network: `layers` times a convolution and φ; then pooling, and an affine layer."""

    layers: int
    size: int
    padding: str
    pooled: bool
    activation: str
    weight_var: float
    bias_var: float
    tangent: bool

    def neighbours(self, height: int, width: int) -> Tensor:
        """δ × p: the position p + δ, or height·width for none."""
        reach = self.size // 2
        steps = torch.arange(-reach, reach + 1)
        y = torch.arange(height)[None, :] + steps[:, None]
        x = torch.arange(width)[None, :] + steps[:, None]
        flat = (y % height)[:, None, :, None] * width + (x % width)[None, :, None, :]
        if self.padding == "zeros":
            inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[None, :, None, :]
            flat = torch.where(inside, flat, height * width)
        return flat.reshape(self.size**2, height * width)


@dataclass(frozen=True)
class Pixels:
    """Images position by position: directions n × p × c over the channels, lengths ã = ‖x(p)‖/√c."""

    directions: Tensor
    norms: Tensor

    def __len__(self) -> int:
        return len(self.norms)

    def __getitem__(self, rows: slice | Tensor) -> Pixels:
        return Pixels(self.directions[rows], self.norms[rows])


def pixels(images: Tensor) -> Pixels:
    """Images n × c × height × width taken apart."""
    values = images.detach().flatten(2).mT.contiguous()
    largest = values.abs().amax(2, keepdim=True)
    scaled = values / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled, dim=2, keepdim=True)
    norms = (largest * length / values.shape[2] ** 0.5).squeeze(2)
    return Pixels(scaled / torch.where(length > 0, length, 1), norms)


def roots_of(points: Pixels, filters: Filters, near: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """ã before and a after every convolution, n × p each."""
    inside, outside, root = [], [], points.norms
    for _ in range(filters.layers):
        inside.append(root)
        around = _read(root.square(), near).sum(1)
        outside.append((filters.weight_var / filters.size**2 * around + filters.bias_var).sqrt())
        root = activated_alone(outside[-1], filters.activation)[0]
    return [*inside, root], outside


def propagated_images(left: Pixels, right: Pixels, filters: Filters, near: Tensor) -> Tensor:
    """The kernel of each pair: the i-th image on the left with the i-th on the right."""
    (a_in, a_out), (b_in, b_out) = roots_of(left, filters, near), roots_of(right, filters, near)
    gap = _pixel_gaps(left, right, filters.pooled)
    tangent = torch.zeros_like(gap)
    share = filters.weight_var / filters.size**2
    for layer in range(filters.layers):
        gap = _convolved_gap(gap, (a_in[layer], b_in[layer]), (a_out[layer], b_out[layer]), filters, near)
        sides = _sides(a_out[layer], b_out[layer], filters.pooled)
        kernel = sides[0] * sides[1] * (1 - gap)
        tangent = kernel + share * _read_pairs(tangent, near, filters.pooled).sum(1)
        gap, slope, _ = activated(gap, 2 - gap, sides, filters.activation)
        tangent = slope * tangent
    sides = _sides(a_in[-1], b_in[-1], filters.pooled)
    axes = tuple(range(1, gap.ndim))
    kernel = filters.weight_var * (sides[0] * sides[1] * (1 - gap)).mean(axes) + filters.bias_var
    return kernel + filters.weight_var * tangent.mean(axes) if filters.tangent else kernel


def _pixel_gaps(left: Pixels, right: Pixels, pooled: bool) -> Tensor:
    """½‖x̂(p) − x̂′(p′)‖², channels being few."""
    a = left.directions[:, :, None] if pooled else left.directions
    b = right.directions[:, None] if pooled else right.directions
    return (a - b).square().sum(-1) / 2


def _convolved_gap(
    gap: Tensor, inside: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], filters: Filters, near: Tensor
) -> Tensor:
    tiny = torch.finfo(gap.dtype).tiny
    scale = filters.weight_var**0.5 / filters.size
    a, b = (scale * _read(i, near) / o.clamp_min(tiny)[:, None] for i, o in zip(inside, after, strict=True))
    biases = [filters.bias_var**0.5 / o.clamp_min(tiny) for o in after]
    first, second = _sides(biases[0], biases[1], filters.pooled)
    total = (first - second).square() / 2
    gaps = _read_pairs(gap, near, filters.pooled)
    for place in range(len(near)):
        first, second = _sides(a[:, place], b[:, place], filters.pooled)
        total = total + (first - second).square() / 2 + first * second * gaps[:, place]
    return total.clamp_(0, 2)


def _sides(a: Tensor, b: Tensor, pooled: bool) -> tuple[Tensor, Tensor]:
    return (a[:, :, None], b[:, None]) if pooled else (a, b)


def _read(values: Tensor, near: Tensor) -> Tensor:
    """values(p + δ), n × δ × p, zero outside."""
    padded = torch.cat([values, values.new_zeros(len(values), 1)], 1)
    return padded[:, near]


def _read_pairs(values: Tensor, near: Tensor, pooled: bool) -> Tensor:
    """values(p + δ, p′ + δ), n × δ × p (× p′), zero outside."""
    if not pooled:
        return _read(values, near)
    padded = torch.nn.functional.pad(values, (0, 1, 0, 1))
    return padded[:, near[:, :, None], near[:, None, :]]
