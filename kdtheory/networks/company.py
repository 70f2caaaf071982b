"""Modules asked as they are: left as they were, and each example answered for itself alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks.calls import Inputs

__all__ = ["CLOSE", "alike", "check_alone", "closeness", "left_as_it_was"]

CLOSE = 1e-3
"""How far two answers of one net may lie apart, of the largest logit."""
_BY_THE_BATCH = 0.1
_ROUNDING = 0.1  # what lies between two logits of one row may be smaller than either
_ASKED = 64


@door
@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Within, a module may be called; afterwards its modes, buffers and attributes are what they were.

    Layers count their calls in buffers and keep what they computed as attributes; no parameter is copied.

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
    buffers = [(value, value.clone()) for value in module.buffers()]
    held = [(vars(part), _held(vars(part))) for part, _ in modes]
    try:
        yield
    finally:
        for now, before in held:
            _put_back(now, before)
        for value, kept in buffers:
            if not torch.equal(value, kept):
                value.copy_(kept)
        for part, training in modes:
            if training is not None and part.training != training:
                part.training = training


@door
def alike(said: Float[Tensor, "n k"], again: Float[Tensor, "n k"], /, *, close: float = CLOSE) -> bool:
    """Equal up to rounding, −∞ and NaN in the same places; the same class unless two are as good as equal."""
    tolerance = close * torch.where(said.isfinite(), said.abs(), 0.0).amax(0).clamp_min(1.0)
    near = (said == again) | (said.isnan() & again.isnan()) | ((said - again).abs() <= tolerance)
    if said.shape[1] < 2 or not bool(near.all()):
        return bool(near.all())
    best = said.topk(2).values
    clear = best[:, 0] - best[:, 1] > _ROUNDING * close * best.abs().amax(-1).clamp_min(1.0)
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
    if len(said) != size:
        raise ValueError(f"said has {len(said)} rows for a batch of {size}; give what {name} said of it")
    few = torch.linspace(0, size - 1, min(_ASKED, max(1, size // 2))).long().flip(0)
    parts = few.chunk(-(-len(few) // max(1, at_once)))
    again = torch.cat([ask(inputs.rows(part)) for part in parts])
    before, after = (part.double().cpu().flatten(0, -2) for part in (said[few.to(said.device)], again))
    if before.shape != after.shape or not alike(before, after, close=close):
        raise ValueError(
            f"{name} says something else of the same points in another batch, or when it is asked again; "
            "give a module whose logits are a function of each point alone: batch normalisation with running "
            "statistics, dropout that evaluation mode turns off. One that quantises by the range of a batch "
            "is such a function in batches of one"
        )


@door
def closeness(net: nn.Module, /) -> float:
    """`CLOSE`, or a tenth for layers that quantise their inputs on the fly, by the range of the batch."""
    by_the_batch = any("quantized.dynamic" in type(part).__module__ for part in net.modules())
    return _BY_THE_BATCH if by_the_batch else CLOSE


def _held(values: dict[str, Any]) -> dict[str, Any]:
    """Attributes, and what lies in those that are plain collections."""
    return {name: (value, _inside(value)) for name, value in values.items()}


def _inside(value: Any) -> Any:
    return value.copy() if type(value) in (list, dict, set) else None


def _put_back(now: dict[str, Any], before: dict[str, Any]) -> None:
    for name in set(now) - set(before):
        del now[name]
    for name, (value, inside) in before.items():
        now[name] = value
        if isinstance(inside, list):
            value[:] = inside
        elif inside is not None:
            value.clear()
            value.update(inside)
