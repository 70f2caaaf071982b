"""Annotations as checks of arguments: the values accepted, and the sentence for those that are not."""

from __future__ import annotations

import collections.abc
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kdtheory._near import near

__all__ = ["Kind", "kind_of"]

_REAL = frozenset((torch.float64, torch.float32, torch.float16, torch.bfloat16))
_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
_WHOLE = frozenset((torch.int64, torch.int32, torch.int16, torch.int8, *_UNSIGNED))
_TEXT = (str, bytes, bytearray)


@dataclass(frozen=True)
class Kind:
    """One kind of argument.

    Args:
        fits: whether a value is of this kind at first sight, where several are possible.
        look: the value as this kind, or a `ValueError` that names the argument.
        said: what to give, in words.
        axes: of a tensor, its axes as jaxtyping writes them.
    """

    fits: Callable[[Any], bool]
    look: Callable[[str, Any], Any]
    said: str
    axes: tuple[str, ...] | None = None


def kind_of(hint: Any) -> Kind | None:
    """The kind that an annotation names; None where anything goes."""
    if hint is npt.ArrayLike:
        return _ARRAY_LIKE
    if isinstance(hint, type) and hasattr(hint, "dim_str"):
        return _array(hint)
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
    if hint in _PLAIN:
        return _PLAIN[hint]
    return _instance(hint) if inspect.isclass(hint) and hint is not object else None


def shown(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def refused(name: str, value: Any, said: str) -> ValueError:
    return ValueError(f"{name} = {shown(value)} must be {said}")


def _is_number(value: Any) -> bool:
    """A number or what holds exactly one; no truth value, no complex number, no text."""
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim == 0 and _real_type(value)
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | complex)


def _real_type(value: Tensor | np.ndarray) -> bool:
    if isinstance(value, Tensor):
        return (value.dtype in _REAL or value.dtype in _WHOLE) and not value.is_meta
    return value.dtype.kind in "fiu"


def _number(name: str, value: Any, said: str) -> int | float:
    """The Python number."""
    if not _is_number(value):
        raise refused(name, value, said)
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(f"{name} asks for a gradient, which ends at a number; give {name}.item()")
    number: int | float = value if isinstance(value, int | float) else value.item()
    return number


def _whole(name: str, value: Any) -> int:
    if type(value) is int:
        return value
    number = _number(name, value, "a whole number")
    if isinstance(number, float) and not number.is_integer():
        raise refused(name, value, "a whole number")
    return int(number)


def _real(name: str, value: Any) -> float:
    number = value if type(value) is float else _number(name, value, "a real number")
    if number != number:
        raise refused(name, value, "a real number")
    return _within(name, number)


def _within(name: str, number: int | float) -> int | float:
    if isinstance(number, int) and abs(number) > 2**1023:
        raise ValueError(f"{name} has {len(str(number))} digits; give a number below 2^1023")
    return number


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item() if _bare(value) else None
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} = {shown(value)} must be True or False: say whether it was so")
    return bool(value)


def _bare(value: Tensor | np.ndarray) -> bool:
    return not isinstance(value, Tensor) or not value.is_meta


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


