"""Any network made smaller: layers of low rank, units taken out.

Every function returns a copy and leaves its argument as it was. Layers are named by module path, as in
`named_modules()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.compression.low_rank import low_rank_factors
from kdtheory.compression.pairs import LowRank
from kdtheory.compression.plain_layers import (
    alike,
    embedding,
    frozen_as,
    hooked_as,
    kind_of,
    linear,
    pointwise,
)
from kdtheory.compression.weights import Place, check_dense, places, refreshed, slots
from kdtheory.doors import door
from kdtheory.networks import check_ready, copied, left_as_it_was
from kdtheory.validate import check_at_least

__all__ = ["factorise", "narrow"]

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding)


@door
@torch.inference_mode(mode=False)
def factorise(module: nn.Module, /, *, ranks: int | Mapping[str, int]) -> nn.Module:
    """Linear, convolution and embedding layers of rank r as two layers each, by truncated SVD.

    A linear map m × n becomes n → r (no bias) → m; a convolution becomes one with r filters of the same size,
    stride and padding (no bias), followed by one of size 1: the SVD of its weight as an m × (c·h·w) matrix, c
    input channels and filters of h × w; a transposed one the other way round; n embeddings of d numbers n
    embeddings of r and a linear map. Each pair is a `LowRank`, whose `weight` is the product, and which is
    itself such a layer the next time. A layer that stands at several places is one pair at all of them;
    frozen stays frozen, and hooks stay.

    Args:
        module: any network.
        ranks: one rank for every layer for which it means fewer parameters, or a rank for each layer by its
            path (those not named stay as they are). One rank leaves layers alone that share their weight with
            another layer, or have a forward pass of their own, as one that scales its weights.

    Raises:
        ValueError: a path names no such layer, the layer is grouped, shares its weight with another one or
            has a forward pass of its own, or the rank is out of its range.

    >>> net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    >>> [tuple(p.shape) for p in factorise(net, ranks=2).parameters()]
    [(2, 20), (30, 2), (30,), (2, 30), (3, 2), (3,)]
    """
    check_ready(module)
    check_dense(module)
    result = refreshed(copied(module))
    layers = _layers(result)
    shared = _shared(places(result))
    if isinstance(ranks, Mapping):
        _check_paths(ranks, layers)
        chosen = dict(ranks)
        for path in sorted(chosen):
            if other := _sharing(path, shared):
                raise ValueError(f"{path!r} shares its weight with {other!r}; two ranks would part them")
    else:
        check_at_least("ranks", ranks, 1)
        chosen = {
            path: ranks
            for path, layer in _whole_layers(layers).items()
            if _saves(layer, ranks) and not _sharing(path, shared)
        }
    for path, rank in chosen.items():
        check_at_least(f"rank of {path!r}", rank, 1)
        pair = _factors(layers[path], int(rank), path)
        if path == "":
            return pair
        for parent, name in list(slots(result, layers[path])):
            setattr(parent, name, pair)
    return result


def _shared(found: list[Place]) -> dict[str, str]:
    """Path ↦ another layer that has the same parameter for its weight."""
    first: dict[int, Place] = {}
    shared: dict[str, str] = {}
    for place in found:
        other = first.setdefault(id(place.parameter), place)
        if other is not place:
            shared |= {place.path: other.path, other.path: place.path}
    return shared


def _sharing(path: str, shared: Mapping[str, str]) -> str | None:
    """The layer that shares its weight with one, or with a part of a pair."""
    own = (path, *(f"{path}.{place}".lstrip(".") for place in (0, 1)))
    return next((shared[each] for each in own if each in shared), None)


@door
@torch.inference_mode(mode=False)
def narrow(module: nn.Sequential, /, *, widths: Sequence[int]) -> nn.Sequential:
    """A chain of linear layers with fewer hidden units: those whose incoming weights are largest stay.

    What `pruned(structured=True)` leaves once the dead units are taken out: a smaller dense network, which
    computes the same as the pruned one. Units are ranked by the Euclidean norm of their incoming weights.

    Args:
        module: linear layers with activations between them that map 0 to 0.
        widths: units kept in each hidden layer, in order.

    Raises:
        ValueError: another kind of layer, an activation with a(0) ≠ 0, a forward pass of its own, a weight at
            two places, or widths that do not fit.

    >>> net = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
    >>> [tuple(p.shape) for p in narrow(net, widths=[3]).parameters()]
    [(3, 4), (3,), (2, 3), (2,)]
    """
    check_ready(module)
    check_dense(module)
    _check_chain(module, widths)
    refreshed(copy := copied(module))
    layers: list[nn.Module] = []
    rest, inside = list(widths), None
    for layer in copy._modules.values():  # an activation may stand at several places
        assert layer is not None
        if not isinstance(layer, nn.Linear):
            layers.append(layer)
            continue
        weight = layer.weight.detach()
        units = _largest_units(weight, int(rest.pop(0))) if rest else torch.arange(len(weight))
        weight = weight if inside is None else weight[:, inside]
        made = linear(weight[units], None if layer.bias is None else layer.bias.detach()[units])
        layers.append(hooked_as(layer, frozen_as(layer, made)))
        inside = units
    small = nn.Sequential(*layers)
    small.training = module.training
    hooked_as(copy, small)
    return small


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """The layers, a pair that stands for one among them, and its parts."""
    return {path: layer for path, layer in module.named_modules() if isinstance(layer, (*_LAYERS, LowRank))}


def _whole_layers(layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The layers that are no parts of a pair."""
    parts = {part for layer in layers.values() if isinstance(layer, LowRank) for part in layer.children()}
    return {path: layer for path, layer in layers.items() if layer not in parts}


