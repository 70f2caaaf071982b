"""Copies of any module, those with pruning masks among them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks.calls import check_ready

__all__ = ["copied"]


@door
def copied(module: nn.Module, /) -> nn.Module:
    """A deep copy of a module, which shares nothing with it.

    `copy.deepcopy` refuses one that keeps the result of a computation as an attribute, or in a list, tuple,
    mapping or dataclass there: a layer with a mask of `torch.nn.utils.prune` its weight, a network its
    features. Such a result is copied as a number here; the next forward pass computes it anew.

    Raises:
        ValueError: parameters without numbers, or an attribute that cannot be copied, as a lock cannot.

    >>> from torch.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(4, 1), "weight", amount=0.5)
    >>> int((copied(layer).weight != 0).sum())
    2
    """
    check_ready(module)
    results: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            results |= {id(result): result.detach().clone() for result in _results(value, set())}
    try:
        with torch.no_grad():  # scripted parameters would be copied with a graph
            made = copy.deepcopy(module, results)
    except Exception as error:  # whatever the copying of somebody else's object may raise
        where = next(_uncopied(module, results), "something in it")
        raise ValueError(
            f"the module cannot be copied, for {where} cannot: {error}; take it off the module first"
        ) from error
    for own, other in zip(module.parameters(), made.parameters(), strict=True):
        if other.requires_grad != own.requires_grad:  # torch.func lets nobody set it within a transform
            other.requires_grad_(own.requires_grad)
    return made


def _uncopied(module: nn.Module, results: Mapping[int, Any]) -> Iterator[str]:
    """The attributes that cannot be copied."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in ("_modules", "_parameters", "_buffers"):
                try:
                    copy.deepcopy(value, dict(results))
                except Exception:
                    yield repr(f"{path}.{name}".removeprefix("."))


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
        inside = [getattr(value, each.name, None) for each in dataclasses.fields(value)]  # some have slots
    for item in list(inside):
        yield from _results(item, seen)
