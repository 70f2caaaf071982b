"""The kernels of many chains of dense layers at once: one batched product a layer, forward and backward.

As layer by layer for one network: the gradient of output o in a dense layer is δ_o hᵀ, so that its part of
Θ_op(x, x′) is (δ_o·δ′_p)(h·h′), and no gradient is formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdtheory.networks import NTKLinear
from kdtheory.ntk._layerwise import POINTWISE, scales

__all__ = ["checked_stack", "stacked_gram"]


@dataclass(frozen=True, eq=False)
class _Dense:
    """A dense layer of every member: its weights, its scales, its inputs; the slope of what reads it."""

    layer: nn.Linear
    weight: Tensor
    inputs: Tensor
    slope: Tensor | None = None

    @property
    def scale(self) -> float:
        return self.layer.weight_scale if isinstance(self.layer, NTKLinear) else 1.0

    def gram(self) -> Tensor:
        """h·h′ times the squared scales, for the parameters that are trained: members × n × n."""
        weight, bias = scales(self.layer)
        weight = weight if self.layer.weight.requires_grad else 0.0
        return weight**2 * (self.inputs @ self.inputs.mT) + bias**2


def checked_stack(
    module: nn.Module, parameters: Mapping[str, Tensor], rows: Tensor, /
) -> tuple[nn.Sequential, Tensor]:
    """The chain, and the points of every member, members × n × d.

    Raises:
        ValueError: the module is no chain of dense layers and activations, the parameters are not its own, or
            the points do not fit.
    """
    own = {name: part.shape for name, part in module.named_parameters()}
    if not isinstance(module, nn.Sequential) or own.keys() != _plain_names(module):
        raise ValueError(
            "module must be an nn.Sequential of nn.Linear or NTKLinear layers and pointwise activations, for "
            "many members at once; of another module, take one member at a time"
        )
    if own.keys() != parameters.keys():
        raise ValueError(f"parameters has {', '.join(parameters)}; give {', '.join(own)}")
    members = tuple(next(iter(parameters.values())).shape[:1])
    for name, part in parameters.items():
        if part.shape != (*members, *own[name]):
            raise ValueError(
                f"parameters[{name!r}] has shape {tuple(part.shape)}; give {(*members, *own[name])}, members "
                "first, as torch.func.stack_module_state does"
            )
    inputs = next(layer for layer in module if isinstance(layer, nn.Linear)).in_features
    if rows.shape[-1] != inputs or (rows.ndim == 3 and rows.shape[:1] != members) or rows.ndim > 3:
        raise ValueError(
            f"rows has shape {tuple(rows.shape)}; give n × {inputs} for all members, or {members[0]} × n × "
            f"{inputs}, their own"
        )
    return module, rows.to(next(iter(parameters.values()))).expand(*members, *rows.shape[-2:])


def _plain_names(module: nn.Sequential) -> set[str]:
    """The names of the parameters of a chain; of what is none, a name that no parameter has."""
    names: set[str] = set()
    for name, layer in module._modules.items():  # children() leaves out what comes twice
        if type(layer) in (nn.Linear, NTKLinear):
            names |= {f"{name}.weight"} | ({f"{name}.bias"} if layer.bias is not None else set())
        elif type(layer) not in POINTWISE:
            return {""}
    return {""} if any(one._forward_hooks or one._forward_pre_hooks for one in module.modules()) else names


@torch.no_grad()
def stacked_gram(module: nn.Sequential, parameters: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Θ_op(x_i, x_j) of every member, rows members × n × d: members × n × n × k × k."""
    layers, outputs = _forward(module, parameters, rows)
    members, n, k = outputs.shape
    delta = torch.eye(k).to(outputs).repeat_interleave(n, 0).expand(members, -1, -1)
    total = outputs.new_zeros(members, k * n, k * n)
    for dense in reversed(layers):
        if dense.slope is not None:
            delta = delta * dense.slope.repeat(1, k, 1)
        total += (delta @ delta.mT) * dense.gram().repeat(1, k, k)
        if dense is not layers[0]:
            delta = delta @ dense.weight * dense.scale
    return total.view(members, k, n, k, n).permute(0, 2, 4, 1, 3)


def _forward(
    module: nn.Sequential, parameters: Mapping[str, Tensor], rows: Tensor
) -> tuple[list[_Dense], Tensor]:
    layers: list[_Dense] = []
    for name, layer in module._modules.items():
        if isinstance(layer, nn.Linear):
            dense = _Dense(layer, parameters[f"{name}.weight"], rows)
            rows = dense.scale * rows @ dense.weight.mT
            if layer.bias is not None:
                bias = layer.bias_scale if isinstance(layer, NTKLinear) else 1.0
                rows = rows + bias * parameters[f"{name}.bias"].unsqueeze(1)
            layers.append(dense)
        else:
            rows, slope = _applied(layer, rows)
            if layers:
                before = layers[-1].slope
                slope = slope if before is None else slope * before
                layers[-1] = _Dense(layers[-1].layer, layers[-1].weight, layers[-1].inputs, slope)
    return layers, rows


def _applied(activation: nn.Module, units: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = units.detach().requires_grad_()
        values = activation(leaf.clone())
        (slope,) = torch.autograd.grad(values, leaf, torch.ones_like(values))
    return values.detach(), slope
