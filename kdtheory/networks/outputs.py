"""Logits in whatever a module gives: a tensor, `.logits`, or the entry "logits" of a mapping.

Of another tuple, mapping or object somebody has to say which part they are. One logit stands for two classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdtheory.doors import door, passing

__all__ = ["Pick", "logits_in", "outputs_in"]

Pick = int | str | Callable[[Any], Tensor]
"""Which part of a module's output its logits are: a place, a key or attribute, or a function of it."""


@door
@passing
def logits_in(output: Any, /, *, examples: int, pick: Pick | None = None, name: str = "the module") -> Tensor:
    """The logits in what a module gave for a number of examples.

    Raises:
        ValueError: there are none, or it is not clear which part they are.

    >>> logits_in({"logits": torch.ones(3, 2), "loss": 0.5}, examples=3).shape
    torch.Size([3, 2])
    >>> logits_in(torch.tensor([[1.5], [-2.0]]), examples=2)  # one logit: ln(p₁/p₀)
    tensor([[ 0.0000,  1.5000],
            [ 0.0000, -2.0000]])
    """
    return _two(_found(output, examples, pick, name, "output"))


@door
@passing
def outputs_in(
    output: Any,
    /,
    *,
    examples: int,
    pick: Pick | None = None,
    name: str = "the module",
    by: str = "output",
) -> Tensor:
    """The output as it was given: one output stays one.

    A place, key or attribute of a bare tensor is the tensor; a function is applied to whatever there is. `by`
    is the argument that messages name.

    Raises:
        ValueError: as `logits_in`.

    >>> outputs_in(torch.tensor([1.5, -2.0]), examples=2).shape
    torch.Size([2, 1])
    """
    return _found(output, examples, pick, name, by)


def _found(output: Any, examples: int, pick: Pick | None, name: str, by: str) -> Tensor:
    bare = isinstance(output, Tensor) and not callable(pick)
    found = output if bare else _picked(output, pick, name, by)
    if not isinstance(found, Tensor) or not found.dtype.is_floating_point:
        kind = f"{found.dtype} numbers" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"{name} gives {kind}; wrap it to give n × k logits, or pick them by {by}=…")
    if examples == 1 and found.ndim < 2 and found.numel():
        found = found.reshape(1, -1)  # squeezed
    if found.ndim == 1 and len(found) == examples:
        found = found[:, None]
    if found.ndim not in (2, 3) or len(found) != examples:
        raise ValueError(
            f"{name} gives {tuple(found.shape)} for {examples} points; wrap it to give n × k logits"
        )
    return found


def _two(outputs: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(outputs), outputs], -1) if outputs.shape[-1] == 1 else outputs


def _picked(output: Any, pick: Pick | None, name: str, by: str) -> Any:
    if callable(pick):
        try:
            return pick(output)
        except Exception as error:
            raise ValueError(
                f"{by}= fails on what {name} gives, {_kind(output)}: {said_by(error)}"
            ) from error
    if pick is None:
        if isinstance(logits := getattr(output, "logits", None), Tensor):
            return logits
        pick = "logits"
    try:
        return output[pick]
    except (KeyError, IndexError, TypeError):
        if isinstance(pick, str) and isinstance(part := getattr(output, pick, None), Tensor):
            return part
    what = _kind(output)
    raise ValueError(f"{name} gives {what}; pick the logits in it by {by}=…, a place, a key or a function")


def _kind(output: Any) -> str:
    what = f"a {type(output).__name__}"
    if isinstance(output, Tensor):
        return f"{what} of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"{what} with {', '.join(map(repr, output))}"
    return f"{what} of {len(output)}" if isinstance(output, (tuple, list)) else what


def said_by(error: Exception) -> str:
    """One line of what a module raised; TorchScript has the cause in its last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "TorchScript" in lines[0]:
        return lines[-1].partition("Error: ")[2] or lines[-1]
    return (
        lines[0] if isinstance(error, (RuntimeError, ValueError)) else f"{type(error).__name__}: {lines[0]}"
    )
