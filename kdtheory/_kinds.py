"""Annotations as checks of arguments: the values accepted, and the sentence for those that are not."""

from __future__ import annotations

import collections.abc
import inspect
import os
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory._near import near
from kdtheory._plain_kinds import (
    Kind,
    article,
    flag,
    has_real_type,
    is_array,
    is_bare,
    is_number,
    is_truth,
    real,
    refused,
    shown,
    whole,
    with_article,
)

__all__ = ["Kind", "kind_of"]

_TEXT = (str, bytes, bytearray)
_NOTHING = object()


def kind_of(hint: Any) -> Kind | None:
    """The kind that an annotation names; None where anything goes."""
    if hint is Any:
        return None
    if hint is getattr(sys.modules.get("numpy.typing"), "ArrayLike", _NOTHING) or hasattr(hint, "dim_str"):
        from kdtheory._array_kinds import ARRAY_LIKE, array_kind  # torch is loaded where it is annotated

        return array_kind(hint) if hasattr(hint, "dim_str") else ARRAY_LIKE
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return kind_of(inside[0])
    if origin in (typing.Union, types.UnionType):
        literals = [each for each in inside if typing.get_origin(each) is typing.Literal]
        kinds = [kind_of(each) for each in inside if each not in literals]
        choices = tuple(choice for each in literals for choice in typing.get_args(each))
        return _union([*kinds, _literal(choices)] if choices else kinds)
    if origin is typing.Literal:
        return _literal(inside)
    if origin is os.PathLike:
        return _PATH
    if origin is collections.abc.Callable:
        return _CALLABLE
    if origin is collections.abc.Mapping or hint is Mapping:
        return _mapping(kind_of(inside[1]) if inside else None)
    if origin in (tuple, list, collections.abc.Sequence, collections.abc.Iterable):
        return _several(origin, inside)
    if origin is dict:
        return _instance(dict)
    if hint in _PLAIN:
        return _PLAIN[hint]
    return _instance(hint) if inspect.isclass(hint) and hint is not object else None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refused(name, value, "a text")
    return value


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise refused(name, value, "a path")
    return Path(value)


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise refused(name, value, "a function")
    return value


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


_CALLABLE = Kind(callable, _callable, "a function")
_PATH = Kind(_is_path, _path, "a path")
_PLAIN: dict[Any, Kind] = {
    int: Kind(is_number, whole, "a whole number"),
    float: Kind(is_number, real, "a real number"),
    bool: Kind(is_truth, flag, "True or False"),
    str: Kind(lambda value: isinstance(value, str), _text, "a text"),
    Path: _PATH,
    type(None): Kind(lambda value: value is None, lambda name, value: value, "None"),
}


def _instance(cls: type) -> Kind:
    known: set[type] = set()

    def fits(value: Any) -> bool:
        if type(value) in known:  # asking a protocol takes a while
            return True
        try:
            found = isinstance(value, cls)
        except Exception:  # a protocol that cannot be asked: it reads properties, which may fail
            return True
        if found:
            known.add(type(value))
        return found

    def look(name: str, value: Any) -> Any:
        if not fits(value):
            raise ValueError(f"{name} is {with_article(value)}; give {article(cls.__name__)}")
        return value

    return Kind(fits, look, article(cls.__name__))


def _union(kinds: Sequence[Kind | None]) -> Kind | None:
    """The first that fits; tensors before numbers, so that a 0-d tensor stays one where it may."""
    if any(kind is None for kind in kinds):
        return None
    arrays = ("a tensor", "an array")
    ordered = sorted((kind for kind in kinds if kind is not None), key=lambda kind: kind.said not in arrays)
    axes = next((kind.axes for kind in ordered if kind.axes is not None), None)
    if len({kind.axes for kind in ordered if kind.axes is not None}) > 1:
        axes = None
    said = " or ".join(kind.said for kind in ordered)

    def look(name: str, value: Any) -> Any:
        for kind in ordered:
            if kind.fits(value):
                return kind.look(name, value)
        raise refused(name, value, said)

    return Kind(lambda value: any(kind.fits(value) for kind in ordered), look, said, axes)


def _literal(choices: tuple[Any, ...]) -> Kind:
    def look(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            known = ", ".join(map(str, choices))
            raise ValueError(
                f"{name} = {shown(value)} is not known; choose one of {known}{near(value, choices)}"
            )
        return value

    return Kind(lambda value: isinstance(value, str), look, "one of " + ", ".join(map(str, choices)))


def _mapping(values: Kind | None) -> Kind:
    def look(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise refused(name, value, "a mapping, {name: value}")
        if values is None:
            return value
        looked = {key: values.look(f"{name}[{key!r}]", one) for key, one in value.items()}
        return value if all(looked[key] is one for key, one in value.items()) else looked

    return Kind(lambda value: isinstance(value, Mapping), look, "a mapping")


def _several(origin: Any, inside: tuple[Any, ...]) -> Kind:
    """A sequence, its entries looked at; of a fixed length where each has a kind of its own."""
    each = None if not inside else [kind_of(one) for one in inside if one is not ...]
    fixed = origin is tuple and bool(inside) and inside[-1] is not ...
    once = origin is collections.abc.Iterable

    def fits(value: Any) -> bool:
        if is_array(value):
            return value.ndim == 1 and is_bare(value) and has_real_type(value)
        if isinstance(value, (*_TEXT, Mapping)) or (isinstance(value, set | frozenset) and not once):
            return False
        return isinstance(value, collections.abc.Iterable if once else Sequence)

    def look(name: str, value: Any) -> Any:
        if not fits(value):
            raise refused(name, value, "several, as a tuple or list")
        if fixed and len(value) != len(inside):
            raise ValueError(f"{name} has {len(value)} entries; give {len(inside)}")
        if each is None or not (isinstance(value, Sequence) or is_array(value)):
            return value
        entries = value if isinstance(value, Sequence) else value.tolist()
        looked = [
            entry if kind is None else kind.look(f"{name}[{i}]", entry)
            for i, (entry, kind) in enumerate(
                zip(entries, each if fixed else each * len(entries), strict=False)
            )
        ]
        same = entries is value and all(a is b for a, b in zip(looked, entries, strict=True))
        return value if same and (origin is not tuple or isinstance(value, tuple)) else tuple(looked)

    return Kind(fits, look, "a sequence")
