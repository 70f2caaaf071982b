"""Checks before the first step and after the last: batches, losses, the gradient norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdtheory.batches import Batch, Batches
from kdtheory.networks import left_as_it_was
from kdtheory.recipe import Recipe
from kdtheory.types import at_least_float32

__all__ = [
    "Loss",
    "Measured",
    "Named",
    "check_smallest",
    "check_sparse",
    "check_start",
    "failed",
    "last_look",
    "left",
    "mean_over",
    "measure_again",
    "total",
]


class Measured(NamedTuple):
    """A term on a batch: a mean over so many examples, or over so many rows of logits that count."""

    weight: float
    value: Tensor
    counted: int
    rows: bool = False


Named = Mapping[tuple[str, str], Measured]
"""(net, term) ↦ what it is on a batch."""
Loss = Callable[[Batch], Named]


def check_smallest(nets: nn.Module, data: Batches) -> None:
    """Torch's normalisations over the batch refuse a single example, which may only come at the end."""
    norms = [type(part).__name__ for part in _batch_norms(nets)]
    if norms and data.smallest() == 1:
        raise ValueError(
            f"the last batch of an epoch has one example, over which {norms[0]} has no statistics; give the "
            "DataLoader drop_last=True or another batch size"
        )


def check_sparse(nets: nn.Module, recipe: Recipe) -> None:
    """Raise where a parameter is stored sparsely, or an embedding has sparse gradients that cannot be taken.

    The optimisers known by name cannot take the gradients, but for plain descent.
    """
    for path, parameter in nets.named_parameters():
        if parameter.requires_grad and parameter.layout is not torch.strided:
            raise ValueError(
                f"parameter {path!r} has layout {parameter.layout}, which no optimiser steps; make it an "
                "ordinary one, by to_dense(), or freeze it"
            )
    plain = recipe.optimizer == "sgd" and not (recipe.momentum or recipe.weight_decay or recipe.clip_norm)
    for name, part in nets.named_modules():
        asked = isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse and part.weight.requires_grad
        if asked and isinstance(recipe.optimizer, str) and not plain:
            raise ValueError(
                f"{name!r} is an {type(part).__name__} with sparse=True, whose gradients optimizer = "
                f"{recipe.optimizer!r} cannot take; give it sparse=False, or optimizer='sgd' without "
                "momentum, weight_decay and clip_norm"
            )


def check_start(named: Named) -> None:
    """Refuse what is idle, or was NaN before anything was trained: later NaNs are in the gradient norm."""
    named = _weighed(named)
    if not any(each.value.requires_grad for each in named.values()):
        raise ValueError(f"losses {', '.join(loss for _, loss in named)} depend on nothing that is trained")
    for (_, loss), each in named.items():
        if not bool(torch.isfinite(each.value.detach())):
            raise ValueError(
                f"{loss!r} is {float(each.value.detach())} before the first step; look for NaN or infinity "
                "in the inputs and in the networks' parameters"
            )


def total(named: Named) -> Tensor:
    """Σ weight·value; what has no weight is looked at alone, for 0·∞ is no number."""
    return torch.stack([each.weight * each.value for each in _weighed(named).values()]).sum()


def mean_over(objective: Loss, epoch: Iterator[Batch], name: str) -> float:
    """Σ weight·value over an epoch, each value the mean over all that it counts there.

    Raises:
        ValueError: nothing counts.
    """
    sums: dict[bool, float] = {}
    counts: dict[bool, int] = {}
    for batch in epoch:
        for rows, part in _by_kind(objective(batch)).items():
            count = _count(part)
            sums[rows] = sums.get(rows, 0.0) + (float(total(part)) * count if count else 0.0)
            counts[rows] = counts.get(rows, 0) + count
    _check_counts(counts, name)
    return sum(sums[rows] / counts[rows] for rows in sums)


