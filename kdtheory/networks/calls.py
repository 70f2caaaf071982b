"""One door for networks: any module is called alike.

A module sees copies of its inputs, so that one that writes on them changes nobody's arrays; inputs come in
its own precision and to its own device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.rnn import PackedSequence

from kdtheory.doors import door, inside, passing
from kdtheory.networks.outputs import Pick, logits_in, outputs_in, said_by

__all__ = ["Asked", "Inputs", "check_ready"]

_OUT_OF_MEMORY = torch.OutOfMemoryError


@door
@dataclass(frozen=True, eq=False)
class Inputs:
    """The arguments that a module is called with for a batch: in order and by name, one entry each example.

    Args:
        args: in order; tensors may lie in tuples, lists and mappings.
        named: by name.

    Raises:
        ValueError: there is no tensor, or none with an axis.

    >>> states = torch.zeros(3, 2), torch.ones(3, 2)
    >>> Inputs((torch.eye(3), states)).rows(slice(0, 1)).args[1]
    (tensor([[0., 0.]]), tensor([[1., 1.]]))
    """

    args: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(isinstance(part, PackedSequence) for part in (*self.args, *self.named.values())):
            raise ValueError(
                "a packed sequence has no row for each example; give padded tensors and their lengths, and "
                "pack them in the module"
            )
        for part in self.tensors:
            if part.is_nested or part.layout not in (torch.strided, torch.sparse_coo):
                form = "a nested one" if part.is_nested else f"one of layout {part.layout}"
                raise ValueError(f"a batch holds no ordinary tensor, but {form}; give padded or dense ones")
            if part.is_meta:
                raise ValueError(
                    "a batch holds a tensor on the meta device, without numbers; load them first"
                )
        if not any(part.ndim for part in self.tensors):
            raise ValueError("a batch holds no tensor with axes; give one with an entry for each example")

    def __len__(self) -> int:
        return len(next(part for part in self.tensors if part.ndim))

    @property
    def tensors(self) -> Iterator[Tensor]:
        """The tensors among them."""
        yield from _tensors((*self.args, *self.named.values()))

    @property
    def shapes(self) -> str:
        """A description for messages."""
        return ", ".join(
            f"{tuple(part.shape)}" + ("" if part.is_floating_point() else f" of {part.dtype}")
            for part in self.tensors
        )

    def mapped(self, change: Callable[[Tensor], Tensor], /) -> Inputs:
        """A copy with each tensor changed."""
        return Inputs(_mapped(change, self.args), _mapped(change, self.named))

    def rows(self, chosen: slice | Shaped[Tensor, "m"], /) -> Inputs:
        """Some of the examples; what is not one for each example stays as it is.

        Raises:
            ValueError: they are not chosen by whole numbers, by one truth value each, or there is none so.
        """
        size = len(self)
        if isinstance(chosen, Tensor):
            chosen = _rows(chosen, size)

        def taken(part: Tensor) -> Tensor:
            if not part.ndim or len(part) != size:
                return part
            if part.layout is torch.strided:
                return part[chosen]
            return part.index_select(0, torch.arange(size, device=part.device)[chosen])

        return self.mapped(taken)

    def to(self, device: torch.device) -> Inputs:
        """On a device."""
        return self.mapped(lambda part: part.to(device))

    def like(self, net: nn.Module, /, *, graph: bool = False) -> Inputs:
        """Copies as the module takes them: on its device, in its precision; with its graph if asked."""
        return self.mapped(_for(net, graph))

    @passing
    def outputs(
        self, net: nn.Module, /, *, pick: Pick | None = None, name: str = "the module", by: str = "output"
    ) -> Tensor:
        """A module's output for the batch, n × k or, for tokens, n × L × k.

        Raises:
            ValueError: the module does not take the inputs, or its logits cannot be found in what it gives.
        """
        check_ready(net, name)
        ready = self.like(net)
        try:
            output = net(*ready.args, **ready.named)
        except _OUT_OF_MEMORY:
            raise
        except Exception as error:  # whatever the module of somebody else may raise
            raise ValueError(
                f"{name} does not take a batch of shape {self.shapes}: {said_by(error)}"
            ) from error
        return outputs_in(output, examples=len(self), pick=pick, name=name, by=by)

    @passing
    def logits(self, net: nn.Module, /, *, pick: Pick | None = None, name: str = "the module") -> Tensor:
        """Logits of two classes or more: one logit is ln(p₁/p₀)."""
        return logits_in(self.outputs(net, pick=pick, name=name), examples=len(self))


class Asked:
    """A module that is asked batch after batch: its parts are looked at once, and again where it fails.

    Args:
        net: the module.
        pick: as `Inputs.logits`.
        name: what messages call the module.
    """

    def __init__(self, net: nn.Module, *, pick: Pick | None = None, name: str = "the module") -> None:
        self.net, self._pick, self._name = net, pick, name
        self._copy: Callable[[Tensor], Tensor] | None = None

    def logits(self, inputs: Inputs, /) -> Tensor:
        """As `Inputs.logits`; a module that has moved, or has another precision now, is looked at again."""
        if self._copy is not None:
            args, named = _mapped(self._copy, inputs.args), _mapped(self._copy, inputs.named)
            try:
                output = self.net(*args, **named)
            except _OUT_OF_MEMORY:
                raise
            except Exception:  # told below, if it comes again
                self._copy = None
            else:
                read = inside(logits_in)
                return read(output, examples=len(inputs), pick=self._pick, name=self._name)
        logits = inputs.logits(self.net, pick=self._pick, name=self._name)
        self._copy = _for(self.net)
        return logits


@door
def check_ready(net: nn.Module, name: str = "the module", /) -> None:
    """Every parameter and buffer is there: it has a shape and real numbers.

    Raises:
        ValueError: it is no module, or one of them waits for the first forward pass, is on the meta device,
            or is complex.
    """
    if not isinstance(net, nn.Module):
        raise ValueError(f"{name} is of type {type(net).__name__}; give a torch.nn.Module")
    if type(net).parameters is not nn.Module.parameters and not _gives_tensors(net.parameters):
        raise ValueError(
            f"{name} has a method parameters of its own, which gives no row of tensors; give it another "
            "name, as param_groups"
        )
    for path, part in (*net.named_parameters(), *net.named_buffers()):
        if is_lazy(part):
            raise ValueError(f"{name}: {path!r} has no shape yet; run the network on one batch first")
        if part.is_meta:
            raise ValueError(f"{name}: {path!r} is on the meta device, without numbers; load them first")
        if part.is_complex() and isinstance(part, nn.Parameter):
            raise ValueError(f"{name}: {path!r} is complex; give a network of real numbers")


def _gives_tensors(read: Callable[[], Any]) -> bool:
    try:
        return all(isinstance(part, Tensor) for part in read())
    except Exception:  # whatever the method of somebody else may raise
        return False


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def _mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(change, part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [_mapped(change, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _rows(chosen: Tensor, size: int) -> Tensor:
    """Numbers of rows as torch.long (uint8 would be taken for truth values), or one truth value for each."""
    kind = f"chosen, {chosen.dtype} of shape {tuple(chosen.shape)},"
    if chosen.dtype == torch.bool and chosen.shape == (size,):
        return chosen
    if chosen.dtype == torch.bool or chosen.is_floating_point():
        raise ValueError(f"{kind} picks no rows; give a slice, a row of numbers, or one truth value for each")
    chosen = chosen.long()
    if chosen.numel() and not -size <= int(chosen.min()) <= int(chosen.max()) < size:
        raise ValueError(f"{kind} goes beyond the {size} examples; give numbers from 0 to {size - 1}")
    return chosen


def _for(net: nn.Module, graph: bool = False) -> Callable[[Tensor], Tensor]:
    """A copy of a tensor of inputs for the module."""
    numbers = [part for part in (*net.parameters(), *net.buffers()) if part.dtype.is_floating_point]
    own = next((part for part in numbers if part.ndim), next(iter(numbers), None))  # a scale may differ
    kind, device = (None, None) if own is None else (own.dtype, own.device)
    if kind is None and any(".quantized." in type(part).__module__ for part in net.modules()):
        kind = torch.float32
    table = _starts_with_table(net)

    def copy(part: Tensor) -> Tensor:
        dtype = part.dtype
        if part.dtype.is_floating_point or (dtype == torch.uint8 and not table):
            dtype = kind or dtype
        elif table and dtype not in (torch.bool, torch.int32):
            dtype = torch.long
        own = part if graph else part.detach()
        return own.to(device=device or part.device, dtype=dtype, copy=True)

    return copy


def _starts_with_table(net: nn.Module) -> bool:
    """Whether the first layer with parameters looks its inputs up."""
    for layer in net.modules():
        if list(layer.parameters(recurse=False)) and not list(layer.children()):
            return isinstance(layer, (nn.Embedding, nn.EmbeddingBag))
    return False
