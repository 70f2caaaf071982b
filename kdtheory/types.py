"""The vocabulary that all levels share: a labelled sample, and the device that "auto" stands for."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door

__all__ = [
    "Sample",
    "as_torch_starts",
    "at_least_float32",
    "promoted",
    "recordable",
    "resolve_device",
    "rounded_up",
    "tensor_of",
    "torch_threads",
]

_WIDEST = 8
_EXTREME = 1e6
_HALF = (torch.float16, torch.bfloat16)


@door
@dataclass(frozen=True)
class Sample:
    """Labelled points drawn from a world whose truth is known.

    Args:
        inputs: the points x, float.
        labels: the label y drawn from p*(x) at each point.
        probs: p*(x) itself, the Bayes class-probabilities, float64.
        atoms: on a finite world, which atom each point is; None elsewhere.
    """

    inputs: Float[Tensor, "*shape dim"]
    labels: Int[Tensor, "*shape"]
    probs: Float[Tensor, "*shape k"]
    atoms: Int[Tensor, "*shape"] | None = None


def at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """The tensors as they are, but half precision as float32: sums and differences need more digits."""
    return [tensor.float() if tensor.dtype in _HALF else tensor for tensor in tensors]


def widened(*tensors: Tensor, temperature: float | Tensor = 1.0) -> list[Tensor]:
    """The tensors in float32 at least; in float64 where a temperature is above 10⁶ or below 10⁻⁶."""
    extreme = (
        bool(((temperature > _EXTREME) | (temperature < 1 / _EXTREME)).any())
        if isinstance(temperature, Tensor)
        else not 1 / _EXTREME <= temperature <= _EXTREME
    )
    return [tensor.double() for tensor in tensors] if extreme else at_least_float32(*tensors)


def told(values: Tensor, like: Tensor, /) -> Tensor:
    """The values in the type of what came in, float32 for half precision."""
    return values.to(at_least_float32(like)[0].dtype)


def at_most_one(values: Tensor, /) -> Tensor:
    """Chances that rounding takes above one as 1; their gradients as they are."""
    return values - (values.detach() - 1).clamp_min(0)


def rounded_up(number: float, /) -> int:
    """⌈x⌉; a whole number that rounding has lifted stays what it was.

    Raises:
        ValueError: it is no number, or not finite.

    >>> math.ceil(0.07 * 100), rounded_up(0.07 * 100), rounded_up(1e13 + 0.5)
    (8, 7, 10000000000001)
    """
    if not isinstance(number, Real) or number != number or number in (math.inf, -math.inf):
        raise ValueError(f"number = {number!r} must be a finite number")
    nearest = round(number)
    return nearest if 0 <= number - nearest <= min(1e-12 * nearest, 1e-3) else math.ceil(number)


def promoted(first: Tensor, /, *others: Tensor) -> list[Tensor]:
    """The tensors in the widest of their types, as torch's own sums have them and its products do not.

    >>> [tensor.dtype for tensor in promoted(torch.zeros(1), torch.zeros(1, dtype=torch.float64))]
    [torch.float64, torch.float64]
    """
    tensors = first, *others
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return [tensor.to(dtype) for tensor in tensors]


def recordable(array: Tensor) -> Tensor:
    """Without a graph; a copy of what was made in inference mode, which autograd cannot keep."""
    return array.clone() if array.is_inference() else array.detach()


def tensor_of(name: str, values: Any, /) -> Tensor:
    """A tensor or array of numbers as a tensor without a graph; the memory is shared where it can be.

    Raises:
        ValueError: its elements are no real numbers, or have more than 64 bits.
    """
    if isinstance(values, Tensor):
        return values.detach()
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries; leave those points out, or fill them in")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged, or on another device
        raise ValueError(f"{name} cannot be read as one array ({error}); give a tensor or an array") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > _WIDEST:
        raise ValueError(f"{name} has elements of {array.dtype}; give real numbers of at most 64 bits")
    dtype = array.dtype.newbyteorder("=")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch hardly knows these
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} goes up to {array.max()}; give whole numbers below 2**63")
        dtype = np.dtype(np.int64)
    if isinstance(values, np.memmap) and not array.flags.writeable and dtype == array.dtype:
        array = _mapped_privately(values)
    return torch.from_numpy(np.require(array, dtype=dtype, requirements=("C", "W")))


def _mapped_privately(array: np.memmap) -> np.ndarray:
    """A read-only file mapped anew, to be a tensor without a copy: what is written there stays in memory."""
    whole = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    if whole.filename is None or not array.flags.c_contiguous:
        return np.asarray(array)
    offset = whole.offset + array.ctypes.data - whole.ctypes.data
    try:
        again = np.memmap(whole.filename, array.dtype, "c", offset, array.shape)
    except (OSError, ValueError):  # the file is there no more, or shorter
        return np.asarray(array)
    ends = [0, -1] if array.ndim and len(array) else []
    same = all(array[end].tobytes() == again[end].tobytes() for end in ends)
    return np.asarray(again if same else array)


@contextmanager
def as_torch_starts(*, meta: bool = False) -> Iterator[None]:
    """No inference mode, and new tensors on the CPU, whatever the caller has set; also a decorator.

    Args:
        meta: leave any default device but the meta device: modules of others may count on it.

    >>> with torch.device("meta"), torch.inference_mode(), as_torch_starts():
    ...     torch.zeros(1).device, torch.is_inference_mode_enabled()
    (device(type='cpu'), False)
    """
    own = torch.get_default_device().type
    elsewhere = own == "meta" if meta else own != "cpu"  # the context costs at every call of torch
    with torch.inference_mode(False), torch.device("cpu") if elsewhere else nullcontext():
        yield


@contextmanager
def torch_threads(number: int, /) -> Iterator[None]:
    """This many inner threads for torch, and the caller's number afterwards; also a decorator.

    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@door
def resolve_device(device: str | torch.device) -> torch.device:
    """The device that a name stands for; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ValueError: the name is not a device, or the device is not there.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device = {device!r} is not available; try 'auto' or 'cpu'") from error
    if resolved.type == "meta":
        raise ValueError(f"device = {device!r} holds no numbers; try 'auto' or 'cpu'")
    return resolved
