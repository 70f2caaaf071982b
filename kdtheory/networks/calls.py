"""One door for networks: any module is called alike, and its logits are found in whatever it gives.

A module sees copies of its inputs, so that one that writes on them changes nobody's arrays; inputs come in
its own precision and to its own device. Logits are a tensor, `.logits`, or the entry "logits" of a mapping;
of another tuple, mapping or object somebody has to say which part they are. One logit stands for two classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.doors import door

__all__ = ["Inputs", "Pick", "logits_in", "mixes_examples"]

Pick = int | str | Callable[[Any], Tensor]
"""Which part of a module's output its logits are: a place, a key or attribute, or a function of it."""
_OUT_OF_MEMORY = torch.OutOfMemoryError
_TOLERANCE = 1e-3
_COMPARED = 8


@door
@dataclass(frozen=True, eq=False)
class Inputs:
    """What a module is called with for a batch: arguments in order and by name, one entry each example.

    Args:
        args: in order.
        named: by name.
    """

    args: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(self.tensors))

    @property
    def tensors(self) -> Iterator[Tensor]:
        """The tensors among them."""
        yield from (part for part in (*self.args, *self.named.values()) if isinstance(part, Tensor))

    @property
    def shapes(self) -> str:
        """What a message says of them."""
        return ", ".join(str(tuple(part.shape)) for part in self.tensors)

    def mapped(self, change: Callable[[Tensor], Tensor], /) -> Inputs:
        """The same with each tensor changed."""
        args = tuple(change(part) if isinstance(part, Tensor) else part for part in self.args)
        return Inputs(args, {k: change(v) if isinstance(v, Tensor) else v for k, v in self.named.items()})

    def to(self, device: torch.device) -> Inputs:
        """On a device."""
        return self.mapped(lambda part: part.to(device))

    def logits(self, net: nn.Module, /, *, pick: Pick | None = None, name: str = "the module") -> Tensor:
        """The logits that a module gives for the batch, n × k or, for tokens, n × L × k.

        Raises:
            ValueError: the module does not take the inputs, or its logits cannot be found in what it gives.
        """
        ready = self.mapped(_for(net))
        try:
            output = net(*ready.args, **ready.named)
        except _OUT_OF_MEMORY:
            raise
        except (RuntimeError, TypeError, IndexError, NotImplementedError) as error:
            why = str(error).strip().partition("\n")[0]
            raise ValueError(f"{name} does not take a batch of shape {self.shapes}: {why}") from error
        return logits_in(output, examples=len(self), pick=pick, name=name)


@door
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
    found = output if isinstance(output, Tensor) else _picked(output, pick, name)
    if not isinstance(found, Tensor) or not found.dtype.is_floating_point:
        kind = f"{found.dtype} numbers" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"{name} gives {kind}; wrap it to give n × k logits, or pick them by output=…")
    if found.ndim == 1 and len(found) == examples:
        found = found[:, None]
    if found.ndim not in (2, 3) or len(found) != examples:
        raise ValueError(
            f"{name} gives {tuple(found.shape)} for {examples} points; wrap it to give n × k logits"
        )
    return torch.cat([torch.zeros_like(found), found], -1) if found.shape[-1] == 1 else found


def _picked(output: Any, pick: Pick | None, name: str) -> Any:
    if callable(pick):
        return pick(output)
    if pick is None:
        if isinstance(logits := getattr(output, "logits", None), Tensor):
            return logits
        pick = "logits"
    try:
        return output[pick]
    except (KeyError, IndexError, TypeError):
        if isinstance(pick, str) and isinstance(part := getattr(output, pick, None), Tensor):
            return part
    what = f"a {type(output).__name__}"
    if isinstance(output, Mapping):
        what += f" with {', '.join(map(repr, output))}"
    elif isinstance(output, (tuple, list)):
        what += f" of {len(output)}"
    raise ValueError(f"{name} gives {what}; pick the logits in it by output=…, a place, a key or a function")


@door
def mixes_examples(net: nn.Module, inputs: Inputs, /, *, pick: Pick | None = None) -> bool:
    """Whether the logits for one example change with what else is in the batch, or from call to call.

    Batch statistics do that, and randomness that evaluation mode does not turn off. Layers that quantise
    their inputs on the fly scale by the whole batch, and are not looked at.
    """
    quantised = any(hasattr(part, "_packed_params") for part in net.modules())
    if len(inputs) < 2 or quantised:
        return False
    together = inputs.mapped(lambda part: part[:_COMPARED]).logits(net, pick=pick)
    alone = [
        inputs.mapped(lambda part, place=place: part[place : place + 1]).logits(net, pick=pick)  # type: ignore[misc]
        for place in range(len(together))
    ]
    size = max(1.0, float(together.abs().max()))
    return not bool(((together - torch.cat(alone)).abs() <= _TOLERANCE * size).all())


def _for(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """A copy of a tensor of inputs for the module: its device, its precision, no graph of the caller's."""
    own = next((part for part in (*net.parameters(), *net.buffers()) if part.dtype.is_floating_point), None)
    takes_numbers = not _starts_with_table(net)

    def copy(part: Tensor) -> Tensor:
        dtype = part.dtype
        if own is not None and (dtype.is_floating_point or (dtype == torch.uint8 and takes_numbers)):
            dtype = own.dtype
        device = part.device if own is None else own.device
        return part.detach().to(device=device, dtype=dtype, copy=True)

    return copy


def _starts_with_table(net: nn.Module) -> bool:
    """Whether the first layer with parameters looks its inputs up."""
    for layer in net.modules():
        if list(layer.parameters(recurse=False)):
            return isinstance(layer, (nn.Embedding, nn.EmbeddingBag))
    return False
