"""The gradient of a loss in the logits, replayed: of a step only the operations that depend on the logits.

The losses of this package are functions of tensors, and the same operations run at every step. The first step
is recorded as torch's dispatcher sees it, forward and backward; later steps run what leads to the gradient
and follows from the logits, one operation after another, without autograd and without what comes out alike
each time, such as the logarithms of a teacher that is the same at every step. The operations are those of the
step that was recorded, so that the numbers are the same to the last bit; the second step is made both ways,
and where the two differ, or where a loss looks at numbers on its way, all steps are made as the first was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kdtheory.doors import inside

__all__ = ["Replayed", "replays"]

Gradient = Callable[..., Tensor]
_aten = torch.ops.aten
_NUMBERS_APART = {
    getattr(_aten, name).default
    for name in (
        "empty_like",
        "full_like",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    )
}
"""What they give depends on the shape of what they are given, and not on its numbers."""


def replays(loss: Callable[..., Any], settings: Mapping[str, Any], /) -> bool:
    """Whether a loss is of this package, whose losses depend on their arguments alone, and so is any setting
    that is a function; those of others may count, or keep something from step to step.
    """
    functions = (loss, *filter(callable, settings.values()))
    return all(_home(inside(one)).partition(".")[0] == __name__.partition(".")[0] for one in functions)


def _home(function: Callable[..., Any]) -> str:
    """The module that a function was written in, whatever it says of itself."""
    home = str(getattr(function, "__globals__", {}).get("__name__"))
    if home.startswith("jaxtyping.") and hasattr(function, "__wrapped__"):  # checked by its annotations
        return _home(function.__wrapped__)
    return home


class Replayed:
    """`gradient(*leaves)`, a function of tensors of which the first alone is differentiated, step after step.

    Args:
        gradient: the gradient in its first argument, made by autograd.
        fixed: the arguments behind the first are the same tensors at every step.
    """

    def __init__(self, gradient: Gradient, *, fixed: bool) -> None:
        self._gradient, self._fixed = gradient, fixed
        self._known: dict[torch.Size, _Program | None] = {}
        self._sure: set[torch.Size] = set()

    def __call__(self, logits: Float[Tensor, "members n k"], *others: Tensor | None) -> Tensor:
        shape = logits.shape
        if shape not in self._known:
            return self._recorded(logits, others)
        program = self._known[shape]
        if program is None:
            return self._gradient(logits, *others)
        found = program.run(logits, others)
        if shape in self._sure:
            return found
        right = self._gradient(logits, *others)
        if not torch.allclose(found, right, rtol=0, atol=0, equal_nan=True):
            self._known[shape] = None
        elif not torch.equal(program.first, logits):
            self._sure.add(shape)
        return right

    def _recorded(self, logits: Tensor, others: Sequence[Tensor | None]) -> Tensor:
        given = (logits, *(() if self._fixed else others))
        recording = _Recording(given)
        with recording:
            found = self._gradient(logits, *others)
        self._known[logits.shape] = recording.program(found, logits.clone())
        return found


@dataclass(frozen=True)
class _Step:
    """One operation: its arguments, those at `holes` to be filled in, and what is not read again."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    holes: tuple[tuple[int, int], ...]
    settings: dict[str, Any]
    out: int
    done: tuple[int, ...]


@dataclass(frozen=True)
class _Program:
    """The operations that lead from tensors that are given to a gradient."""

    steps: tuple[_Step, ...]
    size: int
    given: int
    out: int
    first: Tensor

    def run(self, logits: Tensor, others: Sequence[Tensor | None]) -> Tensor:
        values: list[Any] = [logits, *others][: self.given] + [None] * (self.size - self.given)
        for step in self.steps:
            args = list(step.args)
            for place, slot in step.holes:
                args[place] = values[slot]
            values[step.out] = step.function(*args, **step.settings)
            for slot in step.done:
                values[slot] = None
        found: Tensor = values[self.out]
        return found


class _Recording(TorchDispatchMode):  # type: ignore[misc]
    """The operations on what is given, and on what follows from it."""

    def __init__(self, given: Sequence[Tensor | None]) -> None:
        super().__init__()
        self._held: list[Any] = list(given)  # so that no other tensor takes the place of one in memory
        self._slots = {id(one): slot for slot, one in enumerate(given) if one is not None}
        self._given, self._steps, self._fails = len(given), list[_Step](), False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, so that torch does not load its compiler, two seconds, at the first operation."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        settings, out = kwargs or {}, func(*args, **(kwargs or {}))
        holes = tuple(
            (place, self._slots[id(one)]) for place, one in enumerate(args) if id(one) in self._slots
        )
        within = [
            one for value in (*args, *settings.values()) if isinstance(value, list | tuple) for one in value
        ]
        if any(id(one) in self._slots for one in (*within, *settings.values())):
            self._fails = True
        if func._schema.is_mutable or torch.Tag.nondeterministic_seeded in func.tags:
            self._fails = True
        if holes and func not in _NUMBERS_APART:
            if not isinstance(out, Tensor):  # numbers that Python may look at, or several tensors
                self._fails = True
            kept = tuple(None if id(one) in self._slots else one for one in args)
            self._steps.append(_Step(func, kept, holes, settings, len(self._held), ()))
            self._slots[id(out)] = len(self._held)
        self._held += [out, args]
        return out

    def program(self, found: Tensor, first: Tensor) -> _Program | None:
        """The steps that lead to what was found; None where it cannot be replayed."""
        if self._fails or id(found) not in self._slots:
            return None
        needed, last, steps = {out := self._slots[id(found)]}, {out}, list[_Step]()
        for step in reversed(self._steps):
            if step.out in needed:
                read = {slot for _, slot in step.holes}
                done = tuple(read - last)
                needed |= read
                last |= read
                steps.append(_Step(step.function, step.args, step.holes, step.settings, step.out, done))
        return _Program(tuple(reversed(steps)), len(self._held), self._given, out, first)
