"""Checks of the arguments of `train`, each answered once, before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdtheory.networks import Architecture
from kdtheory.populations._descent import Sample, Task
from kdtheory.streams import Stream
from kdtheory.types import recordable
from kdtheory.validate import check_at_least, check_labels, check_probs

__all__ = [
    "check_loss",
    "checked_kept",
    "checked_sample",
    "checked_settings",
    "checked_start",
]


def checked_start(architecture: Architecture, members: int, stream: Stream, initial: Tensor | None) -> Tensor:
    """The parameters to start from: the given ones, or fresh ones."""
    if initial is None:
        return architecture.init(stream.child("init"), members=members, dtype=torch.float64)
    if initial.shape != (members, architecture.size):
        raise ValueError(
            f"initial has shape {tuple(initial.shape)}; it must be members × size = "
            f"({members}, {architecture.size})"
        )
    return initial.detach()


def checked_kept(kept: Tensor | None, params: Tensor) -> Tensor | None:
    """Which parameters are kept, beside the parameters; the others become zero here and now."""
    if kept is None:
        return None
    if kept.shape != params.shape or kept.dtype != torch.bool:
        raise ValueError(
            f"kept has shape {tuple(kept.shape)} and dtype {kept.dtype}; it must be boolean, "
            f"members × size = {tuple(params.shape)}"
        )
    kept = kept.to(params.device)
    params.mul_(kept)
    return kept


def checked_sample(
    architecture: Architecture,
    params: Tensor,
    inputs: Tensor,
    labels: Tensor | None,
    teacher_probs: Tensor | None,
) -> Sample:
    """The data beside the parameters, every array with a member axis."""
    inputs = _with_members("inputs", inputs, (-1, *architecture.input_shape), params)
    if not bool(torch.isfinite(inputs).all()):
        raise ValueError("inputs holds NaN or infinity; clean it first")
    examples = inputs.shape[1]
    check_at_least("the number of rows of inputs", examples, 1)
    with torch.no_grad():
        classes = architecture.logits(params[:1], inputs[0, :1]).shape[-1]
    if labels is not None:
        check_labels("labels", labels, classes)
        labels = _with_members("labels", labels.long(), (examples,), params)
    if teacher_probs is not None:
        check_probs("teacher_probs", teacher_probs)
        teacher_probs = _with_members("teacher_probs", teacher_probs, (examples, classes), params)
    return Sample(inputs, labels, teacher_probs)


def _with_members(name: str, array: Tensor, shape: tuple[int, ...], params: Tensor) -> Tensor:
    """`array` on the parameters' device, and in their dtype if it is real, as members × shape."""
    members = len(params)
    fits = array.ndim >= len(shape) and all(
        want in (-1, got) for got, want in zip(array.shape[-len(shape) :], shape, strict=True)
    )
    if not fits or array.shape[: -len(shape)] not in ((), (members,)):
        shown = ", ".join("n" if want == -1 else str(want) for want in shape)
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}; give ({shown}), shared by all members, "
            f"or ({members}, {shown}), each member's own"
        )
    array = recordable(array).to(params.device, params.dtype if array.is_floating_point() else None)
    return array.expand(members, *array.shape[-len(shape) :])


def checked_settings(settings: Mapping[str, Any], params: Tensor) -> dict[str, Any]:
    """The loss's settings, those of `members` numbers as members × 1."""
    checked = dict(settings)
    for name, value in settings.items():
        if isinstance(value, Tensor) and value.ndim:
            if value.shape != (len(params),):
                raise ValueError(
                    f"settings[{name!r}] has shape {tuple(value.shape)}; give one number for all, "
                    f"or a tensor of {len(params)}, one for each member"
                )
            dtype = params.dtype if value.is_floating_point() else None
            checked[name] = recordable(value).to(params.device, dtype)[:, None]
        elif isinstance(value, Tensor):
            checked[name] = value.item()
    return checked


def check_loss(task: Task, params: Tensor) -> None:
    """The loss gives a number for every example, and no member's depend on another's."""
    members, examples = min(2, len(params)), min(3, task.sample.inputs.shape[1])
    sample = task.sample.rows(lambda array: array[:members, :examples])
    _check_taken(task)
    with torch.enable_grad():
        logits = task.architecture.logits(params[:members], sample.inputs).detach().requires_grad_()
    first = sample.rows(lambda array: array[:1])
    if getattr(task.loss, "__module__", "").startswith("kdtheory."):
        _check_ends(task, logits[:1].detach(), first)
    with torch.enable_grad():
        losses = task.loss_of(slice(0, members))(logits, sample.teacher_probs, sample.labels)
    if losses.shape != (members, examples):
        raise ValueError(
            f"loss gives shape {tuple(losses.shape)} for logits of shape {tuple(logits.shape)}; it must give "
            f"one number per example, {(members, examples)}: leave the mean to the training"
        )
    if not losses.requires_grad:
        raise ValueError("loss does not depend on the student's logits in a way that torch can differentiate")
    alone = task.loss_of(slice(0, 1))(logits[:1], first.teacher_probs, first.labels)
    if not torch.allclose(losses[:1], alone, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise ValueError(
            "loss of a member changes when another stands beside it; it must treat the leading axis "
            "as a batch (settings of one number per member reach it as members × 1)"
        )


def _check_taken(task: Task) -> None:
    """The settings are ones that the loss takes by name, beside its own three arguments."""
    try:
        inspect.signature(task.loss).bind(None, None, None, **task.settings)
    except TypeError as error:
        raise ValueError(
            f"settings has {', '.join(task.settings) or 'nothing'}, and loss says: {error}; give those "
            "that it takes by name"
        ) from error


def _check_ends(task: Task, logits: Tensor, sample: Sample) -> None:
    """Settings are looked at by the door of the loss; of many numbers, the least and the largest."""
    many = {name: value for name, value in task.settings.items() if isinstance(value, Tensor)}
    plain = dict(task.settings) | {name: float(value[0]) for name, value in many.items()}
    task.loss(logits, sample.teacher_probs, sample.labels, **plain)
    for name, value in many.items():
        for end in torch.aminmax(value):
            task.loss(logits, sample.teacher_probs, sample.labels, **plain | {name: float(end)})
