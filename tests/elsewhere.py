"""A device of its own on the CPU: tensors whose numbers lie elsewhere, and meet no tensor that does not.

A tensor of the device "elsewhere" holds one of the CPU and hands every operation on to it, so that values are
those of the CPU. An operation on tensors of both devices is refused as by CUDA, but for single numbers, for
places in an index and where one is copied into the other; NumPy does not take what lies there. Registered
once for a process, for which torch then has an accelerator: tests that need it start one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from kdtheory.streams import Stream

__all__ = ["Elsewhere", "elsewhere"]

NAME = "elsewhere"
backend_registration._setup_privateuseone_for_python_backend(NAME)
HERE, THERE = torch.device("cpu"), torch.device(NAME, 0)
ACROSS = ("aten.copy_", "aten._to_copy", "aten.index", "aten._index_put_impl_")


class Elsewhere(Tensor):
    """A tensor there."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=THERE,
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _handed_on(func, args, kwargs or {})


class _Device(TorchDispatchMode):
    """What makes tensors, and names the device, has none among its arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _handed_on(func, args, kwargs or {})


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """The device, for a block; its generators are those of the CPU."""
    right = Stream.torch
    with _Device(), mock.patch.object(Stream, "torch", lambda stream, _device="cpu": right(stream)):
        yield THERE


@torch.library.impl("aten::empty_strided", "PrivateUse1")  # asked for below the reach of `_Device`
def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _handed_on(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [one for one in tensors if isinstance(one, Elsewhere)]
    strangers = [one for one in tensors if not isinstance(one, Elsewhere) and one.ndim]
    if ours and strangers and not str(func).startswith(ACROSS):
        raise RuntimeError(f"{func} of tensors on {THERE} and on {HERE}, {tuple(strangers[0].shape)}")
    there, asked = bool(ours), kwargs.get("device")
    if asked is not None:
        there = torch.device(asked).type == NAME
        kwargs = {**kwargs, "device": HERE}
    named = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    inner, inner_named = tree_map_only(Elsewhere, lambda one: one.held, (args, named))
    out = func(*inner, **inner_named)
    if not there:
        return out
    known = {id(one.held): one for one in ours}
    out = tree_map_only(Tensor, lambda one: known[id(one)] if id(one) in known else Elsewhere(one), out)
    return return_and_correct_aliasing(func, args, kwargs, out) if ours else out


@torch.library.impl("aten::_copy_from", "PrivateUse1")
def _copy_from(source: Tensor, to: Tensor, _non_blocking: bool = False) -> Tensor:
    inner = [one.held if isinstance(one, Elsewhere) else one for one in (to, source)]
    inner[0].copy_(inner[1])
    return to
