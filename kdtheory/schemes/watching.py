"""Who looks on while a training goes: validation with early stopping, callbacks, keepers of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kdtheory.batches import Batches, Data, as_batches
from kdtheory.doors import door, gate
from kdtheory.schemes.ends import Loss, Named, total
from kdtheory.schemes.passes import undrawn
from kdtheory.validate import check_at_least

__all__ = ["Callback", "Keeper", "Moment", "Validation", "Watch", "steps_between"]


@gate
@dataclass(frozen=True)
class Moment:
    """A training after a step.

    Args:
        step: steps taken.
        steps: all that the recipe asks for.
        learning_rate: of the next step.
        module: what is trained, in training mode; of several students a list of modules.
    """

    step: int
    steps: int
    learning_rate: float
    module: nn.Module
    _named: Named = field(repr=False)

    @property
    def losses(self) -> dict[str, float]:
        """The named losses before the step; "0.labels" is that of student 0."""
        return {".".join(filter(None, key)): float(value.detach()) for key, (_, value) in self._named.items()}


Callback = Callable[[Moment], bool | None]
"""Called after every step; what it draws is put back, and True ends the training."""


class Keeper(Protocol):
    """Who keeps the state of a training, such as `kdtheory.checkpoints.Checkpoint`."""

    @property
    def every(self) -> int | None:
        """Steps between two keepings; None keeps at the end of each epoch."""

    def load(self) -> Any:
        """The state that was kept, or None."""

    def save(self, state: Any, /) -> None:
        """Keep a tree of tensors and plain values."""

    def child(self, name: str, /) -> Keeper:
        """Who keeps the state of a part."""


@door
@dataclass(frozen=True, kw_only=True)
class Validation:
    """Keep the parameters at which the objective on other examples was least, and stop when it grows.

    The objective is Σ weight·term in evaluation mode, the mean over the examples. These examples choose the
    parameters, so that no error counted on them is honest, nor a bound that takes them for a hold-out.

    Args:
        data: as what is trained on.
        every: steps between two looks; None looks at the end of each epoch.
        patience: looks without a new least after which training stops; None stops with the recipe.

    Raises:
        ValueError: `every` or `patience` < 1.
    """

    data: Data
    every: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "patience"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)


class Watch:
    """The looks at a validation, and the parameters and buffers of the best one."""

    def __init__(
        self, how: Validation, nets: nn.Module, objective: Loss, device: torch.device, default: Batches, /
    ) -> None:
        self._data, self._patience = as_batches(how.data, name="validation.data"), how.patience
        self._data.check_ends()
        self._every = steps_between(how.every, default, "validation")
        self._nets, self._objective, self._device = nets, objective, device
        self.looks: list[tuple[int, float]] = []
        self.best, self._least, self._since = 0, math.inf, 0
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def look(self, step: int, steps: int, /) -> bool:
        """Look after so many steps if it is time; whether to stop."""
        if step % self._every and step != steps:
            return False
        value = self._value()
        self.looks.append((step, value))
        self._since += 1
        if value < self._least:
            self.best, self._least, self._since = step, value, 0
            self._kept = {name: each.clone() for name, each in _values(self._nets).items()}
        return self._patience is not None and self._since >= self._patience

    @torch.no_grad()
    def settle(self) -> None:
        """Put the best in the place of the last."""
        values = _values(self._nets)
        for name, kept in self._kept.items():
            if name in values and values[name].shape == kept.shape:
                values[name].copy_(kept)
            else:  # a buffer that grows with what is asked
                path, _, own = name.rpartition(".")
                self._nets.get_submodule(path)._buffers[own] = kept

    def state(self) -> dict[str, Any]:
        """All of it, for `load`."""
        return {"looks": self.looks, "best": self.best, "least": self._least, "since": self._since,
                "kept": self._kept}  # fmt: skip

    def load(self, state: Mapping[str, Any], /) -> None:
        """Go on as another whose state it is."""
        self.looks, self.best, self._least = state["looks"], state["best"], state["least"]
        self._since = state["since"]
        self._kept = {name: each.to(self._device) for name, each in state["kept"].items()}

    def _value(self) -> float:
        whole, count = 0.0, 0
        self._nets.eval()
        with undrawn(self._device):
            for batch in self._data.epoch(self._device):
                whole += float(total(self._objective(batch))) * len(batch.inputs)
                count += len(batch.inputs)
        self._nets.train()
        return whole / count


def steps_between(every: int | None, data: Batches, what: str, /) -> int:
    """So many steps, or as many as an epoch has.

    Raises:
        ValueError: an epoch has no length.
    """
    if every is not None:
        return every
    if data.length is None:
        raise ValueError(f"data without a length have no end of an epoch; give {what} every=… steps")
    return data.length


def _values(nets: nn.Module) -> dict[str, Tensor]:
    return dict([*nets.named_parameters(), *nets.named_buffers()])