@torch.no_grad()
def measure_again(nets: nn.Module, objective: Loss, epoch: Iterator[Batch]) -> str:
    """Batch statistics at the averaged parameters: plain means over one epoch, as torch's `update_bn`.

    Where it cannot be done they stay as they were after the last step, and what is returned says why.
    """
    norms = [part for part in _batch_norms(nets) if part.track_running_stats]
    found: list[tuple[Tensor, Tensor]] = []
    why = ""
    with left(nets):
        for part in norms:
            part.reset_running_stats()
            part.momentum = None
        try:
            for batch in epoch if norms else ():
                objective(batch)
            found = [(kept, kept.clone()) for part in norms for kept in part.buffers()]
        except (Exception, KeyboardInterrupt) as error:
            why = failed("no batch statistics of the averaged parameters", error)
    for kept, value in found:
        kept.copy_(value)
    return why


def left(nets: nn.Module) -> ExitStack:
    """Within, the nets may be called; afterwards what they count and keep is what it was."""
    stack = ExitStack()
    for part in nets.children():
        stack.enter_context(left_as_it_was(part))
    return stack


def last_look(
    nets: nn.Module,
    parameters: Sequence[Tensor],
    objective: Loss,
    epoch: Iterator[Batch],
    decay: float,
) -> tuple[float, str]:
    """The gradient norm, or NaN and why not; the nets are left as they were, whatever happens."""
    with left(nets):
        try:
            norm = _gradient_norm(parameters, objective, epoch, decay)
            return norm, "" if math.isfinite(norm) else f"the gradient norm after the last step is {norm}"
        except (Exception, KeyboardInterrupt) as error:
            return math.nan, failed("no gradient norm after the last step", error)


def _gradient_norm(
    parameters: Sequence[Tensor], objective: Loss, epoch: Iterator[Batch], decay: float
) -> float:
    """The norm of the mean gradient over what counts in one epoch, and of the penalty decay·‖θ‖²/2."""
    sums: dict[bool, list[Tensor]] = {}
    counts: dict[bool, int] = {}
    for batch in epoch:
        kinds = _by_kind(objective(batch))
        for rows, named in kinds.items():
            whole = sums.setdefault(rows, [torch.zeros_like(each) for each in at_least_float32(*parameters)])
            counts[rows] = counts.get(rows, 0) + (count := _count(named))
            if not (value := total(named)).requires_grad or not count:
                continue
            more = len(kinds) > 1
            gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=more)
            for part, gradient in zip(whole, gradients, strict=True):
                if gradient is not None:
                    part.add_(gradient, alpha=count)
    _check_counts(counts, "data")
    (whole, count), *others = ((sums[rows], counts[rows]) for rows in sums)
    for added, size in others:
        for part, other in zip(whole, added, strict=True):
            part.add_(other, alpha=count / size)
    if decay:
        for part, value in zip(whole, parameters, strict=True):
            part.add_(value.detach(), alpha=decay * count)
    return float(torch.stack([part.square().sum() for part in whole]).sum().sqrt()) / count


def failed(what: str, error: BaseException) -> str:
    """What could not be done, and why."""
    why = str(error).strip().partition("\n")[0] or "interrupted"
    return f"{what} ({type(error).__name__}: {why})"


def _weighed(named: Named) -> Named:
    return {key: each for key, each in named.items() if each.weight} or named


def _by_kind(named: Named) -> dict[bool, Named]:
    """The terms that are means over rows of logits, and those over examples."""
    kinds = dict.fromkeys(each.rows for each in named.values())
    return {rows: {key: each for key, each in named.items() if each.rows == rows} for rows in kinds}


def _count(named: Named) -> int:
    return next(iter(named.values())).counted


def _check_counts(counts: Mapping[bool, int], name: str) -> None:
    if not all(counts.values()):
        raise ValueError(f"every label of {name} is ignore_index; give one that counts")


def _batch_norms(nets: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Those that take the statistics of the batch; others are frozen."""
    kind = nn.modules.batchnorm._BatchNorm
    return [part for part in nets.modules() if isinstance(part, kind) and part.training]
