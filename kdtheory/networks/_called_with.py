"""A module called with other weights, and left with its own.

`torch.func.functional_call` puts a weight back once for every name that it has. Where one layer stands at two
places the second name puts back the weight of the call, which the module then keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["called_with"]


def called_with(module: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor, /) -> Any:
    """The answer of the module to the inputs with these weights, by name; ties are kept.

    >>> import torch
    >>> twice = nn.Linear(1, 1, bias=False)
    >>> module, own = nn.Sequential(twice, twice), twice.weight
    >>> called_with(module, {"0.weight": torch.full((1, 1), 3.0)}, torch.ones(1, 1)), twice.weight is own
    (tensor([[9.]]), True)
    """
    own = dict(module.named_parameters(remove_duplicate=False))
    given = {id(own[name]): weight for name, weight in weights.items()}
    once = {
        f"{path}.{name}" if path else name: given[id(parameter)]
        for path, layer in module.named_modules()  # a layer at two places is named once
        for name, parameter in layer._parameters.items()
        if id(parameter) in given
    }
    return functional_call(module, once, (inputs,), tie_weights=False)
