"""Copies of any module, those with pruning masks among them."""

from __future__ import annotations

import copy

from torch import Tensor, nn

__all__ = ["copied"]


def copied(module: nn.Module, /) -> nn.Module:
    """A deep copy of a module, which shares nothing with it.

    `copy.deepcopy` refuses one that keeps the result of a computation as an attribute, as a layer with a mask
    of `torch.nn.utils.prune` keeps its weight; such a result is copied as a number here, and the layer's
    next forward pass computes it anew.

    >>> from torch.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(4, 1), "weight", amount=0.5)
    >>> int((copied(layer).weight != 0).sum())
    2
    """
    results = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, results)
