"""Copies of any module, those with pruning masks among them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks._functions import rebound
from kdtheory.networks.calls import check_ready

__all__ = ["copied"]


@door
def copied(module: nn.Module, /) -> nn.Module:
    """A deep copy of a module, which shares nothing with it.

    `copy.deepcopy` refuses one that keeps the result of a computation as an attribute, or in a list, tuple,
    mapping or dataclass there: a layer with a mask of `torch.nn.utils.prune` its weight, a network its
    features. Such a result is copied as a number here; the next forward pass computes it anew. Functions that
    the module holds, as hooks and a forward pass put on it from outside, speak of the copy where they spoke
    of the module.

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
        for value in part._parameters.values():
            if value is not None and value.layout is not torch.strided:
                results[id(value)] = nn.Parameter(value.detach().clone(), value.requires_grad)
    try:
        with torch.no_grad():  # scripted parameters would be copied with a graph
            for part in [*module.modules()][::-1]:
                if _is_handed_on(part):
                    _copy_itself(part, results)
            made: nn.Module = copy.deepcopy(module, results)
    except Exception as error:  # whatever the copying of somebody else's object may raise
        where = next(_uncopied(module, results), "something in it")
        raise ValueError(
            f"the module cannot be copied, for {where} cannot: {error}; take it off the module first"
        ) from error
    rebound(made, results)
    for own, other in zip(module.parameters(), made.parameters(), strict=True):
        if other.requires_grad != own.requires_grad:  # torch.func lets nobody set it within a transform
            other.requires_grad_(own.requires_grad)
    return made


def _is_handed_on(part: nn.Module) -> bool:
    """Whether a wrapper that hands on what it lacks would hand on the copying: its inside for itself."""
    own = hasattr(type(part), "__deepcopy__") or "__deepcopy__" in vars(part)
    return not own and hasattr(part, "__deepcopy__")


def _copy_itself(part: nn.Module, copies: dict[int, Any]) -> None:
    """Note the copy that `copy.deepcopy` would make if the wrapper did not hand it on."""
    reduced: Any = part.__reduce_ex__(4)
    make, args, *state = reduced
    copies[id(part)] = made = make(*copy.deepcopy(args, copies))
    if state and state[0] is not None:
        made.__setstate__(copy.deepcopy(state[0], copies))


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
