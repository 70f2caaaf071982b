"""The hot loop: one group of members, step after step, with nothing in it that is not a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import inside
from kdtheory.iterates import TailAverage, clip_rows
from kdtheory.networks import Architecture, SteppingTape, Tape
from kdtheory.populations._groups import rows_at_once
from kdtheory.populations._layout import layout_of
from kdtheory.populations._replay import Replayed, replays
from kdtheory.populations._softmax import ClassesFirst
from kdtheory.populations._update import update_of
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

__all__ = ["Loss", "Sample", "Task", "descend", "is_plain"]

Loss = Callable[..., Tensor]
_REPORTS = 100


@dataclass(frozen=True)
class Sample:
    """The data of a group; a member axis of stride 0 where the members share it."""

    inputs: Float[Tensor, "members n ..."]
    labels: Int[Tensor, "members n"] | None
    teacher_probs: Float[Tensor, "members n k"] | None

    def rows(self, pick: Callable[[Tensor], Tensor]) -> Sample:
        """Every array passed through `pick`."""
        return Sample(
            pick(self.inputs),
            None if self.labels is None else pick(self.labels),
            None if self.teacher_probs is None else pick(self.teacher_probs),
        )


@dataclass(frozen=True)
class Task:
    """The task of every group."""

    architecture: Architecture
    sample: Sample
    loss: Loss
    settings: Mapping[str, Any]
    recipe: Recipe
    steps: int
    order: Stream
    kept: Bool[Tensor, "all size"] | None = None

    def loss_of(self, group: slice) -> Loss:
        """The loss with the group's rows of those settings that each member has its own of."""
        settings = {
            name: value[group] if isinstance(value, Tensor) else value
            for name, value in self.settings.items()
        }
        loss = inside(self.loss)
        return lambda logits, teacher_probs, labels: loss(logits, teacher_probs, labels, **settings)


