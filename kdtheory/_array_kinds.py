"""Kinds of arrays: the annotations of jaxtyping and `ArrayLike` as checks of arguments."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdtheory._plain_kinds import REAL, WHOLE, Kind, is_number, number_of, refused, with_article, within

__all__ = ["ARRAY_LIKE", "array_kind"]

_REAL, _WHOLE = (frozenset(getattr(torch, name) for name in names) for names in (REAL, WHOLE))
_TEXT = (str, bytes, bytearray)


def _array_like(name: str, value: Any) -> Any:
    """A number, or an array or nested sequence of numbers."""
    if is_number(value):
        return within(name, number_of(name, value, "a number"))
    try:
        array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
    except (ValueError, TypeError, RuntimeError):  # ragged, on another device, sparse
        raise refused(name, value, "a number or an array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise refused(name, value, "a number or an array of numbers")
    return array


ARRAY_LIKE = Kind(lambda value: not isinstance(value, _TEXT), _array_like, "numbers")


def array_kind(hint: Any) -> Kind | None:
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
            raise ValueError(f"{name} is {with_article(value)}; give a tensor, torch.as_tensor({name})")
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