def _array_like(name: str, value: Any) -> Any:
    """A number, or an array or nested sequence of numbers."""
    if _is_number(value):
        return _within(name, _number(name, value, "a number"))
    try:
        array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
    except (ValueError, TypeError, RuntimeError):  # ragged, on another device, sparse
        raise refused(name, value, "a number or an array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise refused(name, value, "a number or an array of numbers")
    return array


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


_CALLABLE = Kind(callable, _callable, "a function")
_ARRAY_LIKE = Kind(lambda value: not isinstance(value, _TEXT), _array_like, "numbers")
_PATH = Kind(_is_path, _path, "a path")
_PLAIN: dict[Any, Kind] = {
    int: Kind(_is_number, _whole, "a whole number"),
    float: Kind(_is_number, _real, "a real number"),
    bool: Kind(lambda value: isinstance(value, bool | np.bool_), _flag, "True or False"),
    str: Kind(lambda value: isinstance(value, str), _text, "a text"),
    Path: _PATH,
    type(None): Kind(lambda value: value is None, lambda name, value: value, "None"),
}


def _array(hint: Any) -> Kind | None:
    """A tensor or array of a jaxtyping annotation."""
    axes = tuple(axis.split("=")[-1].lstrip("?") for axis in hint.dim_str.split())
    axes_known = None if "..." in axes and len(axes) == 1 else axes
    if hint.array_type is np.ndarray:
        look = _numpy_look(_sort(hint))
        return Kind(lambda value: isinstance(value, np.ndarray), look, "an array", axes_known)
    if hint.array_type is not Tensor:
        return None
    look = {"real": _tensor_look(_REAL), "whole": _tensor_look(_WHOLE), "truth": _tensor_look({torch.bool}),
            "any": _tensor_look(None)}[_sort(hint)]  # fmt: skip
    return Kind(lambda value: isinstance(value, Tensor), look, "a tensor", axes_known)


def _sort(hint: Any) -> str:
    dtypes = hint.dtypes if isinstance(hint.dtypes, list | tuple) else ["any"]
    if "any" in dtypes or ("float32" in dtypes and "int64" in dtypes):
        return "any"
    return "real" if "float32" in dtypes else "whole" if "int64" in dtypes else "truth"


def _tensor_look(dtypes: collections.abc.Set[torch.dtype] | None) -> Callable[[str, Any], Any]:
    def look(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is {_a(value)}; give a tensor, torch.as_tensor({name})")
        if value.layout is not torch.strided or value.is_meta:
            form = "no numbers (device 'meta')" if value.is_meta else f"layout {value.layout}"
            raise ValueError(f"{name} has {form}; give an ordinary tensor, {name}.to_dense()")
        dtype = value.dtype
        if dtypes is None:
            if dtype.is_complex:
                raise ValueError(f"{name} has dtype {dtype}; give real numbers")
        elif dtype not in dtypes:
            raise ValueError(f"{name} has dtype {dtype}; {_CURES[min(map(str, dtypes))].format(name)}")
        return value.long() if dtypes is _WHOLE and dtype is not torch.int64 else value

    return look


_CURES = {
    "torch.bfloat16": "give floating-point numbers, {0}.float()",
    "torch.int16": "give whole class numbers (torch.long)",
    "torch.bool": "give truth values, a boolean tensor",
}


def _numpy_look(sort: str) -> Callable[[str, Any], Any]:
    def look(name: str, value: Any) -> Any:
        array = np.asarray(_array_like(name, value))
        if sort == "whole" and array.dtype.kind == "f":
            if not bool((array == np.floor(array)).all() and np.isfinite(array).all()):
                raise refused(name, value, "whole numbers")
            return array.astype(np.int64)
        return array.astype(float) if sort == "real" and array.dtype.kind in "iu" else array

    return look


def _a(value: Any) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


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
            raise ValueError(f"{name} is {_a(value)}; give {_article(cls.__name__)}")
        return value

    return Kind(fits, look, _article(cls.__name__))


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'AEIOU' else 'a'} {word}"


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
        if isinstance(value, Tensor | np.ndarray):
            return value.ndim == 1 and _bare(value) and _real_type(value)
        if isinstance(value, (*_TEXT, Mapping)) or (isinstance(value, set | frozenset) and not once):
            return False
        return isinstance(value, collections.abc.Iterable if once else Sequence)

    def look(name: str, value: Any) -> Any:
        if not fits(value):
            raise refused(name, value, "several, as a tuple or list")
        if fixed and len(value) != len(inside):
            raise ValueError(f"{name} has {len(value)} entries; give {len(inside)}")
        if each is None or not isinstance(value, Sequence | Tensor | np.ndarray):
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
