"""Data as batches: a DataLoader, or inputs and labels that make one batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

__all__ = ["Data", "endless", "one_epoch"]

Data = DataLoader[Any] | tuple[Tensor, Tensor]
Batch = tuple[Tensor, Tensor | None]


def one_epoch(data: Data, device: torch.device) -> Iterator[Batch]:
    """Inputs and labels (None where there are none), batch after batch, on `device`.

    Raises:
        ValueError: there is no batch, a batch is neither inputs nor a pair of inputs and labels, or labels
            are no class numbers.
    """
    if isinstance(data, tuple):
        yield _pair(data, device)
        return
    if isinstance(data, Tensor):
        raise ValueError("data is a tensor; give (inputs, labels), or a DataLoader")
    empty = True
    for batch in data:
        empty = False
        yield _pair(batch, device)
    if empty:
        raise ValueError("data has no batch; is its dataset empty, or smaller than a batch that is dropped?")


def endless(data: Data, device: torch.device) -> Iterator[Batch]:
    """Epoch after epoch; a pair of tensors is moved once and is the same object at every step."""
    if isinstance(data, tuple):
        whole = _pair(data, device)
        while True:
            yield whole
    while True:
        yield from one_epoch(data, device)


def _pair(batch: Any, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device), None
    listed = isinstance(batch, (list, tuple)) and 1 <= len(batch) <= 2
    if listed and all(isinstance(part, Tensor) for part in batch):
        labels = batch[1].to(device) if len(batch) == 2 else None
        if labels is not None and (labels.ndim != 1 or labels.is_floating_point()):
            raise ValueError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give one class number each"
            )
        labels = None if labels is None else labels.long()
        if labels is not None and len(labels) != len(batch[0]):
            raise ValueError(f"a batch has {len(batch[0])} inputs and {len(labels)} labels; pair them first")
        return batch[0].to(device), labels
    raise ValueError(f"a batch is a {type(batch).__name__}; give inputs, or (inputs, labels), as tensors")
