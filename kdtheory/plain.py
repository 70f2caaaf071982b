"""Frozen types as plain JSON types and back, by the annotations of their fields.

A class that has several forms says itself how it is written and read (`to_plain`, `from_plain`).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from kdtheory.doors import gate

__all__ = ["NUMERIC_NAME", "made", "plain", "plain_fields", "restored"]

NUMERIC_NAME = re.compile(r"\d+[eE]\d+")
"""A name that would be read as a number, as the commit 2487e95: no number is written so in a table."""
_PLAIN = {str, bool, int, float, type(None)}
_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


@gate
def plain(value: Any, /) -> Any:
    """The value in dictionaries, lists, texts and numbers.

    >>> import numpy as np
    >>> plain({0.5: (1, np.float64(2.0))})
    {'0.5': [1, 2.0]}
    """
    return _plain(value)


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "to_plain"):
        return value.to_plain()
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_fields(value)
    if isinstance(value, Mapping):
        return {f"{key:g}" if isinstance(key, float) else str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):  # an array, a tensor, or one number of them
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@gate
def plain_fields(value: Any, /) -> dict[str, Any]:
    """The fields of a dataclass, each in plain types."""
    return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}


@gate
def restored(kind: Any, value: Any, where: str, /) -> Any:
    """The value that `plain` was made of, one of a `kind`; entries that are no field are passed over.

    Raises:
        ValueError: something is missing or of another type; `where` and the fields' names say what.

    >>> restored(tuple[float, ...], [1, "two"], "sizes")
    Traceback (most recent call last):
    ValueError: sizes[1] is 'two', and must be a number; it is damaged, or was edited
    """
    return _restored(kind, value, where)


def _restored(kind: Any, value: Any, where: str) -> Any:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # T | None
        return None if value is None else _restored(inside[0], value, where)
    if kind is Any:
        return value
    if hasattr(kind, "from_plain"):
        return kind.from_plain(value, where)
    if dataclasses.is_dataclass(kind):
        return made(kind, value, where)
    if origin is tuple:
        items = enumerate(_checked(value, list, where, "a list"))
        each = inside[:1] * len(value) if inside[-1] is ... else inside
        if len(each) != len(value):
            raise _damaged(where, value, f"a list of {len(each)}")
        return tuple(_restored(each[n], one, f"{where}[{n}]") for n, one in items)
    if origin is not None:  # a mapping
        items = _checked(value, dict, where, "an object").items()
        named, of = inside
        return {_key(named, key, where): _restored(of, one, f"{where}.{key}") for key, one in items}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if not isinstance(value, str) or value not in kind.__members__:
            raise _damaged(where, value, f"one of {', '.join(kind.__members__)}")
        return kind[value]
    fits = isinstance(value, int | float if kind is float else kind) and (
        kind is bool or not isinstance(value, bool)
    )
    if not fits:
        raise _damaged(where, value, _WORDS[kind])
    return value


@gate
def made(kind: Any, value: Any, where: str, /) -> Any:
    """A dataclass of its fields in plain types.

    Raises:
        ValueError: a field is missing or of another type.
    """
    _checked(value, dict, where, "an object")
    hints = _hints(kind)
    names = [entry.name for entry in dataclasses.fields(kind)]
    if lacking := [name for name in names if name not in value]:
        raise ValueError(f"{where} lacks {lacking[0]!r}; it is damaged, or was edited")
    return kind(**{name: _restored(hints[name], value[name], f"{where}.{name}") for name in names})


_hints = functools.cache(typing.get_type_hints)


def _key(kind: Any, key: str, where: str) -> Any:
    try:
        return kind(key)
    except ValueError:
        raise _damaged(where, key, _WORDS[kind]) from None


def _checked(value: Any, kind: type, where: str, words: str) -> Any:
    if not isinstance(value, kind):
        raise _damaged(where, value, words)
    return value


def _damaged(where: str, value: Any, words: str) -> ValueError:
    shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:37]}…"
    return ValueError(f"{where} is {shown}, and must be {words}; it is damaged, or was edited")
