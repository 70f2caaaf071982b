"""Offline: a teacher is trained on labels first, then a student on what the teacher says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.networks import layer, recorded
from kdtheory.schemes.batches import Data, one_epoch
from kdtheory.schemes.loop import Named, Trained, Training, descend, own_copy
from kdtheory.schemes.teachers import as_teacher
from kdtheory.schemes.terms import Layers, Term, labels_term
from kdtheory.streams import Stream
from kdtheory.types import resolve_device

__all__ = ["distil", "fit"]

_NET = "student"


def fit(module: nn.Module, data: Data, /, *, training: Training, stream: Stream) -> Trained:
    """Train a copy of a module on labels: the mean cross-entropy, batch after batch.

    Args:
        module: any module from inputs to logits; it is left as it was.
        data: a DataLoader of (inputs, labels), or the pair itself, which makes every step a full batch.
        training: steps, optimiser, device.
        stream: where dropout and the order of the data are drawn.

    Raises:
        ValueError: the data have no batch or no labels, the labels are no class numbers of the module, there
            is nothing to train, or the loss is not finite before the first step.

    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> taught = fit(nn.Linear(1, 2), points, training=Training(steps=200), stream=Stream(0))
    >>> taught.history["loss"].unique().tolist(), len(taught.history)
    (['labels'], 200)
    """
    return _trained(module, None, data, {"labels": labels_term()}, training, stream)


def distil(
    student: nn.Module,
    teacher: nn.Module | Sequence[nn.Module],
    data: Data,
    /,
    *,
    losses: Mapping[str, Term],
    training: Training,
    stream: Stream,
) -> Trained:
    """Train a copy of a student on named, weighted terms: responses, layers, relations, labels.

    Args:
        student: any module from inputs to logits; it is left as it was.
        teacher: any module, or several, whose mean probabilities then teach; evaluated in evaluation mode
            without gradients, and left as it was.
        data: a DataLoader of (inputs, labels), or of inputs if no term asks for labels, or the pair itself.
        losses: name ↦ term, such as ``hinton(temperature=4.0, weight=0.9)``. Two nets are joined where a term
            names layers of both.
        training: steps, optimiser, device.
        stream: where projections, dropout and the order of the data are drawn.

    Raises:
        ValueError: there is no term, a layer is not known or not called, a term asks for labels that the data
            lack or gives more than one number, something is not finite before the first step, or as the
            losses themselves.

    >>> from kdtheory.schemes import hinton
    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> learned = distil(nn.Linear(1, 2), nn.Linear(1, 2), points, losses=hinton(temperature=2.0, weight=0.5),
    ...     training=Training(steps=3), stream=Stream(0))
    >>> learned.history[["step", "loss"]].tail(2).to_numpy().tolist()
    [[2, 'response'], [2, 'labels']]
    """
    if not losses:
        raise ValueError("losses is empty; give at least one term")
    for name, term in losses.items():
        if not isinstance(term, Term):
            raise ValueError(f"losses[{name!r}] is a {type(term).__name__}; wrap it: Term(loss, weight=…)")
    return _trained(student, as_teacher(teacher), data, losses, training, stream)


def _trained(
    student: nn.Module,
    teacher: nn.Module | None,
    data: Data,
    losses: Mapping[str, Term],
    training: Training,
    stream: Stream,
) -> Trained:
    learner = own_copy(student, training.device).eval()
    tutor = None if teacher is None else own_copy(teacher, training.device).eval()
    views = _Views(learner, tutor, losses)
    projections = _projections(views, data, training, stream.child("projections"))

    def objective(inputs: Tensor, labels: Tensor | None) -> Named:
        said, heard = views.student(inputs), views.teacher(inputs)
        return {
            (_NET, name): (term.weight, _value(name, term, said, heard, labels, projections))
            for name, term in losses.items()
        }

    both = nn.ModuleDict({"student": learner, "projections": projections})
    history, norm = descend(both, objective, data, training=training, stream=stream.child("training"))
    return Trained(learner, history.drop(columns="net"), norm)


class _Views:
    """What student and teacher say on a batch, on the layers that the terms name.

    A teacher that is shown one array again answers from memory: with full batches it is asked once.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module | None, losses: Mapping[str, Term]) -> None:
        self._student, self._teacher, self.losses = student, teacher, losses
        self._said = {path for term in losses.values() for path in _paths(term.student)}
        self._heard = {path for term in losses.values() for path in _paths(term.teacher)}
        for module, paths in ((student, self._said), (teacher, self._heard)):
            for path in paths:
                if module is not None:
                    layer(module, path)  # an unknown path is refused before the first step
        self._last: tuple[Tensor | None, dict[str, Tensor]] = None, {}

    def student(self, inputs: Tensor) -> dict[str, Tensor]:
        with recorded(self._student, self._said) as said:
            self._student(inputs)
        return said

    @torch.no_grad()
    def teacher(self, inputs: Tensor) -> dict[str, Tensor]:
        if self._teacher is None or not self._heard:
            return {}
        if self._last[0] is not inputs:
            with recorded(self._teacher, self._heard) as heard:
                self._teacher(inputs)
            self._last = inputs, heard
        return self._last[1]


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
    labels: Tensor | None,
    projections: nn.ModuleDict,
) -> Tensor:
    students = _picked(said, term.student)
    if _key(name) in projections:
        students = projections[_key(name)](students)
    if term.teacher is None and labels is None:
        raise ValueError(f"losses[{name!r}] needs labels and the data have none; give (inputs, labels)")
    value = term.loss(students, labels if term.teacher is None else _picked(heard, term.teacher))
    if value.ndim:
        raise ValueError(
            f"losses[{name!r}] gives a tensor of shape {tuple(value.shape)}; give one number, as a mean"
        )
    return value


def _projections(views: _Views, data: Data, training: Training, stream: Stream) -> nn.ModuleDict:
    """One module for each term that has a projection, made for the shapes of the first batch."""
    asked = {name: term for name, term in views.losses.items() if term.projection}
    made = nn.ModuleDict()
    if not asked:
        return made
    device = resolve_device(training.device)
    with stream.default():
        inputs, _ = next(iter(one_epoch(data, device)))
    with torch.no_grad():
        said, heard = views.student(inputs), views.teacher(inputs)
    for name, term in asked.items():
        assert term.projection is not None
        pair = _picked(said, term.student), _picked(heard, term.teacher or "")
        made[_key(name)] = term.projection(*pair, stream.child(name)).to(device)
    return made


def _key(name: str) -> str:
    """A term's name as a module's: names with dots are not allowed there."""
    return name.replace(".", "_") or "term"
