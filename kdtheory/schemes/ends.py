"""Checks before the first step and after the last: batches, losses, the gradient norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from kdtheory.batches import Batch, Batches
from kdtheory.recipe import Recipe

__all__ = [
    "Loss",
    "Named",
    "check_smallest",
    "check_sparse",
    "check_start",
    "last_look",
    "measure_again",
    "total",
]

Named = Mapping[tuple[str, str], tuple[float, Tensor]]
"""(net, term) ↦ (weight, value)."""
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
    """Of torch's optimisers by name, only plain gradient descent takes the sparse gradients of embeddings."""
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
    if not any(value.requires_grad for _, value in named.values()):
        raise ValueError(f"losses {', '.join(loss for _, loss in named)} depend on nothing that is trained")
    for (_, loss), (_, value) in named.items():
        if not bool(torch.isfinite(value.detach())):
            raise ValueError(
                f"{loss!r} is {float(value.detach())} before the first step; look for NaN or infinity in the "
                "inputs and in the networks' parameters"
            )


def total(named: Named) -> Tensor:
    """Σ weight·value."""
    return torch.stack([weight * value for weight, value in named.values()]).sum()


@torch.no_grad()
def measure_again(nets: nn.Module, objective: Loss, epoch: Iterator[Batch]) -> None:
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


def last_look(
    nets: nn.Module,
    parameters: Sequence[Tensor],
    objective: Loss,
    epoch: Iterator[Batch],
    decay: float,
) -> tuple[float, str]:
    """The gradient norm, or NaN and why not; running statistics are left as they were, whatever happens."""
    kept = [
        (part, name, value, value.clone())
        for part in nets.modules()
        for name, value in part._buffers.items()
        if value is not None
    ]
    try:
        return _gradient_norm(parameters, objective, epoch, decay), ""
    except (Exception, KeyboardInterrupt) as error:
        why = str(error).strip().partition("\n")[0] or "interrupted"
        return math.nan, f"no gradient norm after the last step ({type(error).__name__}: {why})"
    finally:
        for part, name, value, before in kept:  # one may have been put in another's place
            part._buffers[name] = value
            value.resize_(before.shape).copy_(before)


def _gradient_norm(
    parameters: Sequence[Tensor], objective: Loss, epoch: Iterator[Batch], decay: float
) -> float:
    """The norm of the mean gradient over the examples of one epoch, and of the penalty decay·‖θ‖²/2."""
    whole, count = [torch.zeros_like(value) for value in parameters], 0
    for batch in epoch:
        gradients = torch.autograd.grad(total(objective(batch)), parameters, allow_unused=True)
        for part, gradient in zip(whole, gradients, strict=True):
            if gradient is not None:
                part.add_(gradient, alpha=len(batch.inputs))
        count += len(batch.inputs)
    if decay:
        for part, value in zip(whole, parameters, strict=True):
            part.add_(value.detach(), alpha=decay * count)
    return float(torch.stack([part.square().sum() for part in whole]).sum().sqrt()) / count


def _batch_norms(nets: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Those that take the statistics of the batch; others are frozen."""
    kind = nn.modules.batchnorm._BatchNorm
    return [part for part in nets.modules() if isinstance(part, kind) and part.training]
