"""The one training loop of all schemes: named terms in, a trained module and the history of each term out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from kdtheory.streams import Stream
from kdtheory.types import resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["Named", "Objective", "Trained", "Training", "descend", "own_copy"]

Named = Mapping[tuple[str, str], tuple[float, Tensor]]
"""(net, term) ↦ (weight, value)."""
Objective = Callable[[Batch], Named]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]

ADAM: Optimizer = partial(torch.optim.Adam, lr=1e-3)
"""What trains where no optimiser is named."""


@door
@dataclass(frozen=True)
class Training:
    """How a module is trained, in any scheme.

    With T = 4 a student needs several times the steps of one that learns from labels: look at the gradient
    norm of what comes out before two schemes are compared.

    Args:
        steps: optimiser steps, one a batch.
        optimizer: makes the optimiser of the parameters, such as ``partial(torch.optim.SGD, lr=0.1)``.
        schedule: makes a scheduler of the optimiser, stepped once a step; None keeps the rate.
        device: "auto" is CUDA where there is one, else the CPU.
        every: keep the losses of every so many steps, and of the last.
        progress: called with (done, total) steps. None shows a bar on a terminal and in a notebook, True a
            line now and then elsewhere too, False nothing.

    Raises:
        ValueError: `steps` < 0 or `every` < 1.
    """

    steps: int
    optimizer: Optimizer = ADAM
    schedule: Schedule | None = None
    device: str | torch.device = "auto"
    every: int = 1
    progress: Progress = None

    def __post_init__(self) -> None:
        check_at_least("steps", self.steps, 0)
        check_at_least("every", self.every, 1)


@door
@dataclass(frozen=True, eq=False)
class Trained:
    """A trained module, and how it got there.

    Args:
        module: in evaluation mode.
        history: step, loss, weight, value: one row for each term at each step kept, before that step.
        gradient_norm: of the whole objective over one epoch, at the end; in a cohort, of all students'. Of
            data without a length the epoch has as many batches as there were steps. NaN where it could not
            be had, and `note` says why.
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
    nets: nn.Module, objective: Objective, data: Batches, *, training: Training, stream: Stream
) -> tuple[pd.DataFrame, float, str]:
    """Minimise Σ weight · value over the parameters of `nets`, in place; history, gradient norm, and a note.

    Dropout, and the order of a DataLoader without a generator of its own, are drawn from `stream`. Nothing
    that
    happens after the last step loses what was trained: the norm is then NaN, and the note says why.

    Raises:
        ValueError: there is nothing to train, a batch of one example meets a normalisation over the batch,
            or a value is not finite before the first step.
    """
    device, rows = resolve_device(training.device), []
    parameters = [value for value in nets.parameters() if value.requires_grad]
    if not parameters:
        raise ValueError("the module has no parameter to train; give one whose parameters ask for gradients")
    _check_smallest(nets, data)
    optimizer = training.optimizer(parameters)
    schedule = training.schedule(optimizer) if training.schedule else None
    nets.train()
    with stream.default(), torch.enable_grad(), told(training.progress, "training") as tell:
        for step, batch in zip(range(training.steps), data.endless(device), strict=False):
            named = objective(batch)
            if step == 0:
                _check_start(named)
            optimizer.zero_grad()
            _total(named).backward()
            optimizer.step()
            if schedule:
                schedule.step()
            if step % training.every == 0 or step == training.steps - 1:
                rows += _rows(step, named)
            tell(step + 1, training.steps)
        norm, note = _last_look(nets, parameters, objective, data.epoch(device, most=max(1, training.steps)))
    nets.eval()
    return pd.DataFrame(rows, columns=["step", "net", "loss", "weight", "value"]), norm, note


def _check_smallest(nets: nn.Module, data: Batches) -> None:
    """Torch's normalisations over the batch refuse a single example, which may only come at the end."""
    norms = [
        type(part).__name__ for part in nets.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
    ]
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
    nets: nn.Module, parameters: Sequence[Tensor], objective: Objective, epoch: Iterator[Batch]
) -> tuple[float, str]:
    """The gradient norm, or NaN and why not; running statistics are left as they were, whatever happens."""
    kept = {name: value.clone() for name, value in nets.named_buffers()}
    try:
        return _gradient_norm(parameters, objective, epoch), ""
    except (Exception, KeyboardInterrupt) as error:
        why = str(error).strip().partition("\n")[0] or "interrupted"
        return math.nan, f"no gradient norm after the last step ({type(error).__name__}: {why})"
    finally:
        for name, value in nets.named_buffers():
            value.copy_(kept[name])


def _gradient_norm(parameters: Sequence[Tensor], objective: Objective, epoch: Iterator[Batch]) -> float:
    """The norm of the mean gradient over the examples of one epoch."""
    total, count = [torch.zeros_like(value) for value in parameters], 0
    for batch in epoch:
        gradients = torch.autograd.grad(_total(objective(batch)), parameters, allow_unused=True)
        for part, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                part.add_(gradient, alpha=len(batch.inputs))
        count += len(batch.inputs)
    return float(torch.stack([part.square().sum() for part in total]).sum().sqrt()) / count


def own_copy(module: nn.Module, device: str | torch.device) -> nn.Module:
    """A copy to train; the caller's module stays as it was."""
    return copied(module).to(resolve_device(device))
