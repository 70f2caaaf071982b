"""Weights set to zero, whatever layer they stand in: the smallest ones, or whole units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from kdtheory.compression.sparse import largest_entries
from kdtheory.compression.weights import Place, check_dense, is_computed, masked, places, refreshed
from kdtheory.doors import door
from kdtheory.networks import check_ready, copied
from kdtheory.types import at_least_float32
from kdtheory.validate import check_fraction

__all__ = ["pruned"]


@door
@torch.inference_mode(mode=False)
def pruned(
    module: nn.Module,
    /,
    *,
    sparsity: float,
    structured: bool = False,
    layers: Sequence[str] | None = None,
    held: bool = True,
) -> nn.Module:
    """A share of the weights set to zero, held there by the masks of `torch.nn.utils.prune`.

    Weights are those of linear, convolution (transposed, too), embedding, recurrent and attention layers, and
    of a module's own what has two axes or more and is called a weight.
    Unstructured: the smallest in magnitude over all layers together. Structured: in each layer the units
    (rows, filters) with the smallest Euclidean norm, with their biases. Biases are not pruned otherwise. The
    share counts weights that are zero already, so that pruning again, to a larger share, gives that share. A
    parameter that stands at several places has one mask.

    Args:
        module: any network with weights.
        sparsity: the share of weights, or of each layer's units, that are zero, in [0, 1].
        structured: prune units instead of weights; linear and convolution layers only.
        layers: paths of the layers; all of them, or, structured, all but the last, whose units are the
            outputs.
        held: keep the masks (`weight_orig`, `weight_mask`), so that training leaves the zeros alone;
            otherwise they are made permanent, and training would fill them. `copy.deepcopy` refuses torch's
            masks; `kdtheory.networks.copied` does not.

    Raises:
        ValueError: sparsity outside [0, 1] or below what masks hold already, a path that names no layer with
            weights, no layer, a weight that is computed from other parameters or is not finite, or a name of
            the layer's own that torch's masks have.

    >>> net = pruned(nn.Linear(10, 4), sparsity=0.75)
    >>> int((net.weight != 0).sum()), isinstance(net.weight_orig, nn.Parameter)
    (10, True)
    """
    check_fraction("sparsity", sparsity)
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError("module is scripted, and its weights take no masks; prune what it was made from")
    check_ready(module)
    check_dense(module)
    if isinstance(layers, str):
        raise ValueError(f"layers = {layers!r} is one path; give a list of paths, [{layers!r}]")
    result = refreshed(copied(module))
    chosen = _chosen(result, layers, structured)
    _check_names(chosen, ("bias",) if structured else ())
    masks = _unit_masks(chosen, sparsity) if structured else _weight_masks(chosen, sparsity)
    hidden = []
    for place in chosen:
        mask = masks[id(place.parameter)]
        prune.custom_from_mask(place.layer, place.name, mask)
        hidden.append((place.layer, place.name))
        if structured and getattr(place.layer, "bias", None) is not None:
            prune.custom_from_mask(place.layer, "bias", _units(place.layer, mask).amax(1))
            hidden.append((place.layer, "bias"))
    if not held:
        for layer, name in hidden:
            prune.remove(layer, name)
    elif result not in [place.layer for place in chosen] and not _is_refreshed(result):
        result.register_forward_pre_hook(_Refresh())
    return result


def _is_refreshed(module: nn.Module) -> bool:
    return any(isinstance(hook, _Refresh) for hook in module._forward_pre_hooks.values())


class _Refresh:
    """Before a forward pass, every masked weight anew: a parent may read a child's that it never calls."""

    def __call__(self, module: nn.Module, _inputs: Any) -> None:
        refreshed(module)


