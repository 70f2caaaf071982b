"""The objective of a student, as a module that any loop can call: a batch in, named losses out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory._parts_of_batches import Part
from kdtheory.batches import Batch, Batches
from kdtheory.doors import door, gate
from kdtheory.networks import (
    Asked,
    Inputs,
    Pick,
    at_rest,
    closeness,
    copied,
    layer,
    layer_of,
    left_as_it_was,
    recorded,
)
from kdtheory.networks.company import alike_alone
from kdtheory.schemes.ends import Measured, total
from kdtheory.schemes.passes import undrawn
from kdtheory.schemes.teachers import FirstLook, as_teacher, pick_of
from kdtheory.schemes.terms import Layers, Term
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts

__all__ = ["Objective", "check_terms"]


@door
class Objective(nn.Module):
    """Σ_j w_j·loss_j(student, teacher) on a batch: the terms of `distil` in a loop of your own.

    Its parameters are those of the student, which is trained where it is, and of the projections; the teacher
    is a copy in evaluation mode, moves along with `to`, and is in neither `parameters` nor `state_dict`. It
    is asked once more for half of the first batch, 64 examples at most; where it then says something else of
    them `remark` says so.

    Args:
        student: the module to train.
        teacher: what teaches, one or several, whose mean probabilities then teach; None for labels alone.
        losses: name ↦ term, such as ``hinton(temperature=4.0, weight=0.9)``; no name is "loss".
        example: a batch, from which projections take their shapes; needed by terms with a projection alone.
        stream: where projections start; needed by these alone.
        inputs, labels, ignore_index: how a batch is to be read, as in `Batches`.
        output: where the logits are in what a module gives, if that is neither a tensor nor has `.logits`.

    Raises:
        ValueError: as `distil`.

    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> from kdtheory.schemes import hinton
    >>> objective = Objective(nn.Linear(1, 2), nn.Linear(1, 2), losses=hinton(temperature=2.0, weight=0.5))
    >>> optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    >>> named = objective(points)
    >>> named["loss"].backward()
    >>> optimizer.step()
    >>> sorted(named), len(list(objective.parameters()))
    (['labels', 'loss', 'response'], 2)
    """

    accepts_loss_kwargs = (
        False  # without it transformers' Trainer sums over accumulated batches, for `**named`
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | Sequence[nn.Module] | None = None,
        *,
        losses: Mapping[str, Term],
        example: Any = None,
        stream: Stream | None = None,
        inputs: Part | tuple[Part, ...] | None = None,
        labels: Part | bool | None = None,
        ignore_index: int | None = None,
        output: Pick | None = None,
    ) -> None:
        super().__init__()
        check_terms(losses)
        with torch.inference_mode(False):
            tutor = None if teacher is None else at_rest(copied(as_teacher(teacher, output)))
        self._reading = Batches((), inputs=inputs, labels=labels, ignore_index=ignore_index)
        self._tutor, self._losses, self._output = (tutor,), dict(losses), output  # in a tuple: no child of it
        self._asked: dict[str, Asked] = {}
        self._constant = False
        self._heard: tuple[Batch, dict[str, Tensor]] | None = None
        self._first, self._looked, self.remark = FirstLook(), False, ""
        self.student, self.projections = student, nn.ModuleDict()
        for name, term in losses.items():
            if tutor is None and term.teacher is not None:
                raise ValueError(f"losses[{name!r}] needs a teacher; give one, or teacher=None of labels")
        for net, layers in ((student, "student"), (tutor, "teacher")):
            for path in self._paths(layers):
                if net is not None:
                    layer(net, layer_of(path))  # an unknown path is refused before the first step
        if example is not None and stream is not None:
            self.project(self._read(example), stream)

    @property
    def teacher(self) -> nn.Module | None:
        """The copy that teaches."""
        return self._tutor[0]

    def forward(self, batch: Any = None, /, **named: Any) -> dict[str, Tensor]:
        """The loss of a batch and its terms, by name: "loss" is what to minimise, Σ weight·term.

        Args:
            batch: as a DataLoader gives it; on the student's device or not.
            named: the same by name, for loops that call a model so.

        Raises:
            ValueError: the batch cannot be read, has no labels where a term asks for them, a term gives more
                than one number, or a projection had neither example nor stream.
        """
        if len(self.projections) < sum(term.projection is not None for term in self._losses.values()):
            raise ValueError("a term has a projection; give example, a batch, and stream, where it starts")
        found = self.terms(self._read(named if batch is None else batch))
        whole = total({("", name): each for name, each in found.items()})
        return {"loss": whole, **{name: each.value.detach() for name, each in found.items()}}

    @gate
    def terms(self, batch: Batch, /) -> dict[str, Measured]:
        """Name ↦ what the term is on a batch that has been read."""
        said, heard = self._student(batch), self._teacher(batch)
        return {
            name: self._measured(name, term, str(place), said, heard, batch)
            for place, (name, term) in enumerate(self._losses.items())
        }

    @gate
    @as_torch_starts(meta=True)
    def project(self, batch: Batch, stream: Stream, /) -> None:
        """Make the projections for the shapes of a batch, where the batch is."""
        modes = [(part, part.training) for part in self.student.modules()]
        at_rest(self.student)
        with torch.no_grad():
            said, heard = self._student(batch), self._teacher(batch)
        for part, training in modes:
            part.training = training
        for place, (name, term) in enumerate(self._losses.items()):
            if term.projection is not None:
                pair = _picked(said, term.student), _picked(heard, term.teacher or "")
                self.projections[str(place)] = term.projection(*pair, stream.child(name)).to(pair[0].device)

    def of_one_batch(self) -> Objective:
        """The objective for a loop whose batches are all the same one: of it the teacher is asked once."""
        self._constant = True
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Objective:
        if self.teacher is not None:
            self.teacher._apply(fn)
        self._heard, self._asked = None, {}
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_heard": None, "_asked": {}}  # what is remembered of batches and calls

    def _read(self, batch: Any) -> Batch:
        where = next(self.student.parameters(), torch.empty(0)).device
        return self._reading.read(batch, where)

    def _paths(self, of: str) -> set[str]:
        return {path for term in self._losses.values() for path in _as_paths(getattr(term, of))}

    def _student(self, batch: Batch) -> dict[str, Tensor]:
        return self._views(self.student, self._paths("student"), batch, "the student")

    @torch.no_grad()
    def _teacher(self, batch: Batch) -> dict[str, Tensor]:
        paths = self._paths("teacher")
        if self.teacher is None or not paths:
            return {}
        if self._heard is not None and self._heard[0] is batch:
            return self._heard[1]
        said = self._views(self.teacher, paths, batch, "the teacher")
        said = {path: part.detach() for path, part in said.items()}  # TorchScript records under no_grad too
        if self._constant and self._heard is None:
            self._heard = batch, said
        return said

    def _views(self, net: nn.Module, paths: set[str], batch: Batch, name: str) -> dict[str, Tensor]:
        """Layers as they are; logits without what does not count."""
        asked = self._asked.get(name)
        if asked is None or asked.net is not net:
            asked = self._asked[name] = Asked(net, pick=pick_of(net, self._output), name=name)
        with recorded(net, paths - {""}) as found:
            logits = asked.logits(batch.inputs)
        self._first.at(name, logits)
        if net is self.teacher and not self._looked:
            self._looked, self.remark = True, self._mixed(batch, logits)
        if "" in paths:
            found[""] = batch.counted(logits)
        return found

    def _mixed(self, batch: Batch, said: Tensor) -> str:
        """That the teacher says something else of some examples without the others, and in another order."""
        assert self.teacher is not None
        net, pick = self.teacher, pick_of(self.teacher, self._output)

        def ask(some: Inputs) -> Tensor:
            return some.logits(net, pick=pick)

        with left_as_it_was(net), undrawn(said.device):
            try:
                if alike_alone(ask, batch.inputs, said, close=closeness(net)):
                    return ""
            except ValueError:  # of a graph for batches of one size
                return ""
        return (
            "the teacher says something else of the same points in another batch, or when it is asked again"
        )

    def _measured(
        self,
        name: str,
        term: Term,
        place: str,
        said: Mapping[str, Tensor],
        heard: Mapping[str, Tensor],
        batch: Batch,
    ) -> Measured:
        students = _picked(said, term.student)
        if place in self.projections:
            students = self.projections[place](students)
        if term.teacher is None and batch.labels is None:
            raise ValueError(f"losses[{name!r}] needs labels and the data have none; give (inputs, labels)")
        teachers = batch.counted_labels if term.teacher is None else _picked(heard, term.teacher)
        count = _rows_that_count(term, students, teachers, batch)
        if count == 0:  # of no row there is no mean; a sum over none is 0
            first = students if isinstance(students, Tensor) else students[0]
            return Measured(term.weight, first[:0].sum(), 0, rows=True)
        value = term.loss(students, teachers)
        if not isinstance(value, Tensor) or value.ndim:
            shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
            raise ValueError(f"losses[{name!r}] gives {shape}; give one number as a tensor, as a mean")
        if count is None:
            return Measured(term.weight, value, len(batch.inputs))
        return Measured(term.weight, value, count, rows=True)


def check_terms(losses: Mapping[str, Term], /) -> None:
    """There is a term, and each is one.

    Raises:
        ValueError: it is not so, or a name is taken.
    """
    if not losses:
        raise ValueError("losses is empty; give at least one term")
    for name, term in losses.items():
        if not isinstance(term, Term):
            raise ValueError(f"losses[{name!r}] is a {type(term).__name__}; wrap it: Term(loss, weight=…)")
        if name == "loss":
            raise ValueError("losses['loss']: this is the name of the whole; give the term another")


def _rows_that_count(term: Term, students: Any, teachers: Any, batch: Batch) -> int | None:
    """Over how many rows of logits a term is a mean; None where it is one over the examples."""
    if batch.ignored is None and batch.labels is not None and batch.labels.ndim == 1:
        return None  # the same
    if term.teacher is None:
        return len(teachers)
    for layers, said in ((term.student, students), (term.teacher, teachers)):
        if "" in (paths := _as_paths(layers)):
            return len(said if isinstance(layers, str) else said[paths.index("")])
    return None


def _as_paths(layers: Layers | None) -> tuple[str, ...]:
    if layers is None:
        return ()
    return (layers,) if isinstance(layers, str) else layers


def _picked(said: Mapping[str, Tensor], layers: Layers) -> Any:
    return said[layers] if isinstance(layers, str) else tuple(said[path] for path in layers)
