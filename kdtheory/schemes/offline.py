"""Offline: a teacher is trained on labels first, then a student on what the teacher says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.batches import Batch, Batches, Data, as_batches
from kdtheory.doors import door
from kdtheory.networks import Pick, layer, recorded
from kdtheory.recipe import Recipe
from kdtheory.schemes.loop import LOOP, Loop, Named, Trained, descend, own_copy
from kdtheory.schemes.teachers import as_teacher, pick_of
from kdtheory.schemes.terms import Layers, Term, labels_term
from kdtheory.streams import Stream
from kdtheory.types import resolve_device

__all__ = ["distil", "fit"]

_NET = "student"


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
        loop: which losses are kept, and who is told.

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
        loop: which losses are kept, and who is told.

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
    if not losses:
        raise ValueError("losses is empty; give at least one term")
    for name, term in losses.items():
        if not isinstance(term, Term):
            raise ValueError(f"losses[{name!r}] is a {type(term).__name__}; wrap it: Term(loss, weight=…)")
    tutor, where = as_teacher(teacher, output), resolve_device(device)
    return _trained(student, tutor, data, losses, recipe, stream, output, where, loop)


@torch.inference_mode(False)
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
    batches = as_batches(data)
    learner = own_copy(student, device).eval()
    tutor = None if teacher is None else own_copy(teacher, device).eval()
    views = _Views(learner, tutor, losses, output, constant=batches.constant)
    projections = _projections(views, batches, device, stream.child("projections"))

    def objective(batch: Batch) -> Named:
        said, heard = views.student(batch), views.teacher(batch)
        return {
            (_NET, name): (term.weight, _value(name, term, said, heard, batch, projections.get(name)))
            for name, term in losses.items()
        }

    both = nn.ModuleList([learner, *projections.values()])
    here = stream.child("training")
    found = descend(both, objective, batches, recipe=recipe, stream=here, device=device, loop=loop)
    history, norm, note = found
    return Trained(learner, history.drop(columns="net"), norm, note)


class _Views:
    """What student and teacher say on a batch: their logits, and the layers that the terms name.

    Where every batch is the same one the teacher is asked once, and answers from memory.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        losses: Mapping[str, Term],
        output: Pick | None,
        *,
        constant: bool,
    ) -> None:
        self._student, self._teacher, self.losses = student, teacher, losses
        self._output, self._constant = output, constant
        self._said = {path for term in losses.values() for path in _paths(term.student)}
        self._heard = {path for term in losses.values() for path in _paths(term.teacher)}
        for module, paths in ((student, self._said), (teacher, self._heard)):
            for path in paths:
                if module is not None:
                    layer(module, path)  # an unknown path is refused before the first step
        self._last: dict[str, Tensor] | None = None

    def student(self, batch: Batch) -> dict[str, Tensor]:
        return self._views(self._student, self._said, batch, "the student")

    @torch.no_grad()
    def teacher(self, batch: Batch) -> dict[str, Tensor]:
        if self._teacher is None or not self._heard:
            return {}
        if self._last is None or not self._constant:
            self._last = self._views(self._teacher, self._heard, batch, "the teacher")
        return self._last

    def _views(self, net: nn.Module, paths: set[str], batch: Batch, name: str) -> dict[str, Tensor]:
        """Layers as they are; logits without what does not count."""
        with recorded(net, paths - {""}) as found:
            logits = batch.inputs.logits(net, pick=pick_of(net, self._output), name=name)
        if "" in paths:
            found[""] = batch.counted(logits)
        return found


def _paths(layers: Layers | None) -> tuple[str, ...]:
    if layers is None:
        return ()
    return (layers,) if isinstance(layers, str) else layers


def _picked(said: Mapping[str, Tensor], layers: Layers) -> Any:
    return said[layers] if isinstance(layers, str) else tuple(said[path] for path in layers)


def _value(
    name: str,
    term: Term,
    said: Mapping[str, Tensor],
    heard: Mapping[str, Tensor],
    batch: Batch,
    projection: nn.Module | None,
) -> Tensor:
    students = _picked(said, term.student)
    if projection is not None:
        students = projection(students)
    if term.teacher is None and batch.labels is None:
        raise ValueError(f"losses[{name!r}] needs labels and the data have none; give (inputs, labels)")
    value = term.loss(
        students, batch.counted_labels if term.teacher is None else _picked(heard, term.teacher)
    )
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
        raise ValueError(f"losses[{name!r}] gives {shape}; give one number as a tensor, as a mean")
    return value


def _projections(
    views: _Views, batches: Batches, device: torch.device, stream: Stream
) -> dict[str, nn.Module]:
    """One module for each term that has a projection, made for the shapes of the first batch."""
    asked = {name: term for name, term in views.losses.items() if term.projection}
    if not asked:
        return {}
    with stream.default():
        batch = next(batches.epoch(device))
    with torch.no_grad():
        said, heard = views.student(batch), views.teacher(batch)
    made = {}
    for name, term in asked.items():
        assert term.projection is not None
        pair = _picked(said, term.student), _picked(heard, term.teacher or "")
        made[name] = term.projection(*pair, stream.child(name)).to(device)
    return made
