"""Operations on gradients and parameters between steps: clipping, and means of iterates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32, rounded_up
from kdtheory.validate import check_at_least, check_fraction, check_positive

__all__ = ["TailAverage", "clip_rows"]


@door
@torch.no_grad()
def clip_rows(gradients: Float[Tensor, "*rows size"], most: float, /) -> None:
    """g·min(1, c/(‖g‖ + 1e-6)) in place for every row, the gradient of one network (Pascanu et al. 2013).

    >>> rows = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    >>> clip_rows(rows, 1.0)
    >>> rows.norm(dim=-1)
    tensor([1.0000, 0.5000])
    """
    check_positive("most", most)
    gradients.mul_((most / (gradients.norm(dim=-1, keepdim=True) + 1e-6)).clamp(max=1))


@door
class TailAverage:
    """The mean of parameters after each of the last ⌈share·steps⌉ steps, kept as it grows; float32 at least.

    Args:
        parameters: what is averaged.
        share: of the steps, in [0, 1].
        steps: of the whole training.

    Raises:
        ValueError: a share outside [0, 1], or a negative number of steps.
    """

    def __init__(self, parameters: Iterable[Tensor], share: float, steps: int, /) -> None:
        check_fraction("share", share)
        check_at_least("steps", steps, 0)
        self._parameters = list(parameters) if share and steps else []
        self._first = steps - rounded_up(share * steps)
        # In half precision a mean of a few hundred would take in no further one.
        self._means = [at_least_float32(each.detach())[0].clone() for each in self._parameters]
        self._seen = 0

    @torch.no_grad()
    def see(self, step: int, /) -> None:
        """Take in the parameters after `step`, if it is one of the last."""
        if self._means and step >= self._first:
            self._seen += 1
            for mean, now in zip(self._means, self._parameters, strict=True):
                mean.lerp_(now.to(mean), 1 / self._seen)

    def state(self) -> dict[str, Any]:
        """The state so far, for `load`."""
        return {"means": self._means, "seen": self._seen}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any], /) -> None:
        """Go on from what another has seen."""
        self._seen = state["seen"]
        for mean, kept in zip(self._means, state["means"], strict=True):
            mean.copy_(kept)

    @torch.no_grad()
    def settle(self) -> bool:
        """Put the mean in the parameters' place; whether there is one."""
        if self._seen:
            for mean, now in zip(self._means, self._parameters, strict=True):
                now.copy_(mean)
        return bool(self._seen)
