"""Any `nn.Module` as an architecture, through `torch.func`: slower than `MLP`, trained by the same code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from kdtheory.doors import door
from kdtheory.networks._called_with import called_with
from kdtheory.networks._checks import check_member, check_named, check_own, check_params
from kdtheory.networks._module_tape import ModuleTape, mapped
from kdtheory.networks.calls import Inputs
from kdtheory.networks.copies import copied
from kdtheory.networks.outputs import outputs_in
from kdtheory.streams import Stream
from kdtheory.types import promoted, resolve_device
from kdtheory.validate import check_at_least

__all__ = ["ModuleArchitecture"]

_NAME = "the module of factory"


@door
@dataclass(frozen=True)
class ModuleArchitecture:
    """The networks that a factory makes, each a flat parameter vector.

    Args:
        factory: makes one module, fresh, of the same shape every time; importable where the architecture is
            to be pickled. The module maps n × input_shape to n × k logits, each example on its own.
        input_shape: the shape of one example, such as (1, 8, 8).
        name: what a table calls it.

    Raises:
        ValueError: the module does not take inputs of this shape, has no parameters or frozen ones, draws at
            random in a forward pass, or holds buffers (batch statistics cannot be shared out over members:
            use GroupNorm or LayerNorm).

    >>> architecture = ModuleArchitecture(lambda: nn.Linear(3, 2), (3,))
    >>> architecture.size, architecture.logits(torch.zeros(4, 8), torch.ones(5, 3)).shape
    (8, torch.Size([4, 5, 2]))
    """

    factory: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    name: str = "module"

    def __post_init__(self) -> None:
        module = self._module
        if not list(module.parameters()):
            raise ValueError("factory makes a module without parameters; there is nothing to train")
        buffers = [name for name, _ in module.named_buffers()]
        if buffers:
            raise ValueError(
                f"factory makes a module with buffers ({', '.join(buffers[:3])}); "
                "use a norm without running statistics, such as GroupNorm"
            )
        if frozen := [name for name, value in module.named_parameters() if not value.requires_grad]:
            raise ValueError(
                f"factory makes a module with frozen parameters ({', '.join(frozen[:3])}), which a "
                "population trains as all others; leave what is frozen out, and give what it says as inputs"
            )
        with _generator_kept(), torch.no_grad():
            two, before = torch.zeros(2, *self.input_shape), torch.default_generator.get_state()
            Inputs((two,)).outputs(self._skeleton(torch.float32, "cpu"), name=_NAME)
            if not torch.equal(before, torch.default_generator.get_state()):
                raise ValueError(
                    f"{_NAME} draws at random, as dropout does, and members would not be functions of their "
                    "inputs; leave it out, or return module.eval()"
                )

    @cached_property
    def _module(self) -> nn.Module:
        with _generator_kept():
            return self.factory()

    @cached_property
    def _shapes(self) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in self._module.named_parameters()}

    @cached_property
    def size(self) -> int:
        """Parameters per member."""
        return sum(math.prod(shape) for shape in self._shapes.values())

    @cached_property
    def activations(self) -> int:
        """Numbers that autograd saves for one example, with as many again for their gradients."""
        saved = []

        def note(tensor: Tensor) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        module = self._skeleton(torch.float32, "cpu")
        with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
            module(torch.zeros(1, *self.input_shape, dtype=torch.float32))
        return 2 * sum(saved)

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Fresh members by the factory's own initialisation; member i is made at `stream.child(i)`.

        Modules draw from torch's default generator, which is put there for the call and back after it.
        """
        check_at_least("members", members, 1)
        rows = []
        with _generator_kept():
            for member in range(members):
                torch.default_generator.set_state(stream.child(member).torch().get_state())
                rows.append(self.pack(dict(self.factory().named_parameters())).detach())
        if any(len(row) != self.size for row in rows):
            raise ValueError("factory makes modules of several shapes; make one of the same shape every time")
        return torch.stack(rows).to(device=resolve_device(device), dtype=dtype)

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "..."], /
    ) -> Float[Tensor, "*members n k"]:
        """The outputs of every member; inputs n × … are shared, members × n × … are each member's own."""
        check_own(params, inputs, self.input_shape)
        params, inputs = promoted(params, inputs)
        own = inputs.ndim > len(self.input_shape) + 1
        if params.ndim > 2:  # torch maps over one axis
            rows = inputs.flatten(0, params.ndim - 2) if own else inputs
            found: Tensor = self.logits(params.flatten(0, -2), rows).unflatten(0, params.shape[:-1])
            return found
        skeleton = copied(self._module)  # every tensor in it is a parameter, and replaced
        named = self.unpack(params)
        if params.ndim == 1:
            said = called_with(skeleton, named, inputs)
            return outputs_in(said, examples=len(inputs), name=_NAME)
        return mapped(skeleton, named, inputs, own=own)

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """Views under the module's own parameter names."""
        check_params(params, self.size)
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        return {
            name: flat.reshape(*flat.shape[:-1], *shape)
            for (name, shape), flat in zip(self._shapes.items(), params.split(sizes, -1), strict=True)
        }

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`: flat parameters from a `state_dict()`, or from several, stacked."""
        check_named(named, self._shapes)
        parts = []
        for name, shape in self._shapes.items():
            value = named[name]
            parts.append(value.reshape(*value.shape[: value.ndim - len(shape)], -1))
        return torch.cat(parts, -1)

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> nn.Module:
        """One member as a plain torch module with its own copy of the parameters."""
        check_member(params, member, self.size)
        module = self._skeleton(params.dtype, params.device)
        with torch.no_grad():
            for name, value in self.unpack(params[member]).items():
                module.get_parameter(name).copy_(value)  # of ties once
        return module

    def tape(
        self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /
    ) -> ModuleTape:
        """Autograd through a mapped functional call."""
        return ModuleTape(self._skeleton(params.dtype, params.device), self.unpack, params, gradient)

    def _skeleton(self, dtype: torch.dtype, device: torch.device | str) -> nn.Module:
        """A copy to call: a call with others swaps weights for a moment, which threads must not share."""
        skeleton: nn.Module = copied(self._module).to(device=device, dtype=dtype)
        return skeleton


@contextmanager
def _generator_kept() -> Iterator[None]:
    """Torch's default generator, which modules draw from when they are made, is put back afterwards."""
    state = torch.default_generator.get_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
