"""Self-distillation: a line of students of one shape, each taught by the one before (born-again networks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from kdtheory.batches import Data
from kdtheory.doors import door
from kdtheory.recipe import Recipe
from kdtheory.schemes.loop import LOOP, Loop, Trained
from kdtheory.schemes.offline import distil, fit
from kdtheory.schemes.terms import Term, hinton
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least

__all__ = ["born_again"]


@door
def born_again(
    make: Callable[[], nn.Module],
    data: Data,
    /,
    *,
    rounds: int,
    losses: Mapping[str, Term] | None = None,
    recipe: Recipe,
    stream: Stream,
    device: str | torch.device = "auto",
    loop: Loop = LOOP,
) -> list[Trained]:
    """Train a module on labels, then `rounds` fresh ones, each distilled from the one before.

    Furlanello et al. (2018); every student has an initialisation of its own.

    Args:
        make: makes a fresh module; it is called once a round, with torch's default generator at a place of
            its own.
        data: as in `distil`.
        rounds: how many times a student becomes the teacher, 1 or more.
        losses: what a student minimises; None is ``hinton(temperature=1.0, weight=0.5)``, which is ours.
        recipe: of every round.
        stream: where all randomness comes from.
        device: where to train; "auto" is CUDA where there is one, else the CPU.
        loop: which losses are kept, who is told, validation, checkpoints, in every round; a checkpoint's file
            has the round in its name.

    Returns:
        rounds + 1 modules, the one trained on labels first.

    Raises:
        ValueError: `rounds` < 1, or as `distil`.

    >>> import torch
    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> short = Recipe(steps=2)
    >>> line = born_again(lambda: nn.Linear(1, 2), points, rounds=2, recipe=short, stream=Stream(0))
    >>> [each.history["loss"].nunique() for each in line]
    [1, 2, 2]
    """
    check_at_least("rounds", rounds, 1)
    terms = hinton(temperature=1.0, weight=0.5) if losses is None else losses
    how: dict[str, Any] = {"recipe": recipe, "device": device}
    line = [fit(_fresh(make, stream.child(0)), data, stream=stream.child(0), **how, loop=loop.child(0))]
    for turn in range(1, rounds + 1):
        here, teacher = stream.child(turn), line[-1].module
        fresh = _fresh(make, here)
        line.append(distil(fresh, teacher, data, losses=terms, stream=here, **how, loop=loop.child(turn)))
    return line


def _fresh(make: Callable[[], nn.Module], stream: Stream) -> nn.Module:
    with stream.child("init").default():
        return make()
