"""One door for batches: what in a batch is inputs, what labels, and where an epoch ends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import BatchSampler, DataLoader, Dataset

from kdtheory._parts_of_batches import Part, kinds_in, parts_of
from kdtheory.doors import door, passing
from kdtheory.gathered import Gathered
from kdtheory.networks import Inputs
from kdtheory.types import tensor_of
from kdtheory.validate import check_at_least, check_one_label_each, check_whole_labels

__all__ = ["Batch", "Batches", "Data", "as_batches", "class_numbers"]

Data = Any
"""A DataLoader, another iterable of batches, a Dataset, a batch (a tuple or mapping), or `Batches` of one."""
_LOADED_AT_ONCE = 1024
_TIMES = 64
"""As often may a loader give what its length says: each worker does, where they do not part the data."""
_CPU = torch.device("cpu")


@door
@dataclass(frozen=True, eq=False)
class Batch:
    """A batch: what a module is called with, and the labels.

    Args:
        inputs: what the module takes.
        labels: one class number for each example, or for each of its tokens; None where there are none.
        ignored: the label of what does not count.
    """

    inputs: Inputs
    labels: Tensor | None = None
    ignored: int | None = None

    @passing
    def counted(self, logits: Tensor, /) -> Tensor:
        """The rows of logits that count: of examples, or of all their tokens, without what is ignored."""
        labels = self.labels
        if logits.ndim < 2:
            raise ValueError(f"logits has shape {tuple(logits.shape)}; give n × k, or n × L × k of tokens")
        if labels is not None and labels.shape != logits.shape[:-1]:
            cure = ", labels.argmax(-1) of one-hot rows" if labels.shape == logits.shape else ""
            cure = ", labels[..., 0] of a column" if labels.shape == (*logits.shape[:-1], 1) else cure
            raise ValueError(
                f"labels of shape {tuple(labels.shape)} and logits of shape {tuple(logits.shape)}; give one "
                f"label for each row of the logits{cure}"
            )
        rows = logits.flatten(0, -2)
        if labels is None or self.ignored is None:
            return rows
        return rows[labels.reshape(-1) != self.ignored]

    @property
    def counted_labels(self) -> Tensor | None:
        """The labels of the rows that count."""
        if self.labels is None:
            return None
        flat = self.labels.reshape(-1)
        return flat if self.ignored is None else flat[flat != self.ignored]


@door
@dataclass(frozen=True, eq=False)
class Batches:
    """Data, and how its batches are to be read.

    Without further word a batch is inputs, a pair (inputs, labels), or a mapping: the labels are then the
    entry "labels", "label", "targets", "target" or "y", and the module is called with all others by name, or
    with the only other one. Of a named tuple the labels are the entry of such a name, wherever it stands.

    Args:
        data: a DataLoader or another iterable of batches, a Dataset, or one batch, a tuple or mapping.
        inputs: the place or key of the inputs; several are handed over in this order.
        labels: the place or key of the labels; False where there are none.
        ignore_index: the label of examples or tokens that do not count, −100 by custom; None counts all. A
            batch in which none counts has losses of 0.
        most: batches in an epoch, for loaders that never end.

    Raises:
        ValueError: `most` < 1.

    >>> three = [(torch.zeros(4, 2), torch.tensor([2, 1, 2, 2]), torch.tensor([0, 1, 1, 0]))]
    >>> [batch] = as_batches(Batches(three, inputs=(0, 1), labels=2)).epoch(torch.device("cpu"))
    >>> len(batch.inputs.args), batch.labels.tolist()
    (2, [0, 1, 1, 0])
    """

    data: Any
    inputs: Part | tuple[Part, ...] | None = None
    labels: Part | bool | None = None
    ignore_index: int | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if self.most is not None:
            check_at_least("most", self.most, 1)

    @property
    def constant(self) -> bool:
        """Whether every batch is the same one."""
        return isinstance(self.data, (tuple, Mapping))

    @property
    def length(self) -> int | None:
        """How many batches an epoch has, where that can be known beforehand."""
        if self.constant:
            return 1
        try:
            batches: int | None = len(self.data)
        except TypeError:
            batches = None
        known = [count for count in (batches, self.most) if count is not None]
        return min(known, default=None)

    @property
    def ends(self) -> bool:
        """Whether an epoch is known to end."""
        return self.length is not None

    def check_ends(self) -> None:
        """An epoch is known to end.

        Raises:
            ValueError: it may have no end.
        """
        if not self.ends:
            raise ValueError(
                "data has no length, so that it may have no end; say Batches(data, most=…) batches"
            )

    def smallest(self) -> int | None:
        """The size of the smallest batch of an epoch, where that can be known beforehand."""
        loader = self.data
        if isinstance(loader, list):
            return min((len(self._read(batch, _CPU).inputs) for batch in loader), default=None)
        cut = loader.batch_sampler if isinstance(loader, DataLoader) else None
        if type(cut) is not BatchSampler or cut.drop_last:
            return None
        try:
            left = len(cut.sampler) % cut.batch_size  # type: ignore[arg-type]
        except TypeError:
            return None
        return left or cut.batch_size

    def epoch(
        self, device: torch.device, /, *, most: int | None = None, labelled: bool = True
    ) -> Iterator[Batch]:
        """The batches of one epoch on a device; of data without a length at most `most` of them.

        Raises:
            ValueError: there is no batch, one that cannot be read, or far more than their length says.
        """
        length = self.length
        most = self.most if self.ends else most
        limit = math.inf if most is not None or length is None else _TIMES * length + _TIMES**2
        for number, batch in enumerate(self._epoch(device, most, labelled)):
            if number > limit:
                raise ValueError(
                    f"data has a length of {length} and gave {number} batches, so that it may have no end; "
                    "say Batches(data, most=…) batches"
                )
            yield batch

    def _epoch(self, device: torch.device, most: int | None, labelled: bool = True, /) -> Iterator[Batch]:
        data = [self.data] if self.constant else self.data
        empty = True
        for batch in itertools.islice(iter(data), most):
            empty = False
            yield self._read(batch, device, labelled)
        if empty:
            raise ValueError("data has no batch; is it empty, or smaller than a batch that is dropped?")

    def whole(self, *, labelled: bool) -> Batch:
        """All examples of an epoch as one batch on the CPU, without those whose label is ignored.

        Each batch is copied as it comes, for a loader may write its buffer again, and many of them into a
        file; what the loader draws from torch's generator is put back. Where they are not wanted labels are
        not looked at.

        Raises:
            ValueError: no batch, one that cannot be read, no end, no labels, or examples of several shapes.
        """
        self.check_ends()
        labels: list[Tensor] = []
        with torch.random.fork_rng(devices=[]), Gathered() as inputs:
            for batch in self.epoch(_CPU, labelled=labelled):
                counted = self._counted(batch) if labelled else batch
                inputs.add(counted.inputs, own=self.constant and counted is batch)
                labels += [] if counted.labels is None else [counted.labels]
            found = inputs.joined()
        return Batch(found, torch.cat(labels) if labelled else None)

    def _counted(self, batch: Batch) -> Batch:
        """The examples whose labels are not ignored, of which there must be labels."""
        if (labels := batch.labels) is None:
            raise ValueError("it has no labels; give (inputs, labels), a Dataset or a DataLoader")
        check_one_label_each("labels", labels)
        if self.ignore_index is None:
            return batch
        counted = (labels != self.ignore_index).nonzero()[:, 0]
        return Batch(batch.inputs.rows(counted), labels[counted])

    def endless(self, device: torch.device) -> Iterator[Batch]:
        """Epoch after epoch; a constant batch is moved once."""
        if self.constant:
            yield from itertools.repeat(self._read(self.data, device))
        while True:
            yield from self.pass_of(device)

    def pass_of(self, device: torch.device, /) -> Iterator[Batch]:
        """The batches of one epoch, as long as it goes on."""
        yield from self._epoch(device, self.most)

    def read(self, batch: Any, device: torch.device, /) -> Batch:
        """One batch, as a loader gives it.

        Raises:
            ValueError: it cannot be read.
        """
        return self._read(batch, device)

    def _read(self, batch: Any, device: torch.device, labelled: bool = True) -> Batch:
        (args, named), labels = parts_of(batch, self.inputs, self.labels)
        args, named = tuple(map(_tensor, args)), {name: _tensor(part) for name, part in named.items()}
        given = (*args, *named.values())
        if not any(
            (isinstance(part, Tensor) and part.ndim) or isinstance(part, PackedSequence) for part in given
        ):
            raise ValueError(f"a batch has {kinds_in(batch)}; the inputs must be tensors, a row each")
        found = Inputs(args, named)
        if labels is None or not labelled:
            return Batch(found.to(device), None, self.ignore_index)
        numbers = class_numbers("labels", _tensor(labels), len(found))
        return Batch(found.to(device), numbers.to(device), self.ignore_index)


def as_batches(data: Data, /, *, name: str = "data") -> Batches:
    """The data as batches.

    Raises:
        ValueError: it is a tensor alone, or nothing that gives batches.
    """
    if isinstance(data, Batches):
        return replace(data, data=_loaded(data.data, name))
    return Batches(_loaded(data, name))


@door
def class_numbers(name: str, labels: Any, count: int, /) -> Tensor:
    """Labels of any type of whole number as a copy in torch.long: one for each of so many inputs, or a row.

    A row of one label may be a column, or a sequence of one token: logits n × k refuse it, n × 1 × k take it.

    Raises:
        ValueError: they are something else; with the cure for one-hot rows and columns.

    >>> class_numbers("labels", torch.tensor([2, 1], dtype=torch.uint8), 2)
    tensor([2, 1])
    """
    if not isinstance(labels, Tensor):
        raise ValueError(f"{name} are a {type(labels).__name__}; give a tensor of class numbers")
    if labels.is_nested or labels.layout is not torch.strided:
        raise ValueError(f"{name} are no ordinary tensor; give a row of numbers, {name}.to_dense()")
    if labels.is_meta:
        raise ValueError(f"{name} are on the meta device, without numbers; load them first")
    check_whole_labels(name, labels)
    if labels.ndim == 0:
        shown = f"{name} are {labels.dtype} of shape ()"
        raise ValueError(f"{shown}, a number without a row; give one label for each row, as labels[None]")
    if len(labels) != count:
        raise ValueError(f"{name}: {count} rows and {len(labels)} labels; give one label for each row")
    return labels.to(dtype=torch.long, copy=True)  # a loader may write its buffer again


def _loaded(data: Any, name: str) -> Any:
    if isinstance(data, Dataset) and not isinstance(data, DataLoader):
        return DataLoader(data, batch_size=_LOADED_AT_ONCE)
    if isinstance(data, (Tensor, np.ndarray, str, bytes)) or not isinstance(data, Iterable):
        kind = type(data).__name__
        raise ValueError(f"{name} is a {kind}; give (inputs, labels), a Dataset or a DataLoader")
    if isinstance(data, Iterator):
        raise ValueError(
            f"{name} is an iterator, which is used up after one epoch; give what makes it, as a list"
        )
    return data


def _tensor(part: Any) -> Any:
    return tensor_of("a batch", part) if isinstance(part, np.ndarray) else part
