"""The best approximation of an array by one with s entries: keep the s largest (magnitude pruning).

‖W − W_s‖_F² is the sum of the squares of the entries left out, whatever the ones kept; it is least where the
smallest are left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.types import told
from kdtheory.validate import check_at_least, check_finite, check_fraction

__all__ = ["best_sparse", "kept_weights", "largest_entries", "sparse_error"]


@door
def largest_entries(values: Float[Tensor, "*batch size"], /, *, kept: int) -> Bool[Tensor, "*batch size"]:
    """Where the s entries of largest magnitude stand; of equal ones, the first.

    Args:
        values: one flat array, or a batch of them, each pruned by itself.
        kept: s, from 0 to the size.

    Raises:
        ValueError: s is out of its range, or an entry is not finite.

    >>> largest_entries(torch.tensor([1.0, -3.0, 2.0]), kept=2)
    tensor([False,  True,  True])
    """
    check_finite("values", values)
    check_at_least("kept", kept, 0)
    if kept > values.shape[-1]:
        raise ValueError(f"kept = {kept} of {values.shape[-1]} entries; keep at most all of them")
    order = values.abs().argsort(stable=True, dim=-1, descending=True)[..., :kept]
    return torch.zeros_like(values, dtype=torch.bool).scatter_(-1, order, True)


@door
def kept_weights(
    architecture: Architecture, params: Float[Tensor, "members size"], /, *, share: float
) -> Bool[Tensor, "members size"]:
    """Which parameters stay in each member: the largest weights of all its layers together, and every bias.

    What `pruned` does to one module, for a population: `train(…, initial=params, kept=…)` holds the zeros.

    Args:
        architecture: of the members; its weights are named `….weight`.
        params: one row a member.
        share: of the weights that stay, in [0, 1].

    Raises:
        ValueError: the share is outside [0, 1], or an entry is not finite.

    >>> from kdtheory.networks import MLP
    >>> kept_weights(MLP((2, 1)), torch.tensor([[0.1, -5.0, 0.0]]), share=0.5)  # w₁, w₂, bias
    tensor([[False,  True,  True]])
    """
    check_fraction("share", share)
    named = architecture.unpack(params)
    weights = {name: value.flatten(1) for name, value in named.items() if name.endswith("weight")}
    flat = torch.cat(list(weights.values()), 1)
    mask = largest_entries(flat, kept=round(share * flat.shape[1]))
    masks = dict(zip(weights, mask.split([value.shape[1] for value in weights.values()], 1), strict=True))
    kept = {
        name: masks[name].reshape(value.shape).to(value) if name in masks else torch.ones_like(value)
        for name, value in named.items()
    }
    return architecture.pack(kept).bool()


@door
def best_sparse(weight: Float[Tensor, "*shape"], /, *, kept: int) -> Float[Tensor, "*shape"]:
    """W_s: the nearest array with s entries other than zero, in the Frobenius norm.

    Args:
        weight: W, an array of any shape.
        kept: s, from 0 to the number of its entries.

    Raises:
        ValueError: s is out of its range, or an entry is not finite.

    >>> best_sparse(torch.tensor([[1.0, -3.0], [2.0, 0.5]]), kept=2)
    tensor([[ 0., -3.],
            [ 2.,  0.]])
    """
    mask = largest_entries(weight.reshape(-1), kept=kept).reshape(weight.shape)
    return torch.where(mask, weight, 0.0)


@door
def sparse_error(weight: Float[Tensor, "*shape"], /, *, kept: int) -> Float[Tensor, ""]:
    """min over arrays with s entries of ‖W − W_s‖_F: the root of Σw² over all but the s largest entries.

    Raises:
        ValueError: s is out of its range, or an entry is not finite.

    >>> sparse_error(torch.tensor([3.0, -12.0, 4.0, 13.0]), kept=2)
    tensor(5.)
    """
    flat = weight.reshape(-1)
    left_out = flat[~largest_entries(flat, kept=kept)]
    return told(left_out.double().square().sum().sqrt(), weight)
