"""Functions that a module holds, over the copies of what they are closed over.

`copy.deepcopy` leaves functions as they are. A hook, or a forward pass put on a module from outside, that
speaks of the module or of parts of it would speak of the original from within the copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import nn

from kdtheory._content import closed_over, names_in

__all__ = ["rebound"]


def rebound(module: nn.Module, copies: Mapping[Any, Any], /) -> None:
    """Put functions over copies where a copied module holds such that reach an original.

    Args:
        module: the copy.
        copies: as `copy.deepcopy` has noted them: identity of the original ↦ copy.
    """
    own = _Rebinding(copies)
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if (new := own.of(value)) is not value:
                vars(part)[name] = new


class _Rebinding:
    """From what is held to the same of copies; what reaches no original is itself."""

    def __init__(self, copies: Mapping[Any, Any]) -> None:
        self._copies = copies
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that no identity is used twice

    def of(self, value: Any) -> Any:
        if id(value) in self._made:
            return self._made[id(value)]
        if id(value) in self._copies:
            return self._copies[id(value)]
        if not self._reaches(value, set()):
            return value
        self._kept.append(value)
        return self._remade(value)

    def _remade(self, value: Any) -> Any:
        if isinstance(value, MethodType):
            return MethodType(self.of(value.__func__), self.of(value.__self__))
        if isinstance(value, partial):
            named = {name: self.of(each) for name, each in value.keywords.items()}
            return partial(self.of(value.func), *map(self.of, value.args), **named)
        if isinstance(value, dict):
            changed = copy.copy(value)  # with the factory of its defaults
            changed.update({key: self.of(each) for key, each in value.items()})
            return changed
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.of, value))
        return self._function(value)

    def _function(self, given: FunctionType) -> FunctionType:
        cells = tuple(CellType() for _ in given.__closure__ or ())
        spoken = {name: self.of(each) for name, each in _globals(given).items()}
        names = {**given.__globals__, **spoken} if spoken else given.__globals__
        made = FunctionType(given.__code__, names, given.__name__, closure=cells)
        self._made[id(given)] = made  # it may speak of itself
        made.__defaults__ = self.of(given.__defaults__)
        made.__kwdefaults__ = self.of(given.__kwdefaults__)
        made.__dict__.update({name: self.of(each) for name, each in vars(given).items()})
        held = closed_over(given)
        for name, cell in zip(given.__code__.co_freevars, cells, strict=True):
            if name in held:
                cell.cell_contents = self.of(held[name])
        return made

    def _reaches(self, value: Any, seen: set[int]) -> bool:
        """Whether an original lies in it, for a function in what it is closed over."""
        if id(value) in self._copies and self._copies[id(value)] is not value:
            return True
        if id(value) in seen:
            return False
        seen.add(id(value))
        return any(self._reaches(each, seen) for each in _inside(value))


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif type(value) in (list, tuple) or isinstance(value, dict):
        yield from list(value.values() if isinstance(value, dict) else value)
    elif isinstance(value, FunctionType):
        yield from (value.__defaults__, value.__kwdefaults__, *vars(value).values())
        yield from (*closed_over(value).values(), *_globals(value).values())


def _globals(function: FunctionType) -> dict[str, Any]:
    """The modules, and functions of the same file, that a function speaks of by their names there."""
    names = function.__globals__
    return {
        name: each
        for name in names_in(function.__code__)
        if isinstance(each := names.get(name), nn.Module) or _is_beside(each, names)
    }


def _is_beside(value: Any, names: dict[str, Any]) -> bool:
    found: Callable[..., Any] = value.__func__ if isinstance(value, MethodType) else value
    return isinstance(value, MethodType) or (isinstance(found, FunctionType) and found.__globals__ is names)
