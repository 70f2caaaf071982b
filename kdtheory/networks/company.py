"""Modules asked as they are: left as they were, and each example answered for itself alone."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from kdtheory.doors import door
from kdtheory.networks.calls import Inputs

__all__ = ["CLOSE", "alike", "at_rest", "check_alone", "closeness", "left_as_it_was"]

CLOSE = 1e-3
"""How far two answers of one net may lie apart, of the largest logit."""
_BY_THE_BATCH = 0.1
_ROUNDING = 0.1  # what lies between two logits of one row may be smaller than either
_ASKED = 64


@door
def at_rest(module: nn.Module, /) -> nn.Module:
    """The module, in evaluation mode; an exported graph, which has its mode in it, stays as it is.

    >>> at_rest(nn.Dropout()).training
    False
    """
    try:
        module.eval()
    except NotImplementedError:  # of a graph inside, too, whose neighbours are then to be switched one by one
        for part in module.modules():
            part.training = False
    return module


@door
@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Within, a module may be called; afterwards its modes, buffers and attributes are what they were.

    So are torch's default generators, which it may draw from to no consequence.

    Layers count their calls in buffers and keep what they computed as attributes, or in what lies there:
    tensors, arrays, lists, mappings. No parameter is copied but those of tables with a `max_norm`, which a
    call writes on.

    >>> class Counting(nn.Identity):
    ...     calls = 0
    ...     def forward(self, x):
    ...         self.calls += 1
    ...         return x
    >>> net = Counting()
    >>> with left_as_it_was(net):
    ...     _ = net.eval()(torch.zeros(1))
    >>> net.calls, net.training
    (0, True)
    """
    modes = [(part, getattr(part, "training", None)) for part in module.modules()]
    undo: list[Callable[[], None]] = []
    seen: set[int] = set()
    for part, _ in modes:
        _keep(vars(part), undo, seen)
        if getattr(part, "max_norm", None) is not None:
            for table in part.parameters(recurse=False):
                _keep(table.detach(), undo, seen)
    devices = {value.device for _, value in (*module.named_parameters(), *module.named_buffers())}
    try:
        with torch.random.fork_rng([device for device in devices if device.type == "cuda"]):
            yield
    finally:
        with torch.no_grad():
            for put_back in undo:
                put_back()
        for part, training in modes:
            if training is not None and part.training != training:
                part.training = training


@door
def alike(said: Float[Tensor, "n k"], again: Float[Tensor, "n k"], /, *, close: float = CLOSE) -> bool:
    """Equal up to rounding, −∞ and NaN in the same places; the same class unless two are as good as equal."""
    sizes = torch.where(said.isfinite(), said.abs(), 0.0).amax(0)
    least = sizes.amax().clamp_max(1.0)  # what counts as nothing beside the largest logit, or beside one
    tolerance = close * sizes.maximum(least)
    near = (said == again) | (said.isnan() & again.isnan()) | ((said - again).abs() <= tolerance)
    if said.shape[1] < 2 or not bool(near.all()):
        return bool(near.all())
    best = said.topk(2).values
    clear = best[:, 0] - best[:, 1] > _ROUNDING * close * best.abs().amax(-1).maximum(least)
    return not bool((clear & (said.argmax(-1) != again.argmax(-1))).any())


