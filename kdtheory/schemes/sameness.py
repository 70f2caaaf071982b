"""By what two trainings are told apart: what their data, networks and functions are, in words and digests."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from kdtheory.batches import Batches

__all__ = ["data_in_words", "in_words", "net_in_words", "recipe_in_words"]

_PLAIN = (int, float, str, bool, type(None))
_SHOWN = 12


def in_words(function: Any, /) -> str:
    """A function by its name and what it holds: plain settings, numbers by a digest; a lambda by its code.

    >>> in_words(functools.partial(max, default=2))
    'max(default=2)'
    """
    if isinstance(function, functools.partial):
        settings = {str(place): value for place, value in enumerate(function.args)} | function.keywords
        return f"{in_words(function.func).removesuffix('()')}{_settings(settings)}"
    own = inspect.unwrap(function)
    code, cells = getattr(own, "__code__", None), getattr(own, "__closure__", None)
    if isinstance(own, nn.Module):
        return net_in_words(own)
    name = getattr(own, "__name__", type(own).__name__)
    if code is None:
        return name + _settings({} if isinstance(own, type) else getattr(own, "__dict__", {}))
    if name == "<lambda>":
        name += f" {_digest(_code(code))}"
    held = dict(zip(code.co_freevars, cells, strict=True)) if cells else {}
    return name + _settings({free: _content(cell) for free, cell in held.items()})


def net_in_words(net: nn.Module, /) -> str:
    """A network by its class and a digest of its parameters and buffers."""
    named = dict([*net.named_parameters(), *net.named_buffers()])
    return f"{type(net).__name__} {_digest(_numbers(named))}"


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
        return f"DataLoader of {_loaded(data.dataset)}"
    if isinstance(data, TensorDataset):
        return _digest(_numbers(data.tensors))
    if isinstance(data, Subset):
        return f"{_digest(_numbers(torch.as_tensor(data.indices, device='cpu')))} in {_loaded(data.dataset)}"
    try:
        return f"{len(data)} in a {type(data).__name__}"
    except TypeError:
        return f"a {type(data).__name__}"


def _digest(parts: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:_SHOWN]


def _numbers(value: Any) -> Iterator[bytes]:
    """The numbers in a tree of tensors, each with its type and shape."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
    elif isinstance(value, Tensor):
        plain = value.detach().int_repr() if value.is_quantized else value.detach()
        plain = (plain if plain.layout is torch.strided else plain.to_dense()).cpu()
        flat = plain.resolve_neg().resolve_conj().contiguous().reshape(-1)
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""
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


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing in it yet
        return cell


def _settings(held: Mapping[str, Any]) -> str:
    plain = [f"{name}={_setting(value)}" for name, value in sorted(held.items()) if _tells(value)]
    return f"({', '.join(plain)})"


def _tells(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, Tensor, np.ndarray, nn.Module)) or _is_function(value)


def _is_function(value: Any) -> bool:
    return isinstance(value, functools.partial) or inspect.isfunction(value)


def _setting(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return _digest(_numbers(value))
    if isinstance(value, nn.Module):
        return net_in_words(value)
    return in_words(value) if _is_function(value) else repr(value)
