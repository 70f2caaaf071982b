"""Kinds of arrays: the annotations of jaxtyping and `ArrayLike` as checks of arguments, without torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from kdtheory._plain_kinds import Kind, is_number, is_tensor, number_of, refused, within

__all__ = ["ARRAY_LIKE", "array_kind"]

_TEXT = (str, bytes, bytearray)


def _array_like(name: str, value: Any) -> Any:
    """A number, or an array or nested sequence of numbers."""
    if is_number(value):
        return within(name, number_of(name, value, "a number"))
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; leave those points out, or fill them in")
    try:
        array = np.asarray(value.detach() if is_tensor(value) else value)
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
    if hint.array_type is not getattr(sys.modules.get("torch"), "Tensor", None):
        return None
    from kdtheory._tensor_kinds import tensor_look

    return Kind(is_tensor, tensor_look(_sort(hint)), "a tensor", axes_known)


def _sort(hint: Any) -> str:
    dtypes = hint.dtypes if isinstance(hint.dtypes, list | tuple) else ["any"]
    if "any" in dtypes or ("float32" in dtypes and "int64" in dtypes):
        return "any"
    return "real" if "float32" in dtypes else "whole" if "int64" in dtypes else "truth"


def _numpy_look(sort: str) -> Callable[[str, Any], Any]:
    def look(name: str, value: Any) -> Any:
        array = np.asarray(_array_like(name, value))
        if sort == "whole" and array.dtype.kind == "f":
            if not bool((array == np.floor(array)).all() and np.isfinite(array).all()):
                raise refused(name, value, "whole numbers")
            return array.astype(np.int64)
        return array.astype(float) if sort == "real" and array.dtype.kind in "iu" else array

    return look
