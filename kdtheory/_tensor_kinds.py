"""Kinds of tensors: what an annotation says of dtype and layout as a check of an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory._plain_kinds import REAL, WHOLE, with_article

__all__ = ["tensor_look"]

_REAL, _WHOLE = (frozenset(getattr(torch, name) for name in names) for names in (REAL, WHOLE))
_DTYPES = {"real": _REAL, "whole": _WHOLE, "truth": frozenset({torch.bool}), "any": None}


def tensor_look(sort: str) -> Callable[[str, Any], Any]:
    """The check of a tensor: "real", "whole", "truth" or "any"."""
    dtypes = _DTYPES[sort]

    def look(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is {with_article(value)}; give a tensor, torch.as_tensor({name})")
        if value.layout is not torch.strided or value.is_meta or value.is_nested:
            form = "no numbers (device 'meta')" if value.is_meta else f"layout {value.layout}"
            form = "rows of several shapes (it is nested)" if value.is_nested else form
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
