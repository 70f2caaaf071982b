"""Offline: a teacher is trained on labels first, then a student on what the teacher says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from kdtheory.batches import Batch, Data, as_batches
from kdtheory.doors import door
from kdtheory.networks import Pick
from kdtheory.recipe import Recipe
from kdtheory.schemes.ends import Named
from kdtheory.schemes.loop import LOOP, Loop, Trained, descend, own_copy
from kdtheory.schemes.objective import Objective
from kdtheory.schemes.sameness import net_in_words
from kdtheory.schemes.teachers import as_teacher
from kdtheory.schemes.terms import Term, labels_term, said_of
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, resolve_device

__all__ = ["distil", "fit"]


@door
def fit(
    module: nn.Module,
    data: Data,
    /,
    *,
    recipe: Recipe,
    stream: Stream,
    output: Pick | None = None,
    device: str | torch.device = "auto",
    loop: Loop = LOOP,
) -> Trained:
    """Train a copy of a module on labels: the mean cross-entropy, batch after batch.

    Args:
        module: any module from inputs to logits; it is left as it was.
        data: a DataLoader of (inputs, labels), or the pair itself, which makes every step a full batch;
            `Batches` of batches that are made otherwise. Labels of tokens are n × L.
        recipe: steps or epochs, rate, optimiser; the data make the batches.
        stream: where dropout and the order of the data are drawn.
        output: where the logits are in what the module gives, if that is neither a tensor nor has `.logits`.
        device: where to train; "auto" is CUDA where there is one, else the CPU.
        loop: which losses are kept, who is told, validation, checkpoints.

    Raises:
        ValueError: the data have no batch or no labels, the module does not take them, the labels are no
            class numbers of the module, there is nothing to train, or the loss is not finite before the
            first step.

    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> taught = fit(nn.Linear(1, 2), points, recipe=Recipe(steps=200), stream=Stream(0))
    >>> taught.history["loss"].unique().tolist(), len(taught.history)
    (['labels'], 200)
    """
    where = resolve_device(device)
    return _trained(module, None, data, {"labels": labels_term()}, recipe, stream, output, where, loop)


@door
def distil(
    student: nn.Module,
    teacher: nn.Module | Sequence[nn.Module],
    data: Data,
    /,
    *,
    losses: Mapping[str, Term],
    recipe: Recipe,
    stream: Stream,
    output: Pick | None = None,
    device: str | torch.device = "auto",
    loop: Loop = LOOP,
) -> Trained:
    """Train a copy of a student on named, weighted terms: responses, layers, relations, labels.

    Args:
        student: any module from inputs to logits; it is left as it was.
        teacher: any module, or several, whose mean probabilities then teach; evaluated in evaluation mode
            without gradients, and left as it was.
        data: a DataLoader of (inputs, labels), or of inputs if no term asks for labels, or the pair itself;
            `Batches` of batches that are made otherwise.
        losses: name ↦ term, such as ``hinton(temperature=4.0, weight=0.9)``. Two nets are joined where a term
            names layers of both.
        recipe: steps or epochs, rate, optimiser; the data make the batches.
        stream: where projections, dropout and the order of the data are drawn.
        output: where the logits are in what a module gives, if that is neither a tensor nor has `.logits`.
        device: where to train; "auto" is CUDA where there is one, else the CPU.
        loop: which losses are kept, who is told, validation, checkpoints.

    Raises:
        ValueError: there is no term, a layer is not known or not called, a term asks for labels that the data
            lack or gives more than one number, something is not finite before the first step, or as the
            losses themselves.

    >>> from kdtheory.schemes import hinton
    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> learned = distil(nn.Linear(1, 2), nn.Linear(1, 2), points, losses=hinton(temperature=2.0, weight=0.5),
    ...     recipe=Recipe(steps=3), stream=Stream(0))
    >>> learned.history[["step", "loss"]].tail(2).to_numpy().tolist()
    [[2, 'response'], [2, 'labels']]
    """
    tutor, where = as_teacher(teacher, output), resolve_device(device)
    return _trained(student, tutor, data, losses, recipe, stream, output, where, loop)


@as_torch_starts(meta=True)
def _trained(
    student: nn.Module,
    teacher: nn.Module | None,
    data: Data,
    losses: Mapping[str, Term],
    recipe: Recipe,
    stream: Stream,
    output: Pick | None,
    device: torch.device,
    loop: Loop,
) -> Trained:
    batches, here = as_batches(data), stream.child("training")
    learner = own_copy(student, device)
    nets = Objective(learner, teacher, losses=losses, output=output).to(device)
    if any(term.projection for term in losses.values()):
        with stream.child("projections").default():
            nets.project(next(batches.epoch(device)), stream.child("projections"))
    if batches.constant:
        nets.of_one_batch()

    def objective(batch: Batch) -> Named:
        return {("", name): found for name, found in nets.terms(batch).items()}

    found = descend(
        nets, objective, batches, recipe=recipe, stream=here, device=device, loop=loop, shown=learner,
        said=lambda: _said(losses, nets.teacher),
    )  # fmt: skip
    found = found._replace(note="; ".join(filter(None, [nets.remark, found.note])))
    return Trained(learner, found.history.drop(columns="net"), *found[1:])


def _said(losses: Mapping[str, Term], teacher: nn.Module | None) -> str:
    """What a checkpoint is of."""
    return said_of(losses) if teacher is None else f"{said_of(losses)}, teacher {net_in_words(teacher)}"