def _check_paths(paths: Mapping[str, int], layers: Mapping[str, nn.Module]) -> None:
    for path in paths:
        if path not in layers:
            known = ", ".join(repr(name) for name in layers) or "none"
            raise ValueError(f"{path!r} names no linear, convolution or embedding layer; there are {known}")
        if above := [other for other in paths if other != path and f"{path}.".startswith(f"{other}.")]:
            raise ValueError(f"{path!r} is a part of {above[0]!r}; name one of them")


def _matrix(layer: nn.Module) -> Tensor:
    """The weight as it is now: units by what goes in, or n embeddings by their numbers."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.detach().flatten(1)


def _saves(layer: nn.Module, rank: int) -> bool:
    if not isinstance(layer, LowRank):
        rows, columns = _matrix(layer).shape
        plain = getattr(layer, "groups", 1) == 1 and kind_of(layer) is not None
        return plain and rank * (rows + columns) < rows * columns
    return rank < min(_matrix(layer).shape) and rank * sum(_matrix(layer).shape) < sum(
        _matrix(part).numel() for part in layer.children()
    )


def _factors(given: nn.Module, rank: int, path: str) -> LowRank:
    layer = _whole(given) if isinstance(given, LowRank) else given
    if kind_of(layer) is None:
        kind = type(layer).__name__
        raise ValueError(f"{path!r} is a {kind} with a forward pass of its own, which two layers would lose")
    if getattr(layer, "groups", 1) != 1:
        raise ValueError(f"{path!r} has groups = {layer.groups}; only convolutions without groups factorise")
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.sparse):
        raise ValueError(f"{path!r} has max_norm or sparse gradients, which two layers cannot have")
    matrix = _matrix(layer)
    wide = matrix.float() if matrix.element_size() < 4 else matrix
    left, right = (part.to(matrix) for part in low_rank_factors(wide, rank=rank))
    made = _pair_of(layer, rank, left, right)
    frozen_as(layer, made[0])
    frozen_as(layer, made[1])
    hooked_as(given, made)
    return made.train(given.training)


def _whole(pair: LowRank) -> nn.Module:
    """The one layer that a pair stands for."""
    parts: list[Any] = list(pair)
    first, second = parts
    weight, bias = pair.weight.detach(), None if pair.bias is None else pair.bias.detach()
    if isinstance(first, nn.Embedding):
        made: nn.Module = embedding(weight, first)
    elif isinstance(first, nn.Linear):
        made = linear(weight, bias)
    elif isinstance(second, nn.modules.conv._ConvTransposeNd):
        made = alike(second, weight, bias, into=first.in_channels)
    else:
        made = alike(first, weight, bias, out=second.out_channels)
    for name, value in made.named_parameters():
        held = [part for path, part in pair.named_parameters() if path.rpartition(".")[2].startswith(name)]
        value.requires_grad_(any(part.requires_grad for part in held))
    return made


def _pair_of(layer: nn.Module, rank: int, left: Tensor, right: Tensor) -> LowRank:
    """m × n as m × r after r × n."""
    given: Tensor | None = getattr(layer, "bias", None)
    bias = None if given is None else given.detach()
    if isinstance(layer, nn.Embedding):
        if layer.padding_idx is not None and not layer.weight[layer.padding_idx].any():
            left[layer.padding_idx] = 0  # exactly, so that it stays zero when the other factor learns
        return LowRank(embedding(left, layer), linear(right.mT, None))
    if isinstance(layer, nn.Linear):
        return LowRank(linear(right, None), linear(left, bias))
    assert isinstance(layer, nn.modules.conv._ConvNd)
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return LowRank(pointwise(layer, left.mT, None), alike(layer, right, bias, into=rank))
    return LowRank(alike(layer, right, None, out=rank), pointwise(layer, left, bias))


def _largest_units(weight: Tensor, count: int) -> Tensor:
    order: Tensor = weight.norm(dim=1).argsort(stable=True, descending=True)[:count]
    return order.sort().values


def _check_chain(module: nn.Sequential, widths: Sequence[int]) -> None:
    chain = [layer for layer in module if isinstance(layer, nn.Linear)]
    if len(widths) != len(chain) - 1:
        raise ValueError(
            f"widths has {len(widths)} entries for {len(chain) - 1} hidden layers; give one for each"
        )
    if type(module).forward is not nn.Sequential.forward or any(kind_of(each) is None for each in chain):
        raise ValueError(
            "module, or a layer of it, has a forward pass of its own; give plain layers in a row"
        )
    if len(set(chain)) < len(chain) or _shared(places(module)):
        raise ValueError(
            "module has one weight at two places, which cannot both lose units; give each its own"
        )
    for layer, width in zip(chain, widths, strict=False):
        check_at_least("widths", width, 1)
        if width > layer.out_features:
            raise ValueError(
                f"widths asks for {width} of {layer.out_features} units; keep at most all of them"
            )
    width = 1
    for other in module:
        if isinstance(other, nn.Linear):
            width = other.out_features
        elif [*other.parameters(), *other.buffers()] or not _is_activation(other, width):
            raise ValueError(
                f"{type(other).__name__} is no activation with a(0) = 0; give linear layers and such"
            )


def _is_activation(module: nn.Module, width: int) -> bool:
    """Whether it maps units one by one, 0 to 0: with half of them 0, so are these, and the others stay."""
    whole = torch.linspace(-2, 3, 2 * width).reshape(2, width)
    some = whole * (torch.arange(width) % 2)
    try:
        with torch.no_grad(), left_as_it_was(module):
            one, other, none = (copied(module).eval()(rows) for rows in (whole, some, 0 * whole))
    except (RuntimeError, ValueError, IndexError):  # it asks for other shapes
        return False
    return (
        one.shape == whole.shape and torch.equal(other, one.where(some != 0, none)) and not bool(none.any())
    )