@door
def check_alone(
    ask: Callable[[Inputs], Tensor],
    inputs: Inputs,
    said: Float[Tensor, "n *tokens k"],
    /,
    *,
    name: str = "the module",
    at_once: int = _ASKED,
    close: float = CLOSE,
) -> None:
    """Check that an output depends neither on the rest of its batch nor on chance.

    Half of the examples, 64 at most, are asked again without the others and in another order: one more call,
    which notices statistics over the batch, an axis mistaken for another, and randomness that evaluation
    mode does not turn off. It costs what so many examples cost, however many are evaluated.

    Args:
        ask: the net.
        inputs: the batch.
        said: its logits, n × k or n × L × k.
        name: of the net, in messages.
        at_once: examples in a call; 1 of a net that is only ever asked for one.
        close: how far two answers may lie apart, of the largest logit.

    Raises:
        ValueError: it says something else.

    >>> check_alone(lambda batch: batch.args[0], Inputs((torch.eye(4),)), torch.eye(4))
    >>> check_alone(lambda batch: batch.args[0].softmax(0), Inputs((torch.eye(4),)), torch.eye(4).softmax(0))
    Traceback (most recent call last):
        ...
    ValueError: the module says something else of the same points in another batch, or when it is asked ...
    """
    size = len(inputs)
    if not size:
        raise ValueError(f"{name} was asked about no example; give one or more")
    if len(said) != size:
        raise ValueError(f"said has {len(said)} rows for a batch of {size}; give what {name} said of it")
    if not alike_alone(ask, inputs, said, at_once=at_once, close=close):
        raise ValueError(
            f"{name} says something else of the same points in another batch, or when it is asked again; "
            "give a module whose logits are a function of each point alone: batch normalisation with running "
            "statistics, dropout that evaluation mode turns off. One that quantises by the range of a batch "
            "is such a function in batches of one"
        )


def alike_alone(
    ask: Callable[[Inputs], Tensor],
    inputs: Inputs,
    said: Tensor,
    /,
    *,
    at_once: int = _ASKED,
    close: float = CLOSE,
) -> bool:
    """Whether half of the examples, asked as `check_alone` asks them, are answered as in their batch."""
    size = len(inputs)
    few = torch.linspace(0, size - 1, min(_ASKED, max(1, size // 2)), device="cpu").long().flip(0)
    parts = few.chunk(-(-len(few) // max(1, at_once)))
    again = torch.cat([ask(inputs.rows(part)) for part in parts])
    before, after = (part.double().cpu().flatten(0, -2) for part in (said[few.to(said.device)], again))
    return before.shape == after.shape and alike(before, after, close=close)


@door
def closeness(net: nn.Module, /) -> float:
    """`CLOSE`, or a tenth for layers that quantise their inputs on the fly, by the range of the batch."""
    by_the_batch = any("quantized.dynamic" in type(part).__module__ for part in net.modules())
    return _BY_THE_BATCH if by_the_batch else CLOSE


def _keep(value: Any, undo: list[Callable[[], None]], seen: set[int]) -> None:
    """Note how a value, and what lies in it, is put back."""
    if id(value) in seen or isinstance(value, nn.Parameter):
        return
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, Tensor):
        if value.layout is torch.strided and not (is_lazy(value) or value.is_meta):
            undo.append(partial(_rewrite, value, value.detach().clone()))
    elif isinstance(value, np.ndarray):
        if value.flags.writeable:
            undo.append(partial(_rewrite, value, value.copy()))
    elif isinstance(value, dict):
        undo.append(partial(_refill, value, dict(value)))
        inside = list(value.values())
    elif isinstance(value, (list, deque, set)):
        undo.append(partial(_refill, value, inside := list(value)))
    elif isinstance(value, tuple):
        inside = list(value)
    elif dataclasses.is_dataclass(value) and hasattr(value, "__dict__"):
        inside = [vars(value)]
    for each in inside:
        if not isinstance(each, (nn.Module, type)):
            _keep(each, undo, seen)


def _rewrite(now: Any, before: Any) -> None:
    """A tensor or array with its numbers, where they are others now."""
    if isinstance(now, Tensor):
        if not torch.equal(now, before):
            now.resize_(before.shape).copy_(before)  # observers grow theirs in place
    elif not np.array_equal(now, before):
        now[...] = before


def _refill(now: Any, before: Any) -> None:
    """A mapping, list, deque or set with what was in it."""
    pairs = (now.items(), before.items()) if isinstance(now, dict) else (now, before)
    one, other = (list(part) for part in pairs)
    if len(one) == len(other) and all(map(_is_same, one, other)):
        return
    now.clear()
    (now.extend if isinstance(now, (list, deque)) else now.update)(before)


def _is_same(one: Any, other: Any) -> bool:
    pairs = isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other)
    return all(a is b for a, b in zip(one, other, strict=True)) if pairs else one is other
