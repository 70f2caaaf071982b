"""Kinds of numbers and words, and the sentences of what is refused: without importing torch or NumPy.

Where neither is loaded, no value is a tensor or an array; so doors of modules that must start quickly are
looked at as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "REAL",
    "WHOLE",
    "Kind",
    "article",
    "flag",
    "has_real_type",
    "is_array",
    "is_bare",
    "is_number",
    "is_tensor",
    "is_truth",
    "number_of",
    "real",
    "refused",
    "shown",
    "whole",
    "with_article",
    "within",
]

REAL = ("float64", "float32", "float16", "bfloat16")
WHOLE = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
_TYPES = frozenset(f"torch.{name}" for name in (*REAL, *WHOLE))


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


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch's."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def is_array(value: Any) -> bool:
    """Whether it is a tensor or an array."""
    return is_tensor(value) or isinstance(value, getattr(sys.modules.get("numpy"), "ndarray", ()))


def shown(value: Any) -> str:
    """A value in few words."""
    if is_array(value) and value.ndim:
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def refused(name: str, value: Any, said: str) -> ValueError:
    return ValueError(f"{name} = {shown(value)} must be {said}")


def is_number(value: Any) -> bool:
    """A number or what holds exactly one; no truth value, no complex number, no text."""
    if is_array(value):
        return value.ndim == 0 and has_real_type(value)
    known = (int, float, *_of_numpy("number"))
    return isinstance(value, known) and not isinstance(value, (bool, complex, *_of_numpy("timedelta64")))


def has_real_type(value: Any) -> bool:
    """Whether a tensor or array has elements that are real numbers."""
    if is_tensor(value):
        return str(value.dtype) in _TYPES and not value.is_meta
    return value.dtype.kind in "fiu"


def number_of(name: str, value: Any, said: str) -> int | float:
    """The Python number."""
    if not is_number(value):
        raise refused(name, value, said)
    if is_tensor(value) and value.requires_grad:
        raise ValueError(f"{name} asks for a gradient, which ends at a number; give {name}.item()")
    number: int | float = value if isinstance(value, int | float) else value.item()
    return number


def whole(name: str, value: Any) -> int:
    if type(value) is int:
        return value
    number = number_of(name, value, "a whole number")
    if isinstance(number, float) and not number.is_integer():
        raise refused(name, value, "a whole number")
    return int(number)


def real(name: str, value: Any) -> float:
    number = value if type(value) is float else number_of(name, value, "a real number")
    if number != number:
        raise refused(name, value, "a real number")
    return within(name, number)


def within(name: str, number: int | float) -> int | float:
    if isinstance(number, int) and abs(number) > 2**1023:
        raise ValueError(f"{name} has {len(str(number))} digits; give a number below 2^1023")
    return number


def is_truth(value: Any) -> bool:
    """Whether it is True or False, NumPy's too."""
    return isinstance(value, (bool, *_of_numpy("bool_")))


def _of_numpy(name: str) -> tuple[type, ...]:
    numpy = sys.modules.get("numpy")
    return (getattr(numpy, name),) if hasattr(numpy, name) else ()


def flag(name: str, value: Any) -> bool:
    if is_array(value) and value.ndim == 0:
        value = value.item() if is_bare(value) else None
    if not is_truth(value):
        raise ValueError(f"{name} = {shown(value)} must be True or False: say whether it was so")
    return bool(value)


def is_bare(value: Any) -> bool:
    return not is_tensor(value) or not value.is_meta


def with_article(value: Any) -> str:
    return "None" if value is None else article(type(value).__name__)


def article(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"
