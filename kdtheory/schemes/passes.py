"""Epoch after epoch of the data, and where in them a training is, so that it can go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from kdtheory.batches import Batch, Batches

__all__ = ["Passes", "undrawn"]


class Passes(Iterator[Batch]):
    """The batches of endless epochs, and the place among them.

    An epoch is the same again where torch's generators start it from the same states: the default ones, and
    those that the loader or its sampler have of their own.
    """

    def __init__(self, data: Batches, device: torch.device, /) -> None:
        self._data, self._device = data, device
        parts = [getattr(data.data, name, None) for name in ("sampler", "batch_sampler")]
        found = [
            getattr(part, "generator", None)
            for part in (data.data, *parts, getattr(parts[1], "sampler", None))
        ]
        own = {id(each): each for each in found if isinstance(each, torch.Generator)}
        self._own = list(own.values())
        self._begun, self._at = self._states(), 0
        self._batches = self._endless()

    def __next__(self) -> Batch:
        return next(self._batches)

    def state(self) -> dict[str, Any]:
        """How many batches of an epoch were given, and the generators at its start and now."""
        return {"begun": self._begun, "at": self._at, "now": _default_states(self._device)}

    def fits(self, state: Mapping[str, Any], /) -> bool:
        """Whether a state has that of each generator that there is here."""
        here = len(self._states())
        return len(state["begun"]) == here and len(state["now"]) == here - len(self._own)

    def load(self, state: Mapping[str, Any], /) -> None:
        """Go to a place: load what was given again, and drop it."""
        defaults = len(state["now"])
        _put_default_states(self._device, state["begun"][:defaults])
        for generator, kept in zip(self._own, state["begun"][defaults:], strict=True):
            generator.set_state(kept)
        self._batches = self._endless()
        for _ in range(state["at"]):
            next(self._batches)
        _put_default_states(self._device, state["now"])

    def undrawn(self) -> AbstractContextManager[None]:
        """Put back what the block draws from torch's default generators."""
        return undrawn(self._device)

    def _endless(self) -> Iterator[Batch]:
        if self._data.constant:
            yield from self._data.endless(self._device)
        while True:
            self._begun, self._at = self._states(), 0
            for batch in self._data.pass_of(self._device):
                self._at += 1
                yield batch

    def _states(self) -> list[Tensor]:
        return [*_default_states(self._device), *(each.get_state() for each in self._own)]


@contextmanager
def undrawn(device: torch.device, /) -> Iterator[None]:
    """Put back what the block draws from torch's default generators."""
    before = _default_states(device)
    try:
        yield
    finally:
        _put_default_states(device, before)


def _default_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _put_default_states(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
