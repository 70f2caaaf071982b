"""What someone gives by mistake in the place of a good value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_values import Arguments
from torch import Tensor

F32, F64 = torch.float32, torch.float64


def odd(draw: Arguments, value: Any, name: str = "") -> Any:
    """What someone gives by mistake in the place of `value`."""
    if name == "jobs":  # more of them are processes, which take seconds to start
        return draw.one_of(0, -1, True, 1.0, "2", math.nan, None)
    if isinstance(value, bool):
        return draw.one_of(*ODD_FLAGS)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return draw.one_of(*(ODD_COUNTS if isinstance(value, int) else ODD_NUMBERS), *ODD_THINGS)
    if isinstance(value, Tensor):
        return spoiled(draw, value)
    if isinstance(value, str):
        return draw.one_of(value.upper(), value + "s", "", value.encode(), *ODD_THINGS)
    if isinstance(value, tuple | list) and value:
        at = draw.random.randrange(len(value))
        inner = (*value[:at], odd(draw, value[at]), *value[at + 1 :])
        return draw.one_of(inner, inner, (), None, value[0], list(value), iter(value), 3, "ab")
    return draw.one_of(*ODD_THINGS, {"total": 1.0}, (1, 2))


ODD_FLAGS = ("no", "", 0, 1, None, 2.0, np.True_, torch.tensor(True), torch.tensor([True, False]), [])
ODD_THINGS = (
    "2",
    None,
    [],
    {},
    object(),
    b"2",
    1j,
    np.array([1.0, 2.0]),
    torch.tensor([0.5, 0.2]),
    Path("."),
)
ODD_COUNTS = (
    3.0,
    2.5,
    -1,
    0,
    True,
    np.int64(2),
    np.float64(2.0),
    np.array(2),
    np.array(2.0),
    torch.tensor(2),
    torch.tensor(2.0),
    np.uint8(2),
    math.nan,
    math.inf,
    -math.inf,
    torch.tensor([[2]]),
    np.float32(2.5),
    1e-3,
    2**62,
    10**30,
)
ODD_NUMBERS = (
    1,
    0,
    -1,
    True,
    math.nan,
    math.inf,
    -math.inf,
    1e-46,
    1e20,
    1e308,
    5e-324,
    -0.0,
    np.float32(0.5),
    np.array(0.5),
    torch.tensor(0.5),
    torch.tensor([[0.5], [0.5]]),
    torch.tensor(-1.0),
    np.float16(0.1),
    torch.tensor(math.nan),
    torch.tensor(0.5, requires_grad=True),
    10**400,
)


def changed(value: Tensor, bad: float) -> Tensor:
    """One entry replaced."""
    spoiled = value.clone()
    spoiled.reshape(-1)[:1] = bad
    return spoiled


TYPED = (
    torch.float16,
    torch.bfloat16,
    F32,
    F64,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.bool,
    torch.complex64,
)
ODD_TENSORS: tuple[Callable[[Tensor], Any], ...] = (
    lambda value: None,
    lambda value: "x",
    lambda value: 1.0,
    Tensor.tolist,
    Tensor.numpy,
    Tensor.to_sparse,
    lambda value: value.to("meta"),
    lambda value: value[None],
    lambda value: value[0],
    Tensor.flatten,
    lambda value: value[..., None],
    lambda value: value[:0],
    lambda value: value[:1],
    lambda value: value[:-1],
    lambda value: value[..., :1],
    lambda value: value.mT,
    lambda value: torch.cat([value, value]),
    torch.zeros_like,
    torch.ones_like,
    *(partial(Tensor.to, dtype=dtype) for dtype in TYPED),
)
ODD_REALS: tuple[Callable[[Tensor], Any], ...] = (
    Tensor.neg,
    lambda value: value * 1e30,
    lambda value: value * 1e-40,
    lambda value: value.double() * 1e200,
    lambda value: value.clone().requires_grad_(),
    *(partial(changed, bad=bad) for bad in (math.nan, math.inf, -math.inf, 0.0)),
)
ODD_CLASSES: tuple[Callable[[Tensor], Any], ...] = (
    lambda value: value + 7,
    lambda value: value - 5,
    lambda value: torch.full_like(value, -100),
    *(partial(Tensor.to, dtype=dtype) for dtype in TYPED),
)


def spoiled(draw: Arguments, value: Tensor) -> Any:
    """A tensor in another type, shape or place, or with entries that it should not have."""
    more = ODD_REALS if value.is_floating_point() else () if value.dtype == torch.bool else ODD_CLASSES
    try:
        with warnings.catch_warnings():  # torch's, of what it is asked for here
            warnings.simplefilter("ignore")
            return draw.one_of(*ODD_TENSORS, *more)(value)
    except (
        RuntimeError,
        IndexError,
        NotImplementedError,
        TypeError,
    ):  # what has no axes has no rows to take off
        return None
