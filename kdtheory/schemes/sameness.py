"""By what two trainings are told apart: what their data, networks and functions are, in words and digests."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from kdtheory._content import closed_over, stored
from kdtheory.batches import Batches

__all__ = ["data_in_words", "in_words", "net_in_words", "recipe_in_words", "without_addresses"]

_PLAIN = (int, float, str, bool, type(None))
_SHOWN = 12
_ADDRESS = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)


def in_words(function: Any, /) -> str:
    """A function by its name and what it holds: plain settings, numbers by a digest; a lambda by its code.

    >>> in_words(functools.partial(max, default=2))
    'max(default=2)'
    """
    return _in_words(function, ())


def _in_words(function: Any, around: tuple[Any, ...]) -> str:
    """The same within what some functions hold; one of these is its name alone."""
    own = function if isinstance(function, functools.partial) else inspect.unwrap(function)
    name = getattr(own, "__name__", type(own).__name__)
    if any(own is one for one in around):
        return str(name)
    around = (*around, own)
    if isinstance(own, functools.partial):
        settings = {str(place): value for place, value in enumerate(own.args)} | own.keywords
        return f"{_in_words(own.func, around).removesuffix('()')}{_settings(settings, around)}"
    if isinstance(own, nn.Module):
        return net_in_words(own)
    if (code := getattr(own, "__code__", None)) is None:
        return name + _settings({} if isinstance(own, type) else getattr(own, "__dict__", {}), around)
    if name == "<lambda>":
        name += f" {_digest(_code(code))}"
    return name + _settings(_defaults(own, code) | closed_over(own), around)


def _defaults(function: Any, code: CodeType) -> dict[str, Any]:
    """What a function takes where a caller gives nothing; of kdtheory's own the code has it."""
    if str(function.__module__).startswith(f"{__name__.partition('.')[0]}."):
        return {}
    given = function.__defaults__ or ()
    last = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
    return dict(zip(last, given, strict=True)) | (function.__kwdefaults__ or {})


def net_in_words(net: nn.Module, /) -> str:
    """A network by its class and a digest of what it prints, of its parameters and of its buffers."""
    named = {"": without_addresses(repr(net)), **dict(net.named_parameters()), **dict(net.named_buffers())}
    return f"{type(net).__name__} {_digest(_numbers(named))}"


def without_addresses(text: str, /) -> str:
    """A text in which objects print where they lie, which is elsewhere in another process, without that."""
    return _ADDRESS.sub("", text)


def data_in_words(data: Batches, /) -> str:
    """Data by their numbers where these can be had without drawing, else by what loads them; their length."""
    how = (data.inputs, data.labels, data.ignore_index, data.most)
    read = "" if how == (None,) * 4 else f" read by {how}"
    return f"{_loaded(data.data)} ({data.length} a pass){read}"


def recipe_in_words(recipe: Any, /) -> str:
    """A recipe; of factories their names and what they hold."""
    made = [in_words(each) for each in (recipe.optimizer, recipe.schedule) if not isinstance(each, str)]
    return ", ".join([f"{recipe}", *made])


def _loaded(data: Any) -> str:
    if isinstance(data, (tuple, list, Mapping)):
        return _digest(_numbers(data))
    if isinstance(data, DataLoader):
        own = data.batch_size is None and data.batch_sampler is not None  # it draws whole batches
        drawn = type(data.batch_sampler if own else data.sampler).__name__
        return f"DataLoader of {_loaded(data.dataset)}, {data.batch_size} of a {drawn}"
    if isinstance(data, TensorDataset):
        return _digest(_numbers(data.tensors))
    if isinstance(data, Subset):
        places = [place.item() if hasattr(place, "item") else place for place in data.indices]
        return f"{_digest(_numbers(places))} in {_loaded(data.dataset)}"
    try:
        return f"{len(data)} in a {type(data).__name__}"
    except TypeError:
        return f"a {type(data).__name__}"


def _digest(parts: Iterator[Any]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:_SHOWN]


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers in a tree of tensors, each with its type and shape."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value)
    elif isinstance(value, Tensor):
        for shape, numbers in stored(value):
            yield f"{value.dtype} {shape}".encode()
            yield numbers
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield f"{name}:".encode()
            yield from _numbers(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _numbers(part)
    else:
        yield repr(value).encode() if isinstance(value, _PLAIN) else type(value).__name__.encode()


def _code(code: CodeType) -> Iterator[bytes]:
    """What is done in bytecode, wherever it stands."""
    yield code.co_code + repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:  # a set's order is another one in another process
            whole = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
            yield repr(whole).encode()


def _settings(held: Mapping[str, Any], around: tuple[Any, ...]) -> str:
    plain = [f"{name}={_setting(value, around)}" for name, value in sorted(held.items()) if _tells(value)]
    return f"({', '.join(plain)})"


def _tells(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, Tensor, np.ndarray, nn.Module)) or _is_function(value)


def _is_function(value: Any) -> bool:
    return isinstance(value, functools.partial) or inspect.isfunction(value)


def _setting(value: Any, around: tuple[Any, ...]) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return _digest(_numbers(value))
    if isinstance(value, nn.Module):
        return net_in_words(value)
    return _in_words(value, around) if _is_function(value) else repr(value)