def _chosen(module: nn.Module, layers: Sequence[str] | None, structured: bool) -> list[Place]:
    """The places to prune, and every other place of the same parameters."""
    for path, layer in module.named_modules():
        if is_computed(layer) and (layers is None or path in layers):
            cure = "make it plain first, by remove_parametrizations or remove_weight_norm"
            raise ValueError(f"layer {path!r} computes its weight from other parameters; {cure}")
    known = [place for place in places(module) if not structured or _has_units(place.layer)]
    paths = list(dict.fromkeys(place.path for place in known))
    for path in layers or ():
        if path not in paths:
            shown = ", ".join(map(repr, paths)) or "none"
            raise ValueError(f"{path!r} names no layer whose weights can be pruned; there are {shown}")
    wanted = list(paths[: -1 if structured else None] if layers is None else layers)
    if not wanted:
        shown = ", ".join(map(repr, paths)) or "none"
        raise ValueError(f"there is no layer to prune; those whose weights can be pruned are {shown}")
    chosen = {id(place.parameter) for place in known if place.path in wanted}
    return [place for place in places(module) if id(place.parameter) in chosen]


def _check_names(chosen: list[Place], also: tuple[str, ...]) -> None:
    """Layers have nothing of their own under the names of torch's masks, which would take its place."""
    for place in chosen:
        for name in (place.name, *also):
            own = next((own for own in (f"{name}_mask", f"{name}_orig") if hasattr(place.layer, own)), None)
            if own is not None and not masked(place.layer, name):
                raise ValueError(
                    f"layer {place.path!r} has a {own!r} of its own, where torch's mask would stand; give it "
                    "another name, or leave that layer out of layers"
                )


def _has_units(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return layer.groups == 1
    return isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))


def _now(place: Place) -> Tensor:
    value: Tensor = getattr(place.layer, place.name)
    return value.detach()


def _weight_masks(chosen: list[Place], sparsity: float) -> dict[int, Tensor]:
    """One mask for each parameter: of all weights together the largest stay."""
    weights = {id(place.parameter): _now(place) for place in chosen}
    flat = torch.cat([at_least_float32(weight.reshape(-1))[0].cpu() for weight in weights.values()])
    kept = len(flat) - round(float(sparsity) * len(flat))
    _check_alive(chosen, int(sum(_alive(place).sum() for place in _first_places(chosen))), kept, sparsity)
    parts = largest_entries(flat, kept=kept).split([weight.numel() for weight in weights.values()])
    return {
        key: part.reshape(weight.shape).to(weight.device)
        for (key, weight), part in zip(weights.items(), parts, strict=True)
    }


def _unit_masks(chosen: list[Place], sparsity: float) -> dict[int, Tensor]:
    masks = {}
    for place in _first_places([place for place in chosen if _has_units(place.layer)]):
        units = _units(place.layer, _now(place))
        kept = len(units) - round(float(sparsity) * len(units))
        alive = int(_units(place.layer, _alive(place)).amax(1).sum())
        _check_alive([place], alive, kept, sparsity)
        stay = largest_entries(at_least_float32(units)[0].norm(dim=1), kept=kept)
        shape = [1] * _now(place).ndim
        shape[_unit_axis(place.layer)] = len(stay)
        masks[id(place.parameter)] = stay.reshape(shape).expand_as(_now(place)).clone()
    return masks


def _units(layer: nn.Module, weight: Tensor) -> Tensor:
    """Each unit's weights in a row; a transposed convolution has its units on the second axis."""
    return weight.movedim(_unit_axis(layer), 0).flatten(1)


def _unit_axis(layer: nn.Module) -> int:
    return int(isinstance(layer, nn.modules.conv._ConvTransposeNd))


def _alive(place: Place) -> Tensor:
    """Ones where no mask holds a zero."""
    held = masked(place.layer, place.name)
    mask: Tensor | None = getattr(place.layer, f"{place.name}_mask") if held else None
    return torch.ones_like(_now(place), dtype=torch.float32) if mask is None else mask.float()


def _first_places(chosen: list[Place]) -> list[Place]:
    return list({id(place.parameter): place for place in reversed(chosen)}.values())[::-1]


def _check_alive(chosen: list[Place], alive: int, kept: int, sparsity: float) -> None:
    if alive < kept:
        where = ", ".join(repr(place.path) for place in chosen[:3])
        raise ValueError(
            f"sparsity = {sparsity:g} would leave {kept} weights or units, masks on {where} leave {alive}; "
            "give a larger sparsity, or prune the dense network"
        )