def descend(
    task: Task, params: Float[Tensor, "all size"], group: slice, tell: Callable[[int], None]
) -> tuple[Float[Tensor, "members"], Float[Tensor, "members"]]:
    """Train the rows `group` of `params` in place; their last losses and gradient norms.

    Parameters that are not kept are zero; without a gradient of their own they stay so, decay or not.
    """
    recipe, members = task.recipe, params[group]
    by_rows = task.kept is not None or recipe.clip_norm is not None
    layout = layout_of(task.architecture, members, rows=by_rows)
    weights, gradient, tape = layout.weights, layout.gradient, layout.tape
    update = update_of(recipe, weights, gradient)
    loss = task.loss_of(group)
    mask = None if task.kept is None else task.kept[group].to(members)
    raw = task.sample.rows(lambda array: array[group])
    batches: Iterator[Sample]
    examples = raw.inputs.shape[1]
    size = min(recipe.batch_size or examples, examples)
    if size < examples:
        batches = (_prepared(batch, tape) for batch in _minibatches(raw, size, task.order, group))
    else:
        batches = repeat(_prepared(raw, tape))
    pull: Callable[..., Tensor] = partial(_gradient, loss)
    if replays(task.loss, task.settings) and weights.device.type == "cpu":
        pull = Replayed(pull, fixed=size == examples)
    stride, factor = max(1, task.steps // _REPORTS), recipe.factor
    tail = TailAverage([weights], recipe.averaged, task.steps)
    plain = mask is None and is_plain(recipe)
    stepping = tape if plain and isinstance(tape, SteppingTape) else None
    with torch.enable_grad():
        for done in range(0, task.steps, stride):
            count = min(stride, task.steps - done)
            for step in range(done, done + count):
                now = recipe.learning_rate * factor(step / task.steps)
                batch = next(batches)
                logits = tape.forward(batch.inputs).detach()
                along = pull(logits, batch.teacher_probs, batch.labels)
                if stepping is not None:
                    stepping.step(along, now)
                    continue
                tape.backward(along)
                if mask is not None:
                    gradient.mul_(mask)
                if recipe.clip_norm is not None:
                    clip_rows(gradient, recipe.clip_norm)
                update(now)
                tail.see(step)
            tell(count * len(members))
        if stepping is not None:
            stepping.settle()
        tail.settle()
        if size < examples:
            rows = max(size, rows_at_once(task.architecture, len(members), examples))
            losses = _on_all(tape, raw, loss, gradient, rows)
        else:
            losses = _backward(tape, next(batches), loss)
    if mask is not None:
        gradient.mul_(mask)
    gradient.add_(weights, alpha=recipe.weight_decay)
    if weights is not members:
        members.copy_(layout.members(weights))
    return losses.detach().mean(-1), layout.members(gradient).norm(dim=-1)


def is_plain(recipe: Recipe) -> bool:
    """Whether a step is the gradient times the rate, and nothing is kept of it."""
    kept = recipe.momentum or recipe.weight_decay or recipe.averaged or recipe.clip_norm
    return recipe.optimizer == "sgd" and not kept


def _pull(
    loss: Loss, logits: Tensor, *others: Tensor | None
) -> tuple[Float[Tensor, "members n"], Float[Tensor, "members n k"]]:
    """The losses of each member on its batch, and the gradient of their mean in the logits."""
    logits = logits.detach().requires_grad_()
    with ClassesFirst():
        losses = loss(logits, *others)
    return losses, torch.autograd.grad(losses.sum() / losses.shape[-1], logits)[0]


def _gradient(loss: Loss, logits: Tensor, *others: Tensor | None) -> Float[Tensor, "members n k"]:
    return _pull(loss, logits, *others)[1]


def _backward(tape: Tape, batch: Sample, loss: Loss) -> Float[Tensor, "members n"]:
    """The losses of each member on its batch, and the gradient of their mean into the tape's array."""
    losses, pull = _pull(loss, tape.forward(batch.inputs), batch.teacher_probs, batch.labels)
    tape.backward(pull)
    return losses


def _on_all(tape: Tape, raw: Sample, loss: Loss, gradient: Tensor, rows: int) -> Float[Tensor, "members n"]:
    """`_backward` on all examples, so many at a time, the mean of their gradients in the tape's array."""
    examples = raw.inputs.shape[1]
    losses, total = [], torch.zeros_like(gradient)
    for start in range(0, examples, rows):
        part = raw.rows(partial(torch.narrow, dim=1, start=start, length=min(rows, examples - start)))
        losses.append(_backward(tape, _prepared(part, tape), loss))
        total.add_(gradient, alpha=losses[-1].shape[1] / examples)
    gradient.copy_(total)
    return torch.cat(losses, 1)


def _prepared(sample: Sample, tape: Tape) -> Sample:
    """The sample in the tape's layout: classes first, as the logits are."""
    probs = sample.teacher_probs
    return replace(
        sample,
        inputs=tape.prepare(sample.inputs),
        teacher_probs=None if probs is None else _once(probs, lambda array: array.mT.contiguous().mT),
    )


def _once(array: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change`, applied a single time where the members share the array."""
    return change(array[:1]).expand_as(array) if array.stride(0) == 0 else change(array)


def _minibatches(sample: Sample, batch_size: int, order: Stream, group: slice) -> Iterator[Sample]:
    """Epoch after epoch, every member's rows in an order of its own, cut into batches."""
    device, (members, examples) = sample.inputs.device, sample.inputs.shape[:2]
    generators = [order.child(group.start + member).torch() for member in range(members)]
    first = examples * torch.arange(members, device=device)[:, None]
    while True:
        orders = torch.stack([torch.randperm(examples, generator=generator) for generator in generators])
        for chosen in orders.to(device).split(batch_size, 1):
            yield sample.rows(partial(_chosen, chosen, chosen + first))


def _chosen(rows: Tensor, of_all: Tensor, array: Tensor) -> Tensor:
    """The rows of each member, of an array in common or of the members' own, which lie one after another."""
    shared = array.stride(0) == 0
    flat, places = (array[0], rows) if shared else (array.flatten(0, 1), of_all)
    picked: Tensor = flat.index_select(0, places.flatten()).unflatten(0, rows.shape)
    return picked
