"""The weights of any module, where they stand and as they are now.

A weight is a parameter of two axes or more whose name says so: those of linear, convolution and embedding
layers, the several of recurrent and attention layers, and what other modules call so, but for the scales of
normalisation layers. One parameter may stand at several places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["Place", "check_dense", "computes_weight", "is_computed", "masked", "places", "refreshed", "slots"]

_NORMS = (nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True, eq=False)
class Place:
    """A weight at one place.

    Args:
        path: of the layer, as in `named_modules()`.
        layer: the layer.
        name: of the weight in the layer.
    """

    path: str
    layer: nn.Module
    name: str

    @property
    def parameter(self) -> Tensor:
        """The parameter that is trained: the weight, before its mask if it has one."""
        own = dict(self.layer.named_parameters(recurse=False))
        return own[self.name] if self.name in own else own[f"{self.name}_orig"]


def places(module: nn.Module, /) -> list[Place]:
    """Every place of every weight that is a parameter, masked or not, in the order of `named_modules()`."""
    found = []
    for path, layer in module.named_modules():
        if isinstance(layer, _NORMS):
            continue
        for name, value in layer.named_parameters(recurse=False):
            plain = name.removesuffix("_orig")
            if value.ndim >= 2 and value.numel() and "weight" in name:
                found.append(Place(path, layer, plain if masked(layer, plain) else name))
    return [place for place in found if not is_computed(place.layer)]


def check_dense(module: nn.Module, /) -> None:
    """Raise where a parameter is stored as a sparse tensor, of which nothing is left to take out."""
    for path, parameter in module.named_parameters():
        if parameter.layout is not torch.strided:
            raise ValueError(
                f"parameter {path!r} has layout {parameter.layout}; make it an ordinary one, by to_dense()"
            )


def is_computed(layer: nn.Module, /) -> bool:
    """Whether the weight is computed from other parameters (`weight_norm`, `spectral_norm`), masks aside."""
    hooks = layer._forward_pre_hooks.values()
    return parametrize.is_parametrized(layer) or any(
        isinstance(hook, (WeightNorm, SpectralNorm)) for hook in hooks
    )


def computes_weight(hook: object, /) -> bool:
    """Whether a hook is one by which torch computes a weight, or holds a mask over it."""
    return isinstance(hook, (prune.BasePruningMethod, SpectralNorm, WeightNorm))


def masked(layer: nn.Module, name: str, /) -> bool:
    """Whether `torch.nn.utils.prune` holds a mask over the weight."""
    return f"{name}_mask" in layer._buffers and f"{name}_orig" in layer._parameters


def refreshed(module: nn.Module, /) -> nn.Module:
    """The module, with weights that hooks compute before a forward pass computed anew."""
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                setattr(layer, hook._tensor_name, hook.apply_mask(layer))
            elif isinstance(hook, WeightNorm):
                setattr(layer, hook.name, hook.compute_weight(layer))
            elif isinstance(hook, SpectralNorm):
                setattr(layer, hook.name, hook.compute_weight(layer, do_power_iteration=False))
    return module


def slots(module: nn.Module, layer: nn.Module, /) -> Iterator[tuple[nn.Module, str]]:
    """Every parent, and name there, under which a layer is registered."""
    for parent in module.modules():
        for name, child in parent._modules.items():
            if child is layer:
                yield parent, name
