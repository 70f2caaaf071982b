"""Features drawn at random, and what they may be moved by without a loss noticing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kdtheory.streams import Stream

__all__ = [
    "Move", "drawn", "each_scaled", "moved", "rotated", "rotation", "scaled_up", "sheared", "stretched",
    "translated",
]  # fmt: skip

Move = Callable[[Tensor, Stream], Tensor]
"""A map of n × d features, with its random numbers."""


def drawn(stream: Stream, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=stream.torch())


def rotation(stream: Stream, dim: int) -> Tensor:
    """An orthogonal matrix, uniform up to signs."""
    orthogonal: Tensor = torch.linalg.qr(drawn(stream, dim, dim)).Q
    return orthogonal


def moved(features: Tensor, moves: Sequence[Move], stream: Stream) -> Tensor:
    """The features after each of the moves in turn."""
    for place, move in enumerate(moves):
        features = move(features, stream.child(place))
    return features


def translated(features: Tensor, stream: Stream) -> Tensor:
    """A random vector is added to all examples."""
    return features + 3 * drawn(stream, features.shape[1])


def rotated(features: Tensor, stream: Stream) -> Tensor:
    """A random rotation."""
    return features @ rotation(stream, features.shape[1])


def scaled_up(features: Tensor, _stream: Stream) -> Tensor:
    """Times 2.5."""
    return 2.5 * features


def each_scaled(features: Tensor, stream: Stream) -> Tensor:
    """Each example times a factor of its own."""
    return features * drawn(stream, len(features), 1).abs().add(0.1)


def stretched(features: Tensor, _stream: Stream) -> Tensor:
    """Each coordinate by a factor of its own, from 1/2 to 2."""
    factors = torch.logspace(-1, 1, features.shape[1], 2.0, dtype=features.dtype)
    return features * factors


def sheared(features: Tensor, _stream: Stream) -> Tensor:
    """The second coordinate is added to the first."""
    found = features.clone()
    found[:, 0] += features[:, 1]
    return found
