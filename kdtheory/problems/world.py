"""A world: a joint law of (x, y) that can be sampled, and whose p*(x) = P(y | x) is known."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.streams import Stream
from kdtheory.types import Sample

__all__ = ["World"]


@door
class World(ABC):
    """A joint law of inputs x ∈ R^d and labels y ∈ {0, …, k − 1} with known posterior p*(x).

    A population of M students, each with its own sample of n points, is one call, `sample((M, n), stream)`.
    Worlds live on the CPU, so that a stream gives the same sample on every machine; move the sample
    afterwards. Every world can be pickled and sent to another process.
    """

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """k, the number of classes."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """d, the dimension of the inputs."""

    @abstractmethod
    def sample(self, shape: int | tuple[int, ...], stream: Stream) -> Sample:
        """Independent draws of (x, y), with p*(x) beside them; the same stream gives the same sample.

        Args:
            shape: how many, n or the axes (M, n).
            stream: where the randomness comes from.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """

    @abstractmethod
    def posterior(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """p*(x) of each input, float64.

        Raises:
            ValueError: the last axis of `inputs` is not `dim`, or an entry is not finite.
        """
