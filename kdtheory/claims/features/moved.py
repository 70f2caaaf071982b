"""Features drawn for the claims of this chapter, and what they may be moved by without a loss noticing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.streams import Stream

__all__ = ["MOVES", "drawn", "rotation"]

Move = Callable[[Tensor, Stream], Tensor]


def drawn(stream: Stream, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=stream.torch())


def rotation(stream: Stream, dim: int) -> Tensor:
    """An orthogonal matrix, uniform up to signs."""
    orthogonal: Tensor = torch.linalg.qr(drawn(stream, dim, dim)).Q
    return orthogonal


def _translated(features: Tensor, stream: Stream) -> Tensor:
    return features + 3 * drawn(stream, features.shape[1])


def _rotated(features: Tensor, stream: Stream) -> Tensor:
    return features @ rotation(stream, features.shape[1])


def _scaled(features: Tensor, _stream: Stream) -> Tensor:
    return 2.5 * features


def _each_scaled(features: Tensor, stream: Stream) -> Tensor:
    return features * drawn(stream, len(features), 1).abs().add(0.1)


def _stretched(features: Tensor, _stream: Stream) -> Tensor:
    """Each coordinate by a factor of its own, from 1/2 to 2."""
    factors = torch.logspace(-1, 1, features.shape[1], 2.0, dtype=features.dtype)
    return features * factors


def _sheared(features: Tensor, _stream: Stream) -> Tensor:
    """The second coordinate is added to the first."""
    sheared = features.clone()
    sheared[:, 0] += features[:, 1]
    return sheared


MOVES: dict[str, Move] = {
    "rotation": _rotated,
    "translation": _translated,
    "scale": _scaled,
    "scale of each example": _each_scaled,
    "stretch": _stretched,
    "shear": _sheared,
}
"""Name ↦ a map of n × d features."""
