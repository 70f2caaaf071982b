"""Which parts of a batch are inputs, and which its labels: by place, by key, by a field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Part", "kinds_in", "parts_of", "place_of_labels"]

Part = int | str
_LABELS = ("labels", "label", "targets", "target", "y")


def parts_of(
    batch: Any, inputs: Part | tuple[Part, ...] | None, labels: Part | bool | None
) -> tuple[tuple[tuple[Any, ...], Mapping[str, Any]], Any]:
    """(arguments, arguments by name), and the labels, None where there are none."""
    if isinstance(batch, (Tensor, np.ndarray, PackedSequence)):
        return ((batch,), {}), None
    entries = _entries(batch)
    where = _place_among(entries, batch, labels)
    found = None if where is None else entries[where]
    if inputs is not None:
        names = [_place(batch, name) for name in (inputs if isinstance(inputs, tuple) else (inputs,))]
        return (tuple(_entry(entries, name, "inputs") for name in names), {}), found
    rest = {name: part for name, part in entries.items() if name != where}
    if len(rest) == 1:
        return (tuple(rest.values()), {}), found
    if isinstance(batch, Mapping):
        return ((), {str(name): part for name, part in rest.items()}), found
    raise ValueError(
        f"a batch has {kinds_in(batch)}; say what they are by Batches(data, inputs=…, labels=…), as "
        "inputs=0, labels=1 where an index follows"
    )


def _place_among(entries: Mapping[Part, Any], batch: Any, labels: Part | bool | None) -> Part | None:
    if labels is False:
        return None
    if labels is not None and labels is not True:
        place = _place(batch, labels)
        _entry(entries, place, "labels")
        return place
    if all(isinstance(name, int) for name in entries):
        return place_of_labels(batch) if len(entries) == 2 else None
    return next((name for name in _LABELS if name in entries), None)


def place_of_labels(pair: Any, /) -> int:
    """The place of the labels in a pair: where a field is called so, else the second.

    >>> from typing import NamedTuple
    >>> place_of_labels(NamedTuple("Point", [("label", int), ("pixels", float)])(1, 0.5))
    0
    """
    fields = getattr(pair, "_fields", ())
    return next((fields.index(name) for name in _LABELS if name in fields), 1)


def _entries(batch: Any) -> Mapping[Part, Any]:
    if isinstance(batch, Mapping):
        return {str(name): part for name, part in batch.items()}
    if isinstance(batch, (list, tuple)):
        return dict(enumerate(batch))
    raise ValueError(f"a batch is a {type(batch).__name__}; give inputs, or (inputs, labels), as tensors")


def _entry(entries: Mapping[Part, Any], name: Part, what: str) -> Any:
    if name not in entries:
        raise ValueError(f"{what} = {name!r} is not in a batch; it has {', '.join(map(repr, entries))}")
    return entries[name]


def _place(batch: Any, name: Part) -> Part:
    """The place of a named tuple's field; any other place or key as it is."""
    fields = getattr(batch, "_fields", ())
    return fields.index(name) if isinstance(name, str) and name in fields else name


def kinds_in(batch: Any) -> str:
    parts = batch.values() if isinstance(batch, Mapping) else batch
    shown = [str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in parts]
    return f"{len(shown)} parts ({', '.join(shown)})"
