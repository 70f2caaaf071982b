"""One step of a training: losses in the recipe's precision, their gradient, clipped, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from kdtheory.batches import Batch
from kdtheory.iterates import TailAverage
from kdtheory.recipe import Recipe
from kdtheory.schemes.ends import Loss, Named, failed, total

__all__ = ["Stepper"]


class Stepper:
    """Optimiser, schedule, scale and average of some parameters: all that a step changes beside them."""

    def __init__(
        self, parameters: Sequence[Tensor], recipe: Recipe, steps: int, device: torch.device, /
    ) -> None:
        self._parameters, self._recipe, self._device = parameters, recipe, device
        self._steps, self.failed = steps, ""
        if recipe.autocast == torch.float16 and any(each.dtype == torch.float16 for each in parameters):
            raise ValueError(
                "autocast = torch.float16 scales gradients of float32, and the module has parameters in "
                "float16; give module.float(), or leave autocast out"
            )
        self._optimizer = recipe.optimizer_of(parameters)
        self._schedule = _schedule(recipe, self._optimizer, steps)
        self._scaler = torch.amp.GradScaler(device.type, enabled=recipe.autocast == torch.float16)
        self._tail = TailAverage(parameters, recipe.averaged, steps)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def losses(self, objective: Loss, batch: Batch, /) -> Named:
        """The losses of a batch, in low precision where the recipe says so."""
        low = self._recipe.autocast
        with nullcontext() if low is None else torch.autocast(self._device.type, dtype=low):
            return objective(batch)

    def take(self, step: int, named: Named, /) -> None:
        """Go down the gradient of some losses."""
        self._optimizer.zero_grad()
        self._scaler.scale(total(named)).backward()
        if self._recipe.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip_norm)
        scale = self._scaler.get_scale()
        with _named(step, optimizer=self._recipe.optimizer):
            self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= scale:  # else the gradient overflowed, and no step was taken
            self._go_on(step)
        self._tail.see(step)

    def _go_on(self, step: int) -> None:
        """The rate of the next step; where there is none it is not needed."""
        try:
            with _named(step, schedule=self._recipe.schedule):
                self._schedule.step()
        except ValueError as error:
            if step + 1 < self._steps:
                raise
            self.failed = failed("no rate after the last step", error)

    def settle(self) -> bool:
        """Put the average in the parameters' place; whether there is one."""
        return self._tail.settle()

    def state(self) -> dict[str, Any]:
        """All of it, for `load`."""
        return {"optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict(),
                "scale": self._scaler.state_dict(), "average": self._tail.state()}  # fmt: skip

    def load(self, state: Mapping[str, Any], /) -> None:
        """Go on as another whose state it is."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scale"])
        self._tail.load(state["average"])


@contextmanager
def _named(step: int, **used: Any) -> Iterator[None]:
    """What the factory of somebody else made may fail in any way."""
    ((name, how),) = used.items()
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if isinstance(how, str):
            raise
        raise ValueError(f"{name} fails at step {step}: {error}; give one that suits it") from error


def _schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if not isinstance(recipe.schedule, str):
        return recipe.schedule(optimizer)
    factor = recipe.factor
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step / max(1, steps)))
