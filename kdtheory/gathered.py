"""Inputs one after the other, as loaders give them: few in memory, many in a file that is mapped."""

from __future__ import annotations

import tempfile
from typing import IO

import torch
from torch import Tensor

from kdtheory.doors import gate
from kdtheory.networks import Inputs

__all__ = ["Gathered", "joined"]

_HELD = 2**28
"""Bytes from which on batches are kept in files, in the folder that TMPDIR names."""


@gate
class Gathered:
    """Batches of inputs that become one; what is held of many is one lot of them and, mapped, the files."""

    def __init__(self) -> None:
        self._lot: list[Inputs] = []
        self._held = self._rows = 0
        self._first: Inputs | None = None
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> Gathered:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()  # which removes it; what is mapped stays

    def add(self, inputs: Inputs, *, own: bool) -> None:
        """One more batch, copied unless it is `own`: nobody will write to it.

        Raises:
            ValueError: it holds something else than tensors, or rows of another shape.
        """
        self._first = self._first or inputs
        _check_alike(self._first, inputs)
        self._lot.append(inputs if own else inputs.mapped(Tensor.clone))
        self._held += 0 if own else sum(part.nbytes for part in inputs.tensors)
        if self._held > _HELD:
            self._write()

    def joined(self) -> Inputs:
        """All of them."""
        if not self._files or self._first is None:
            return joined(self._lot)
        if self._lot:
            self._write()
        parts = iter(
            torch.from_file(file.name, shared=False, size=file.tell(), dtype=torch.uint8)
            .view(like.dtype)
            .reshape(self._rows, *like.shape[1:])
            for file, like in zip(self._files, self._first.tensors, strict=True)
        )
        return self._first.mapped(lambda _: next(parts))

    def _write(self) -> None:
        lot = joined(self._lot)
        if not self._files:
            self._files = [tempfile.NamedTemporaryFile(prefix="kdtheory-") for _ in lot.tensors]  # noqa: SIM115
        assert self._first is not None
        for file, part, like in zip(self._files, lot.tensors, self._first.tensors, strict=True):
            if part.dtype != like.dtype:
                raise ValueError(f"batches have inputs of {like.dtype} and {part.dtype}; give one type")
            file.write(part.detach().contiguous().view(torch.uint8).numpy().data)
            file.flush()
        self._rows += len(lot)
        self._held, self._lot = 0, []


def _check_alike(first: Inputs, other: Inputs) -> None:
    if not all(isinstance(each, Tensor) for each in (*other.args, *other.named.values())):
        raise ValueError("inputs that are no tensors do not belong to one point each; give tensors")
    ours, theirs = ([each.shape[1:] for each in some.tensors] for some in (first, other))
    if ours != theirs or first.named.keys() != other.named.keys():
        shapes = f"{first.shapes} and {other.shapes}"
        raise ValueError(f"batches have inputs of shapes {shapes}; pad sequences to one length")


@gate
def joined(parts: list[Inputs]) -> Inputs:
    """Inputs one after the other.

    Raises:
        ValueError: something else than tensors, or rows of several shapes.
    """
    first = parts[0]
    for part in parts:
        _check_alike(first, part)
    if len(parts) == 1:
        return first
    args = tuple(torch.cat(column) for column in zip(*(part.args for part in parts), strict=True))
    return Inputs(args, {name: torch.cat([part.named[name] for part in parts]) for name in first.named})
