"""How the step size falls in the course of training, and the mean of the last iterates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["SCHEDULES", "TailAverage"]


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": _cosine,
    "linear": lambda done: 1 - done,
}
"""Share of the steps that are done ↦ factor of the learning rate; cosine after Loshchilov & Hutter (2017)."""


class TailAverage:
    """The mean of the parameters after each of the last steps (Polyak & Juditsky 1992), kept as it grows."""

    def __init__(self, params: Float[Tensor, "members size"], share: float, steps: int, /) -> None:
        self._params = params
        self._first = steps - math.ceil(share * steps)
        self._mean = params.clone() if share and steps else None
        self._seen = 0

    @torch.no_grad()
    def see(self, step: int, /) -> None:
        """Take in the parameters after `step`, if it is one of the last."""
        if self._mean is not None and step >= self._first:
            self._seen += 1
            self._mean.lerp_(self._params, 1 / self._seen)

    @torch.no_grad()
    def settle(self) -> None:
        """Put the mean in the parameters' place."""
        if self._mean is not None:
            self._params.copy_(self._mean)
