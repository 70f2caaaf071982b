"""The one training loop of all schemes: named terms in, a trained module and the history of each term out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from kdtheory.batches import Batches
from kdtheory.doors import door
from kdtheory.networks import copied
from kdtheory.progress import Progress, told
from kdtheory.recipe import Recipe
from kdtheory.schemes.ends import Loss, check_smallest, check_sparse, last_look, measure_again
from kdtheory.schemes.passes import Passes
from kdtheory.schemes.running import Run
from kdtheory.schemes.sameness import data_in_words, recipe_in_words
from kdtheory.schemes.stepping import Stepper
from kdtheory.schemes.watching import Callback, Keeper, Validation, Watch, kept, steps_between
from kdtheory.streams import Stream
from kdtheory.types import resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["LOOP", "Descended", "Loop", "Trained", "descend", "own_copy"]


@door
@dataclass(frozen=True, kw_only=True)
class Loop:
    """Everything beside the steps of the recipe: who is told, who looks on, and what is kept.

    A callback that returns True and a `validation` choose after which step the parameters are taken; nothing
    else here changes what is trained.

    Args:
        every: keep the losses of every so many steps, and of the last.
        progress: called with (done, total) steps. None shows a bar on a terminal and in a notebook, True a
            line now and then elsewhere too, False nothing.
        callbacks: each called with a `Moment` after every step; True ends the training. One that fails after
            the last step loses nothing: `Trained.note` says so.
        validation: early stopping on examples that are kept from the training.
        checkpoint: where the state is kept, to go on from: `kdtheory.checkpoints.Checkpoint`.

    Raises:
        ValueError: `every` < 1.

    >>> from kdtheory.schemes import fit
    >>> points, seen = (torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])), []
    >>> loop = Loop(callbacks=(lambda now: seen.append(now.losses["labels"]) or now.step == 2,))
    >>> ended = fit(nn.Linear(1, 2), points, recipe=Recipe(steps=9), stream=Stream(0), loop=loop)
    >>> ended.step, len(seen), seen == ended.history["value"].tolist()
    (2, 2, True)
    """

    every: int = 1
    progress: Progress = None
    callbacks: Sequence[Callback] = ()
    validation: Validation | None = None
    checkpoint: Keeper | None = None

    def __post_init__(self) -> None:
        check_at_least("every", self.every, 1)

    def child(self, name: str | int, /) -> Loop:
        """The loop of one part of a training of several, with a checkpoint of its own."""
        kept = self.checkpoint
        return self if kept is None else replace(self, checkpoint=kept.child(str(name)))


LOOP = Loop()
"""The options where nothing is said."""


@dataclass(frozen=True, eq=False)
@door  # of its methods: the gradient norm may be NaN
class Trained:
    """A trained module, and how it got there.

    Args:
        module: in evaluation mode.
        history: step, loss, weight, value: one row for each term at each step kept, before that step.
        gradient_norm: of the whole objective over one epoch, with the penalty of the recipe's weight decay,
            at the end; in a cohort, of all students'. Of data without a length the epoch has as many batches
            as there were steps. NaN where it could not be had, and `note` says why.
        note: what could not be done at the end, as to choose by a validation of NaN, and whether the answers
            of the teacher depend on each other or on chance; empty where all is well.
        step: after how many steps the module was as it is: the last, or the best of a validation.
        validation: step, value: the objective on the examples of a validation after so many steps.
    """

    module: nn.Module
    history: pd.DataFrame
    gradient_norm: float
    note: str = ""
    step: int = 0
    validation: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["step", "value"]))

    def converged(self, tolerance: float, /) -> bool:
        """Whether the gradient norm is at most `tolerance`.

        Raises:
            ValueError: `tolerance` is not greater than 0.
        """
        check_positive("tolerance", tolerance)
        return self.gradient_norm <= tolerance

    def to_frame(self) -> pd.DataFrame:
        """The named losses over the steps: one row a step that was kept, one column a loss."""
        return self.history.pivot_table(
            index="step", columns="loss", values="value", sort=False, dropna=False
        )

    def plot(self) -> Any:
        """The named losses over the steps; the axes."""
        return self.to_frame().plot(xlabel="step", ylabel="value")

    def _repr_html_(self) -> str:
        ends = f"gradient norm {self.gradient_norm:.3g} at the end"
        told = escape(f"{ends}; {self.note}" if self.note else ends)
        return f"<p>{told}</p>{self.to_frame().tail().to_html()}"


class Descended(NamedTuple):
    """The results of a training, beside the parameters."""

    history: pd.DataFrame
    gradient_norm: float
    note: str
    step: int
    validation: pd.DataFrame


def descend(
    nets: nn.Module,
    objective: Loss,
    data: Batches,
    *,
    recipe: Recipe,
    stream: Stream,
    device: torch.device,
    loop: Loop,
    shown: nn.Module,
    said: Callable[[], str],
) -> Descended:
    """Minimise Σ weight · value over the parameters of `nets`, in place.

    Dropout, and the order of a DataLoader without a generator of its own, are drawn from `stream`. Nothing
    that happens after the last step loses what was trained: the norm is then NaN, and the note says why.
    Callbacks are shown `shown`; a checkpoint is of the same losses where `said` gives the same words.

    Raises:
        ValueError: there is nothing to train, a batch of one example meets a normalisation over the batch,
            embeddings have sparse gradients that the optimiser cannot take, a value is not finite before the
            first step, the recipe says what modules cannot do, the validation cannot be read, or the
            checkpoint is of another training.
    """
    recipe.check_honoured("a module")
    steps = _steps(recipe, data)
    parameters = [value for value in nets.parameters() if value.requires_grad]
    if not parameters:
        raise ValueError("the module has no parameter to train; give one whose parameters ask for gradients")
    if loop.validation is not None and recipe.averaged:
        raise ValueError(
            f"averaged = {recipe.averaged} and a validation both choose the parameters; give one"
        )
    nets.train()
    check_smallest(nets, data)
    check_sparse(nets, recipe)
    with stream.default(), torch.enable_grad(), told(loop.progress, "training") as tell:
        stepper, passes = Stepper(parameters, recipe, steps, device), Passes(data, device)
        how, keeper = loop.validation, loop.checkpoint
        watch = None if how is None else Watch(how, nets, objective, device, data)
        title = "" if keeper is None else _title(recipe, steps, stream, said(), data, watch)
        run = Run(nets, stepper, passes, watch, title)
        pause = 0 if keeper is None else steps_between(keeper.every, data, "checkpoint")
        if keeper is not None and (state := keeper.load()) is not None:
            run.load(state)
        notes: list[str] = []
        while run.step < steps and not run.ended:
            run.take(objective, steps, loop.callbacks, shown, every=loop.every)
            last = run.ended or run.step == steps
            if keeper is not None and (last or run.step % pause == 0):
                notes += kept(keeper.save, run.state(), last=last)
            tell(run.step, steps)
        epoch = partial(data.epoch, device, most=max(1, steps))
        if watch is not None:
            watch.settle()
            notes.append(watch.failed)
        notes += [*run.failed, stepper.failed]
        notes += [measure_again(nets, objective, epoch())] if stepper.settle() else []
        norm, note = last_look(nets, parameters, objective, epoch(), recipe.weight_decay)
    nets.eval()
    if watch is not None and watch.looks and not watch.best:
        notes.append("the validation was never a number, so that these are the last parameters")
    looks = pd.DataFrame([] if watch is None else watch.looks, columns=["step", "value"])
    history = pd.DataFrame(run.rows, columns=["step", "net", "loss", "weight", "value"])
    best = watch.best if watch and watch.best else run.step
    return Descended(history, norm, "; ".join(filter(None, [*notes, note])), best, looks)


def _title(recipe: Recipe, steps: int, stream: Stream, said: str, data: Batches, watch: Watch | None) -> str:
    """What the checkpoint of a training is of; only a training of the same goes on from it."""
    looks = "" if watch is None else f", validation {watch.said}"
    return f"{recipe_in_words(recipe)}, {steps} steps, {stream}, {said}, data {data_in_words(data)}{looks}"


def _steps(recipe: Recipe, data: Batches) -> int:
    """The steps of a recipe on these data, whose loader says how many batches an epoch has."""
    if recipe.epochs is None:
        return recipe.steps_of(1)
    batches = data.length
    if batches is None:
        raise ValueError(
            f"epochs = {recipe.epochs} of data without a length; give steps, or say Batches(data, most=…)"
        )
    return recipe.steps_of(batches)


def own_copy(module: nn.Module, device: str | torch.device) -> nn.Module:
    """A copy to train; the caller's module stays as it was."""
    return copied(module).to(resolve_device(device))
