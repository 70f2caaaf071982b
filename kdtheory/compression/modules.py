"""Any network made smaller: layers of low rank, weights set to zero, units taken out.

Every function returns a copy and leaves its argument as it was. Layers are named by module path, as in
`named_modules()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune, skip_init

from kdtheory.compression.low_rank import low_rank_factors
from kdtheory.networks import copied
from kdtheory.validate import check_at_least, check_fraction

__all__ = ["factorise", "narrow", "pruned"]

_LAYERS = (nn.Linear, nn.Conv2d)


def factorise(module: nn.Module, /, *, ranks: int | Mapping[str, int]) -> nn.Module:
    """Linear and convolution layers of rank r as two layers each, by truncated SVD of their weights.

    A linear map m × n becomes n → r (no bias) → m; a convolution becomes one with r filters of the same size,
    stride and padding (no bias), followed by a 1 × 1 convolution: the SVD of its weight as an m × (c·h·w)
    matrix, c input channels and filters of h × w.

    Args:
        module: any network.
        ranks: one rank for every layer for which it means fewer parameters, or a rank for each layer by its
            path (those not named stay as they are).

    Raises:
        ValueError: a path names no linear or convolution layer, the layer is grouped, or the rank is out of
            its range.

    >>> net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    >>> [tuple(p.shape) for p in factorise(net, ranks=2).parameters()]
    [(2, 20), (30, 2), (30,), (2, 30), (3, 2), (3,)]
    """
    result = copied(module)
    layers = _layers(result)
    if isinstance(ranks, Mapping):
        _check_paths(ranks, layers)
        chosen = dict(ranks)
    else:
        chosen = {path: ranks for path, layer in layers.items() if _saves(layer, ranks)}
    for path, rank in chosen.items():
        check_at_least(f"rank of {path!r}", rank, 1)
        if path == "":
            return _factors(layers[path], rank, path)
        parent, _, name = path.rpartition(".")
        setattr(result.get_submodule(parent), name, _factors(layers[path], rank, path))
    return result


def pruned(
    module: nn.Module,
    /,
    *,
    sparsity: float,
    structured: bool = False,
    layers: Sequence[str] | None = None,
    held: bool = True,
) -> nn.Module:
    """A share of the weights set to zero, by `torch.nn.utils.prune`: the smallest ones, or whole units.

    Unstructured: the smallest weights over all layers together (`global_unstructured`, L1). Structured: in
    each layer the units (rows, filters) with the smallest Euclidean norm (`ln_structured`), with their
    biases. Biases are not pruned otherwise.

    Args:
        module: any network with linear or convolution layers.
        sparsity: the share of weights, or of each layer's units, that become zero, in [0, 1].
        structured: prune units instead of weights.
        layers: paths of the layers; all of them, or, structured, all but the last, whose units are the
            outputs.
        held: keep the masks (`weight_orig`, `weight_mask`), so that training leaves the zeros alone;
            otherwise they are made permanent, and training would fill them.

    Raises:
        ValueError: sparsity outside [0, 1], a path that names no linear or convolution layer, or no layer.

    >>> net = pruned(nn.Linear(10, 4), sparsity=0.75)
    >>> int((net.weight != 0).sum()), isinstance(net.weight_orig, nn.Parameter)
    (10, True)
    """
    check_fraction("sparsity", sparsity)
    result = copied(module)
    known = _layers(result)
    _check_paths(layers or (), known)
    chosen = (
        [known[path] for path in layers] if layers else list(known.values())[: -1 if structured else None]
    )
    check_at_least("number of layers to prune", len(chosen), 1)
    if structured:
        for layer in chosen:
            _prune_units(layer, sparsity)
    else:
        weights = [(layer, "weight") for layer in chosen]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=float(sparsity))
    if not held:
        for layer in chosen:
            for name in ("weight", "bias"):
                if hasattr(layer, f"{name}_mask"):
                    prune.remove(layer, name)
    return result


def narrow(module: nn.Sequential, /, *, widths: Sequence[int]) -> nn.Sequential:
    """A chain of linear layers with fewer hidden units: those whose incoming weights are largest stay.

    What `pruned(structured=True)` leaves once the dead units are taken out: a smaller dense network, which
    computes the same as the pruned one. Units are ranked by the Euclidean norm of their incoming weights.

    Args:
        module: linear layers with activations between them that map 0 to 0.
        widths: units kept in each hidden layer, in order.

    Raises:
        ValueError: another kind of layer, an activation with a(0) ≠ 0, or widths that do not fit.

    >>> net = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
    >>> [tuple(p.shape) for p in narrow(net, widths=[3]).parameters()]
    [(3, 4), (3,), (2, 3), (2,)]
    """
    _check_chain(module, widths)
    layers: list[nn.Module] = []
    rest, inside = list(widths), None
    for layer in module:
        if not isinstance(layer, nn.Linear):
            layers.append(copied(layer))
            continue
        weight = layer.weight.detach()
        weight = weight if inside is None else weight[:, inside]
        units = _largest_units(layer.weight.detach(), rest.pop(0)) if rest else torch.arange(len(weight))
        layers.append(_linear(weight[units], None if layer.bias is None else layer.bias.detach()[units]))
        inside = units
    return nn.Sequential(*layers)


def _layers(module: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    return {path: layer for path, layer in module.named_modules() if isinstance(layer, _LAYERS)}


def _check_paths(paths: Mapping[str, int] | Sequence[str], layers: Mapping[str, nn.Module]) -> None:
    for path in paths:
        if path not in layers:
            known = ", ".join(repr(name) for name in layers) or "none"
            raise ValueError(f"{path!r} names no linear or convolution layer; there are {known}")


def _saves(layer: nn.Linear | nn.Conv2d, rank: int) -> bool:
    rows, columns = len(layer.weight), layer.weight[0].numel()
    return getattr(layer, "groups", 1) == 1 and rank * (rows + columns) < rows * columns


def _factors(layer: nn.Linear | nn.Conv2d, rank: int, path: str) -> nn.Sequential:
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        raise ValueError(f"{path!r} has groups = {layer.groups}; only convolutions without groups factorise")
    left, right = low_rank_factors(layer.weight.detach().flatten(1), rank=rank)
    bias = None if layer.bias is None else layer.bias.detach()
    if isinstance(layer, nn.Linear):
        return nn.Sequential(_linear(right, None), _linear(left, bias))
    like = {"device": left.device, "dtype": left.dtype}
    first = skip_init(
        nn.Conv2d,
        layer.in_channels,
        rank,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        padding_mode=layer.padding_mode,
        bias=False,
        **like,
    )
    second = skip_init(nn.Conv2d, rank, layer.out_channels, 1, bias=bias is not None, **like)
    _fill(first, right.reshape(first.weight.shape), None)
    _fill(second, left.reshape(second.weight.shape), bias)
    return nn.Sequential(first, second)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
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


def _prune_units(layer: nn.Linear | nn.Conv2d, sparsity: float) -> None:
    prune.ln_structured(layer, "weight", amount=float(sparsity), n=2, dim=0)
    if layer.bias is not None:
        alive = layer.get_buffer("weight_mask").flatten(1).amax(1)
        prune.custom_from_mask(layer, "bias", alive)


def _largest_units(weight: Tensor, count: int) -> Tensor:
    order: Tensor = weight.norm(dim=1).argsort(stable=True, descending=True)[:count]
    return order.sort().values


def _check_chain(module: nn.Sequential, widths: Sequence[int]) -> None:
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    if len(widths) != len(linear) - 1:
        raise ValueError(
            f"widths has {len(widths)} entries for {len(linear) - 1} hidden layers; give one for each"
        )
    for layer, width in zip(linear, widths, strict=False):
        check_at_least("widths", width, 1)
        if width > layer.out_features:
            raise ValueError(
                f"widths asks for {width} of {layer.out_features} units; keep at most all of them"
            )
    for other in module:
        if isinstance(other, nn.Linear):
            continue
        if list(other.parameters()) or float(other(torch.zeros(1)).abs().max()) != 0:
            raise ValueError(
                f"{type(other).__name__} is no activation with a(0) = 0; give linear layers and such"
            )
