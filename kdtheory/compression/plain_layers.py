"""Plain layers of torch's, made of their weights; and which layers are such, whatever hangs on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from kdtheory.compression.weights import computes_weight

__all__ = ["alike", "embedding", "frozen_as", "hooked_as", "kind_of", "linear", "pointwise"]

_CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_KINDS: tuple[type[nn.Module], ...] = (
    *(nn.Linear, nn.Embedding, *_CONVOLUTIONS.values()),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


def kind_of(layer: nn.Module, /) -> type[nn.Module] | None:
    """The layer of torch's that it is; None of one with a forward pass of its own, such as scaled weights."""
    kind = next((kind for kind in _KINDS if isinstance(layer, kind)), None)
    own = "forward" in vars(layer) or any(
        getattr(type(layer), name, None) is not getattr(kind, name, None)
        for name in ("forward", "_conv_forward", "__call__")
    )
    return None if own else kind


def frozen_as(layer: nn.Module, made: nn.Module, /) -> nn.Module:
    """Frozen parameters stay frozen; a weight with a mask is as its original."""
    own = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
    for name, parameter in made.named_parameters(recurse=False):
        source = own.get(f"{name}_orig", own.get(name))
        parameter.requires_grad_(source is None or source.requires_grad)
    return made


def hooked_as(layer: nn.Module, made: nn.Module, /) -> nn.Module:
    """The hooks of a layer on what takes its place, but for those that compute its weight."""
    for name, hooks in vars(layer).items():
        if name.startswith(("_forward_", "_backward_")) and isinstance(hooks, dict):
            kept = {place: hook for place, hook in hooks.items() if not computes_weight(hook)}
            vars(made)[name].update(kept)
    return made


def embedding(weight: Tensor, layer: nn.Embedding) -> nn.Embedding:
    """A table as `layer`, of other numbers."""
    like = {"device": weight.device, "dtype": weight.dtype}
    settings = {name: getattr(layer, name) for name in ("padding_idx", "scale_grad_by_freq")}
    table: nn.Embedding = skip_init(nn.Embedding, *weight.shape, **settings, **like)
    _fill(table, weight, None)
    return table


def alike(
    layer: nn.modules.conv._ConvNd,
    weight: Tensor,
    bias: Tensor | None,
    *,
    into: int | None = None,
    out: int | None = None,
) -> nn.Module:
    """A convolution as `layer`, from other channels or to others."""
    settings = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "padding_mode")}
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        settings["output_padding"] = layer.output_padding
    channels = into or layer.in_channels, out or layer.out_channels
    like = {"device": weight.device, "dtype": weight.dtype}
    made: nn.Module = skip_init(
        kind_of(layer) or type(layer), *channels, layer.kernel_size, bias=bias is not None, **settings, **like
    )
    _fill(made, weight.reshape(made.get_parameter("weight").shape), bias)
    return made


def pointwise(layer: nn.modules.conv._ConvNd, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A convolution of size 1 with as many axes as `layer`."""
    like = {"device": weight.device, "dtype": weight.dtype}
    kind, (units, inputs) = _CONVOLUTIONS[layer.weight.ndim], weight.shape
    made: nn.Module = skip_init(kind, inputs, units, 1, bias=bias is not None, **like)
    _fill(made, weight.reshape(made.get_parameter("weight").shape), bias)
    return made


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer: nn.Linear = skip_init(
        nn.Linear,
        weight.shape[1],
        len(weight),
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    _fill(layer, weight, bias)
    return layer


@torch.no_grad()
def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    layer.get_parameter("weight").copy_(weight)
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)
