"""Named random streams: one integer seed, and a tree of independent generators below it.

A `Stream` is a *place*, not a state. Two calls with the same stream give the same numbers, so a function
that takes a stream is pure, a run that is resumed repeats itself, and adding a sibling changes nothing.
Nothing here touches a global generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from kdtheory.doors import door
from kdtheory.types import resolve_device

__all__ = ["Stream"]


@door
@dataclass(frozen=True)
class Stream:
    """A named place in a tree of random streams.

    Args:
        seed: the integer that the whole tree depends on, ≥ 0.
        path: the names from the root to this place.

    Raises:
        ValueError: `seed` is negative.

    >>> root = Stream(7)
    >>> root.child("train") == root.child("train"), root.child("train") == root.child("test")
    (True, False)
    >>> bool((root.child("train").numpy().random(3) == root.child("train").numpy().random(3)).all())
    True
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed} is negative; give an integer ≥ 0")

    def child(self, *names: str | int) -> Stream:
        """The stream `names` below this one."""
        return Stream(self.seed, (*self.path, *names))

    def sequence(self) -> np.random.SeedSequence:
        """The seed sequence of this place: the seed, spawned by a SHA-256 of the path."""
        names = tuple(str.__str__(name) if isinstance(name, str) else name for name in self.path)
        digest = hashlib.sha256(repr(names).encode()).digest()  # equal names, NumPy's too, are one
        words = np.frombuffer(digest, dtype="<u4")
        return np.random.SeedSequence(self.seed, spawn_key=tuple(int(word) for word in words))

    def numpy(self) -> np.random.Generator:
        """A fresh NumPy generator that starts here."""
        return np.random.default_rng(self.sequence())

    def torch(self, device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh torch generator on `device` that starts here."""
        state = int(self.sequence().generate_state(1, np.uint64)[0])
        return torch.Generator(resolve_device(device)).manual_seed(state >> 1)

    @contextmanager
    def default(self) -> Iterator[None]:
        """Torch's default generators start here for the block, and are back where they were after it.

        For what takes no generator: a module that initialises itself, dropout, a DataLoader that shuffles.

        >>> with Stream(3).default():
        ...     one = torch.rand(2)
        >>> with Stream(3).default():
        ...     bool((torch.rand(2) == one).all())
        True
        """
        generators = [torch.default_generator]
        if torch.cuda.is_available():
            torch.cuda.init()
            generators += torch.cuda.default_generators
        before = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.set_state(self.torch(generator.device).get_state())
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)
