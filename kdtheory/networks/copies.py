"""Copies of any module, those with pruning masks among them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from kdtheory.doors import door

__all__ = ["copied"]


@door
def copied(module: nn.Module, /) -> nn.Module:
    """A deep copy of a module, which shares nothing with it.

    `copy.deepcopy` refuses one that keeps the result of a computation as an attribute, or in a list, tuple,
    mapping or dataclass there: a layer with a mask of `torch.nn.utils.prune` its weight, a network its
    features. Such a result is copied as a number here; the next forward pass computes it anew.

    >>> from torch.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(4, 1), "weight", amount=0.5)
    >>> int((copied(layer).weight != 0).sum())
    2
    """
    results: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            results |= {id(result): result.detach().clone() for result in _results(value, set())}
    return copy.deepcopy(module, results)


def _results(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Tensors with a graph, however deep they lie in an attribute's lists, mappings and objects."""
    if id(value) in seen or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if not value.is_leaf:
            yield value
        return
    inside: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = vars(value).values()
    for item in list(inside):
        yield from _results(item, seen)
