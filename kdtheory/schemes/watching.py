"""Who looks on while a training goes: validation with early stopping, callbacks, keepers of checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kdtheory.batches import Batches, Data, as_batches
from kdtheory.doors import door, gate
from kdtheory.schemes.ends import Loss, Named, failed, left, mean_over
from kdtheory.schemes.passes import undrawn
from kdtheory.schemes.sameness import data_in_words
from kdtheory.validate import check_at_least

__all__ = [
    "Callback",
    "Keeper",
    "Moment",
    "Validation",
    "Watch",
    "extras_of",
    "kept",
    "put",
    "steps_between",
    "values_of",
]


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
        return {".".join(filter(None, key)): float(each.value.detach()) for key, each in self._named.items()}


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

    The objective is Σ weight·term in evaluation mode, each term the mean over the
    examples, or over the rows of logits whose label counts. These examples choose the
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
        self.best, self._least, self._since, self.failed = 0, math.inf, 0, ""
        self._kept: dict[str, Tensor] = {}
        self._extras: dict[str, Any] = {}

    @property
    def said(self) -> str:
        """How often it looks, and at what."""
        return f"every {self._every} steps by {data_in_words(self._data)}"

    @torch.no_grad()
    def look(self, step: int, steps: int, /) -> bool:
        """Look after so many steps if it is time; whether to stop."""
        if step % self._every and step != steps:
            return False
        try:
            value = self._value()
        except (Exception, KeyboardInterrupt) as error:
            if step != steps:
                raise
            self.failed = failed("no validation after the last step", error)
            return False
        self.looks.append((step, value))
        self._since += 1
        if value < self._least:
            self.best, self._least, self._since = step, value, 0
            self._kept = {name: each.clone() for name, each in values_of(self._nets).items()}
            self._extras = copy.deepcopy(extras_of(self._nets))
        return self._patience is not None and self._since >= self._patience

    @torch.no_grad()
    def settle(self) -> None:
        """Put the best in the place of the last."""
        put(self._nets, self._kept, self._extras)

    def state(self) -> dict[str, Any]:
        """All of it, for `load`."""
        return {"looks": self.looks, "best": self.best, "least": self._least, "since": self._since,
                "kept": self._kept, "extras": self._extras}  # fmt: skip

    def load(self, state: Mapping[str, Any], /) -> None:
        """Go on as another whose state it is."""
        self.looks, self.best, self._least = state["looks"], state["best"], state["least"]
        self._since, self._extras = state["since"], state.get("extras", {})
        self._kept = {name: each.to(self._device) for name, each in state["kept"].items()}

    def _value(self) -> float:
        with left(self._nets), undrawn(self._device):
            self._nets.eval()
            value = mean_over(self._objective, self._data.epoch(self._device), "validation.data")
            self._nets.train()
        return value


def kept(save: Callable[[Any], None], state: dict[str, Any], *, last: bool) -> list[str]:
    """Keep a state; what cannot be kept after the last step is said, for nothing is lost."""
    try:
        save(state)
    except (Exception, KeyboardInterrupt) as error:
        if not last:
            raise
        return [failed("no checkpoint after the last step", error)]
    return []


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


def values_of(nets: nn.Module, /) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return dict([*nets.named_parameters(), *nets.named_buffers()])


def extras_of(nets: nn.Module, /) -> dict[str, Any]:
    """What modules say of themselves beside tensors, for their `set_extra_state`."""
    plain = nn.Module.get_extra_state
    parts = dict(nets.named_modules())
    return {at: each.get_extra_state() for at, each in parts.items() if type(each).get_extra_state != plain}


def put(nets: nn.Module, kept: Mapping[str, Tensor], extras: Mapping[str, Any], /) -> None:
    """Parameters and buffers in the place of those that there are; a buffer may have grown since, or come."""
    values = values_of(nets)
    device = next(iter(values.values())).device
    for name, value in kept.items():
        if name in values and values[name].shape == value.shape:
            values[name].copy_(value)
        else:
            path, _, own = name.rpartition(".")
            nets.get_submodule(path)._buffers[own] = value.to(device, copy=True)
    for path, extra in extras.items():
        nets.get_submodule(path).set_extra_state(extra)
