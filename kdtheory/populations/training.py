"""Training a population: the public door, which checks everything once and keeps the hot loop bare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.populations._checks import (
    check_loss,
    checked_kept,
    checked_sample,
    checked_settings,
    checked_start,
)
from kdtheory.populations._descent import Loss, Task, descend, is_plain
from kdtheory.populations._groups import in_runs, run_groups, training_groups
from kdtheory.populations.population import Population
from kdtheory.progress import Progress, told
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, resolve_device
from kdtheory.validate import check_at_least
from kdtheory.workers import spread, workers_elsewhere

__all__ = ["Loss", "train"]


@door
@as_torch_starts()
def train(
    architecture: Architecture,
    inputs: Float[Tensor, "..."],
    labels: Int[Tensor, "..."] | None = None,
    /,
    *,
    teacher_probs: Float[Tensor, "..."] | None = None,
    loss: Loss,
    settings: Mapping[str, Any] | None = None,
    members: int,
    stream: Stream,
    recipe: Recipe,
    initial: Float[Tensor, "members size"] | None = None,
    kept: Bool[Tensor, "members size"] | None = None,
    device: str | torch.device = "auto",
    progress: Progress = None,
) -> Population:
    """Train `members` networks at once, each minimising the mean of its own losses (1/n) Σᵢ lossᵢ.

    Member i is what the plain torch loop would make of it: `torch.optim.SGD` or `Adam` with torch's
    defaults, started at the i-th initialisation. It does not depend on how many members there are nor, to
    rounding, on the groups that the members are trained in, or on the workers that train them within
    `kdtheory.clusters.on_cluster`; there the loss must be one that they can import.

    Args:
        architecture: the networks' shape.
        inputs: n × input_shape, shared by all, or members × n × input_shape, each member's own.
        labels: n or members × n class numbers; None where the loss does without.
        teacher_probs: n × k or members × n × k; None where the loss does without.
        loss: `loss(student_logits, teacher_probs, labels, **settings)`, the loss of every example: shapes
            (m, n, k), (m, n, k) and (m, n) to (m, n) for any m, each member and example by itself. It is
            called at every step, so it should check nothing; of a loss of this package the operations of the
            first step are replayed, with the same numbers.
        settings: further arguments of the loss. A tensor of `members` numbers gives each its own, and
            reaches the loss as m × 1; anything else reaches it as it is.
        members: how many networks.
        stream: initialisations are drawn from `stream.child("init")`, and the order of member i's
            minibatches from `stream.child("order", i)`: one `torch.randperm(n)` per epoch, cut into pieces.
        recipe: steps or epochs, rate, optimiser and all else that does not depend on what is trained; each
            member's batches have an order of its own.
        initial: parameters to start from instead of a fresh initialisation; the optimiser starts anew.
        kept: of a pruned network, the parameters that are left; the others are zero and stay so.
        device: where to train; "auto" is CUDA where there is one, else the CPU.
        progress: called in this thread with (done, total) steps of one model, a hundred times per group. None
            shows a bar on a terminal and in a notebook, True a line now and then elsewhere, False nothing.

    Returns:
        The trained members with their last losses and gradient norms. One that ends in NaN is `diverged`.

    Raises:
        ValueError: a shape, a value or the loss is not as above, or the recipe has a factory of torch's.

    >>> def squared(logits, probs, labels):
    ...     return (logits - probs).square().sum(-1)
    >>> from kdtheory.networks import MLP
    >>> mean = train(MLP((1, 2)), torch.zeros(2, 1), teacher_probs=torch.tensor([[1., 0.], [0., 1.]]),
    ...     loss=squared, members=3, stream=Stream(0),
    ...     recipe=Recipe(steps=100, learning_rate=0.2, optimizer="sgd"))
    >>> mean.converged(1e-6).all(), mean.logits(torch.zeros(1, 1))[0]
    (tensor(True), tensor([[0.5000, 0.5000]]))
    """
    check_at_least("members", members, 1)
    recipe.check_honoured("a population")
    start = checked_start(architecture, members, stream, initial)
    params = start.to(device=resolve_device(device), dtype=recipe.dtype or torch.float32, copy=True)
    sample = checked_sample(architecture, params, inputs, labels, teacher_probs)
    task = Task(
        architecture,
        sample,
        loss,
        checked_settings(settings or {}, params),
        recipe,
        recipe.steps_for(sample.inputs.shape[1]),
        stream.child("order"),
        checked_kept(kept, params),
    )
    check_loss(task, params)
    return _train(task, params, progress)


def _train(task: Task, params: Tensor, progress: Progress) -> Population:
    members, examples = task.sample.inputs.shape[:2]
    own = 0 if task.sample.inputs.stride(0) == 0 else task.sample.inputs[0].numel()
    rows = min(examples, task.recipe.batch_size or examples)
    held = 1 if is_plain(task.recipe) else 4  # arrays like the parameters that a step goes through
    groups = training_groups(task.architecture, members, rows, own, params.device, held)
    last_loss, gradient_norm = params.new_empty(members), params.new_empty(members)

    def work(group: slice, tell: Callable[[int], None]) -> None:
        last_loss[group], gradient_norm[group] = descend(task, params, group, tell)

    with told(progress, "training") as tell:
        if (workers := workers_elsewhere()) is None:
            run_groups(groups, work, members * task.steps, tell, params.device)
        else:
            done = 0
            sent = [(group.start, group.stop) for group in in_runs(members, max(len(groups), workers))]
            for (low, high), *found in spread(_descended, sent, jobs=-1, shared=(task, params)):
                params[low:high], last_loss[low:high], gradient_norm[low:high] = found
                done += (high - low) * task.steps
                tell(done, members * task.steps)
    return Population(task.architecture, params, last_loss, gradient_norm, task.steps)


def _descended(
    task: Task, params: Tensor, low: int, high: int
) -> tuple[tuple[int, int], Tensor, Tensor, Tensor]:
    """A group by a worker elsewhere, which gives back what one here writes in its place."""
    group = slice(low, high)
    params = params.clone()  # others have what was sent in common
    losses, norms = descend(task, params, group, lambda _: None)
    return (low, high), params[group].clone(), losses, norms
