"""The one training loop of all schemes: named terms in, a trained module and the history of each term out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kdtheory.batches import Batch, Batches
from kdtheory.doors import door
from kdtheory.networks import copied
from kdtheory.progress import Progress, told
from kdtheory.recipe import Recipe, TailAverage
from kdtheory.streams import Stream
from kdtheory.types import resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["LOOP", "Loop", "Named", "Objective", "Trained", "descend", "own_copy"]

Named = Mapping[tuple[str, str], tuple[float, Tensor]]
"""(net, term) ↦ (weight, value)."""
Objective = Callable[[Batch], Named]


@door
@dataclass(frozen=True, kw_only=True)
class Loop:
    """What the loop does beside the steps of the recipe; none of it changes what is trained.

    Args:
        every: keep the losses of every so many steps, and of the last.
        progress: called with (done, total) steps. None shows a bar on a terminal and in a notebook, True a
            line now and then elsewhere too, False nothing.

    Raises:
        ValueError: `every` < 1.
    """

    every: int = 1
    progress: Progress = None

    def __post_init__(self) -> None:
        check_at_least("every", self.every, 1)


LOOP = Loop()
"""What the loop does where nothing is said."""


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
        note: what could not be done after the last step; empty where all was.
    """

    module: nn.Module
    history: pd.DataFrame
    gradient_norm: float
    note: str = ""

    def converged(self, tolerance: float, /) -> bool:
        """Whether the gradient norm is at most `tolerance`.

        Raises:
            ValueError: `tolerance` is not greater than 0.
        """
        check_positive("tolerance", tolerance)
        return self.gradient_norm <= tolerance

    def to_frame(self) -> pd.DataFrame:
        """The named losses over the steps: one row a step that was kept, one column a loss."""
        return self.history.pivot_table(index="step", columns="loss", values="value", sort=False)

    def plot(self) -> Any:
        """The named losses over the steps; the axes."""
        return self.to_frame().plot(xlabel="step", ylabel="value")

    def _repr_html_(self) -> str:
        ends = f"gradient norm {self.gradient_norm:.3g} at the end"
        told = escape(f"{ends}; {self.note}" if self.note else ends)
        return f"<p>{told}</p>{self.to_frame().tail().to_html()}"


def descend(
    nets: nn.Module,
    objective: Objective,
    data: Batches,
    *,
    recipe: Recipe,
    stream: Stream,
    device: torch.device,
    loop: Loop,
) -> tuple[pd.DataFrame, float, str]:
    """Minimise Σ weight · value over the parameters of `nets`, in place; history, gradient norm, and a note.

    Dropout, and the order of a DataLoader without a generator of its own, are drawn from `stream`. Nothing
    that happens after the last step loses what was trained: the norm is then NaN, and the note says why.

    Raises:
        ValueError: there is nothing to train, a batch of one example meets a normalisation over the batch,
            a value is not finite before the first step, or the recipe says what modules cannot do.
    """
    recipe.check_honoured("a module")
    rows, steps = [], _steps(recipe, data)
    parameters = [value for value in nets.parameters() if value.requires_grad]
    if not parameters:
        raise ValueError("the module has no parameter to train; give one whose parameters ask for gradients")
    _check_smallest(nets, data)
    optimizer = recipe.optimizer_of(parameters)
    schedule, tail = _schedule(recipe, optimizer, steps), TailAverage(parameters, recipe.averaged, steps)
    nets.train()
    with stream.default(), torch.enable_grad(), told(loop.progress, "training") as tell:
        for step, batch in zip(range(steps), data.endless(device), strict=False):
            named = objective(batch)
            if step == 0:
                _check_start(named)
            optimizer.zero_grad()
            _total(named).backward()
            optimizer.step()
            schedule.step()
            tail.see(step)
            if step % loop.every == 0 or step == steps - 1:
                rows += _rows(step, named)
            tell(step + 1, steps)
        epoch = partial(data.epoch, device, most=max(1, steps))
        if recipe.averaged and steps:
            tail.settle()
            _measure_again(nets, objective, epoch())
        norm, note = _last_look(nets, parameters, objective, epoch(), recipe.weight_decay)
    nets.eval()
    return pd.DataFrame(rows, columns=["step", "net", "loss", "weight", "value"]), norm, note


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


def _schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if not isinstance(recipe.schedule, str):
        return recipe.schedule(optimizer)
    factor = recipe.factor
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step / max(1, steps)))


@torch.no_grad()
def _measure_again(nets: nn.Module, objective: Objective, epoch: Iterator[Batch]) -> None:
    """Batch statistics at the averaged parameters: plain means over one epoch, as torch's `update_bn`."""
    norms = [part for part in _batch_norms(nets) if part.track_running_stats]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None
    for batch in epoch if norms else ():
        objective(batch)
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum


def _batch_norms(nets: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [part for part in nets.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _check_smallest(nets: nn.Module, data: Batches) -> None:
    """Torch's normalisations over the batch refuse a single example, which may only come at the end."""
    norms = [type(part).__name__ for part in _batch_norms(nets)]
    if norms and data.smallest() == 1:
        raise ValueError(
            f"the last batch of an epoch has one example, over which {norms[0]} has no statistics; give the "
            "DataLoader drop_last=True or another batch size"
        )


def _check_start(named: Named) -> None:
    """Refuse what was NaN before anything was trained; later NaNs are seen in the gradient norm."""
    for (_, loss), (_, value) in named.items():
        if not bool(torch.isfinite(value.detach())):
            raise ValueError(
                f"{loss!r} is {float(value.detach())} before the first step; look for NaN or infinity in the "
                "inputs and in the networks' parameters"
            )


def _total(named: Named) -> Tensor:
    return torch.stack([weight * value for weight, value in named.values()]).sum()


def _rows(step: int, named: Named) -> list[dict[str, Any]]:
    return [
        {"step": step, "net": net, "loss": loss, "weight": weight, "value": float(value.detach())}
        for (net, loss), (weight, value) in named.items()
    ]


def _last_look(
    nets: nn.Module,
    parameters: Sequence[Tensor],
    objective: Objective,
    epoch: Iterator[Batch],
    decay: float,
) -> tuple[float, str]:
    """The gradient norm, or NaN and why not; running statistics are left as they were, whatever happens."""
    kept = {name: value.clone() for name, value in nets.named_buffers()}
    try:
        return _gradient_norm(parameters, objective, epoch, decay), ""
    except (Exception, KeyboardInterrupt) as error:
        why = str(error).strip().partition("\n")[0] or "interrupted"
        return math.nan, f"no gradient norm after the last step ({type(error).__name__}: {why})"
    finally:
        for name, value in nets.named_buffers():
            value.copy_(kept[name])


def _gradient_norm(
    parameters: Sequence[Tensor], objective: Objective, epoch: Iterator[Batch], decay: float
) -> float:
    """The norm of the mean gradient over the examples of one epoch, and of the penalty decay·‖θ‖²/2."""
    total, count = [torch.zeros_like(value) for value in parameters], 0
    for batch in epoch:
        gradients = torch.autograd.grad(_total(objective(batch)), parameters, allow_unused=True)
        for part, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                part.add_(gradient, alpha=len(batch.inputs))
        count += len(batch.inputs)
    if decay:
        for part, value in zip(total, parameters, strict=True):
            part.add_(value.detach(), alpha=decay * count)
    return float(torch.stack([part.square().sum() for part in total]).sum().sqrt()) / count


def own_copy(module: nn.Module, device: str | torch.device) -> nn.Module:
    """A copy to train; the caller's module stays as it was."""
    return copied(module).to(resolve_device(device))
