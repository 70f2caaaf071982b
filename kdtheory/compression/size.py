"""How large a network is: its parameters, those that are not zero, and the bits that hold them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks import check_ready
from kdtheory.validate import check_at_least

_BYTE = 8
_HALF_BYTE = (torch.quint4x2,)
_MOST_EXACT = 1000
"""Places for which a binomial coefficient is computed whole."""

__all__ = ["ModelSize", "model_size", "sparse_bits"]


@door
@dataclass(frozen=True)
class ModelSize:
    """The size of a network.

    Args:
        parameters: numbers in its arrays, zeros included.
        nonzero: those that are not zero.
        bits: the shorter, array by array, of a plain list and of `sparse_bits`.
    """

    parameters: int
    nonzero: int
    bits: int


@door
def model_size(module: nn.Module, /, *, bits_per_weight: int = 32) -> ModelSize:
    """Parameters and bits of a network as it stands; masks of `torch.nn.utils.prune` are applied first.

    A parameter that stands at several places counts once. The packed weights of torch's quantised layers
    (linear, convolution, recurrent, embedding), which are no parameters, count too, at 8 or 4 bits each.

    Args:
        module: any network; its buffers other than masks do not count.
        bits_per_weight: of one number in floating point.

    Raises:
        ValueError: `bits_per_weight` < 1, or a parameter has no numbers or complex ones.

    >>> layer = nn.Linear(3, 2, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> model_size(layer)
    ModelSize(parameters=6, nonzero=6, bits=192)
    """
    check_at_least("bits_per_weight", bits_per_weight, 1)
    if isinstance(module, torch.jit.ScriptModule) and not list(module.parameters()):
        raise ValueError("module is scripted and frozen, its weights hidden; count what it was made from")
    check_ready(module)
    buffers = dict(module.named_buffers())
    arrays = [(values, bits or bits_per_weight) for values, bits in _packed(module)]
    for name, parameter in module.named_parameters():
        values = parameter.detach()
        if name.endswith("_orig") and name.removesuffix("orig") + "mask" in buffers:
            values = values * buffers[name.removesuffix("orig") + "mask"]
        whole = not values.is_floating_point()
        arrays.append((values, _BYTE * values.element_size() if whole else bits_per_weight))
    total = nonzero = bits = 0
    for values, width in arrays:
        entries, kept = values.numel(), int(torch.count_nonzero(_held(values)))
        total, nonzero = total + entries, nonzero + kept
        bits += min(entries * width, sparse_bits(entries, kept, bits_per_weight=width))
    return ModelSize(total, nonzero, bits)


def _held(values: Tensor) -> Tensor:
    """The numbers that an array of any layout holds."""
    if values.layout is torch.sparse_coo:
        return values.coalesce().values()
    return values if values.layout is torch.strided else values.values()


def _packed(module: nn.Module) -> Iterator[tuple[Tensor, int | None]]:
    """The packed weights of quantised layers, with the bits of a number; None where not quantised."""
    for part in module.modules():
        kind = type(part).__module__
        if (
            ".quantized" not in kind or ".reference" in kind
        ):  # another's method of that name is its own matter
            continue
        for name in ("weight", "bias"):
            for read in (getattr(part, name, None), getattr(part, f"get_{name}", None)):
                if not callable(read):
                    continue
                found = read()
                for values in found.values() if isinstance(found, Mapping) else (found,):
                    if values is not None:
                        yield _plain(values)


def _plain(values: Tensor) -> tuple[Tensor, int | None]:
    if not values.is_quantized:
        return values.detach(), None
    return values.dequantize(), _BYTE // 2 if values.dtype in _HALF_BYTE else _BYTE


@door
def sparse_bits(entries: int, kept: int, /, *, bits_per_weight: int = 32) -> int:
    """⌈log₂(N + 1)⌉ + ⌈log₂ C(N, s)⌉ + b·s: how many of N entries are kept, which ones, and their values.

    Raises:
        ValueError: N < 0, s outside 0 to N, or b < 1.

    >>> sparse_bits(4, 2, bits_per_weight=8)  # 3 + ⌈log₂ 6⌉ + 16
    22
    """
    check_at_least("entries", entries, 0)
    check_at_least("kept", kept, 0)
    check_at_least("bits_per_weight", bits_per_weight, 1)
    if kept > entries:
        raise ValueError(f"kept = {kept} of {entries} entries; keep at most all of them")
    return int(entries).bit_length() + _bits_of_places(int(entries), int(kept)) + kept * bits_per_weight


def _bits_of_places(entries: int, kept: int) -> int:
    """⌈log₂ C(N, s)⌉, in whole numbers where few are kept or left out; else by the entropy and Stirling.

    One more where the rounding of the logarithm might have taken one.
    """
    fewer = min(kept, entries - kept)
    if fewer <= _MOST_EXACT:
        return (math.comb(entries, fewer) - 1).bit_length()
    share, rest = fewer / entries, 1 - fewer / entries
    nats = -fewer * math.log(share) - (entries - fewer) * math.log1p(-share)
    nats -= math.log(2 * math.pi * fewer * rest) / 2
    nats += 1 / (12 * entries) - 1 / (12 * fewer) - 1 / (12 * (entries - fewer))
    slack = 8 * sys.float_info.epsilon * nats + 1 / (360 * fewer**3) + 1 / (360 * (entries - fewer) ** 3)
    return math.ceil((nats + slack) / math.log(2))
