"""A training on its way: how far it is, what was noted, and all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.schemes.ends import Loss, Named, check_start, failed
from kdtheory.schemes.passes import Passes
from kdtheory.schemes.sameness import without_addresses
from kdtheory.schemes.stepping import Stepper
from kdtheory.schemes.watching import Callback, Moment, Watch, extras_of, put, values_of

__all__ = ["Run"]


class Run:
    """Steps one after the other, by a stepper, on the batches of some passes, watched or not."""

    def __init__(
        self, nets: nn.Module, stepper: Stepper, passes: Passes, watch: Watch | None, title: str, /
    ) -> None:
        self._nets, self._stepper, self._passes, self._watch = nets, stepper, passes, watch
        self._title = without_addresses(title)
        self.step, self.ended = 0, False
        self.rows: list[tuple[Any, ...]] = []
        self.failed: list[str] = []

    def take(
        self, objective: Loss, steps: int, callbacks: Sequence[Callback], shown: nn.Module, *, every: int
    ) -> None:
        """One step, and who looks on after it."""
        named = self._stepper.losses(objective, next(self._passes))
        if self.step == 0:
            check_start(named)
        self._stepper.take(self.step, named)
        self.step += 1
        if callbacks:
            moment = Moment(self.step, steps, self._stepper.learning_rate, shown, named)
            with self._passes.undrawn():
                self.ended = self._asked(callbacks, moment)
        if self._watch is not None and self._watch.look(self.step, steps):
            self.ended = True
        if (self.step - 1) % every == 0 or self.step == steps or self.ended:
            self.rows += _rows(self.step - 1, named)

    def _asked(self, callbacks: Sequence[Callback], moment: Moment) -> bool:
        """Whether a callback ends the training; all are called, and none that fails at its end loses it."""
        ended = False
        for callback in callbacks:
            try:
                ended |= callback(moment) is True
            except (Exception, KeyboardInterrupt) as error:
                if not ended and moment.step < moment.steps:
                    raise
                self.failed.append(failed("a callback failed after the last step", error))
        return ended

    def state(self) -> dict[str, Any]:
        """All that is needed to go on as if nothing had happened."""
        return {
            "title": self._title,
            "step": self.step,
            "ended": self.ended,
            "rows": self.rows,
            "nets": values_of(self._nets),
            "extra": extras_of(self._nets),
            "stepper": self._stepper.state(),
            "passes": self._passes.state(),
            "watch": None if self._watch is None else self._watch.state(),
        }

    @torch.no_grad()
    def load(self, state: Any, /) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is that of another training.
        """
        self._check(state)
        put(self._nets, state["nets"], state.get("extra", {}))
        self.step, self.ended, self.rows = state["step"], state["ended"], state["rows"]
        self._stepper.load(state["stepper"])
        self._passes.load(state["passes"])
        if self._watch is not None:
            self._watch.load(state["watch"])

    def _check(self, state: Any) -> None:
        title = state.get("title") if isinstance(state, Mapping) else None
        if title != self._title:
            raise ValueError(f"the checkpoint is of {title}, and this is {self._title}; give another path")
        if not _fits(self._nets, state["nets"]):
            raise ValueError("the checkpoint is of networks of other shapes; give another path")
        if not self._passes.fits(state["passes"]):
            raise ValueError(
                "the checkpoint has the states of other random generators; give the same device and a loader "
                "with generators of its own as it had, or another path"
            )


def _fits(nets: nn.Module, kept: Mapping[str, Tensor]) -> bool:
    """Whether parameters are the same, and buffers of the same names and types: some grow, or come late."""
    named = dict(nets.named_parameters())
    if any(name not in kept or kept[name].shape != value.shape for name, value in named.items()):
        return False
    if any(name in kept and kept[name].dtype != value.dtype for name, value in values_of(nets).items()):
        return False
    places = {f"{path}.{own}".lstrip(".") for path, part in nets.named_modules() for own in part._buffers}
    return set(kept) <= places | named.keys()


def _rows(step: int, named: Named) -> list[tuple[Any, ...]]:
    """step, net, loss, weight, value."""
    return [(step, *key, each.weight, float(each.value.detach())) for key, each in named.items()]
