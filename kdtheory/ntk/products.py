"""Products of the empirical tangent kernel with a vector, without the kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import vjp

from kdtheory._autocast import own_precision
from kdtheory.doors import door
from kdtheory.networks import Inputs, check_alone, left_as_it_was, outputs_in
from kdtheory.networks._called_with import called_with
from kdtheory.validate import check_at_least, check_finite, check_same_shape

__all__ = ["ntk_vector_product"]

Named = dict[str, Tensor]
Outputs = Callable[[Named, Tensor], Tensor]
_ASKED = 32


@door
@torch.inference_mode(False)
def ntk_vector_product(
    module: nn.Module,
    rows: Shaped[Tensor, "n *shape"],
    vector: Float[Tensor, "m k"],
    columns: Float[Tensor, "m *shape"] | None = None,
    /,
    *,
    block_size: int = 1024,
) -> Float[Tensor, "n k"]:
    """(Θv)_io = Σ_jp Θ_op(x_i, x′_j) v_jp = J(x_i)·Σ_j J(x′_j)ᵀv_j: back through the columns, forward again.

    The way forward is the derivative of a way back, u ↦ J(x_i)ᵀu, which is linear in u: every operation that
    can be differentiated twice will do, and forward-mode rules are not needed.

    Args:
        module: maps n × … to n × k, each example on its own.
        rows: the points x_i.
        vector: v, one row for each column of the kernel and one entry for each output.
        columns: the points x′_j; the rows where not given.
        block_size: points at once; memory is that of one block and two copies of the parameters.

    Raises:
        ValueError: v is not m × k or not finite, `block_size` < 1, no parameter requires a gradient, or what
            the module says of a point depends on the others or on chance, as with dropout in training mode.

    >>> layer = nn.Linear(2, 1)
    >>> ntk_vector_product(layer, torch.eye(2), torch.tensor([[1.0], [2.0]]))  # ([2, 1], [1, 2]) v
    tensor([[4.],
            [5.]])
    """
    check_finite("vector", vector)
    check_at_least("block_size", block_size, 1)
    others = rows if columns is None else columns
    if len(vector) != len(others):
        raise ValueError(f"vector has {len(vector)} rows for {len(others)} points; give one for each")
    params = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}

    def outputs(trained: dict[str, Tensor], points: Tensor) -> Tensor:
        (own,) = Inputs((points,)).like(module).args  # the module may write on it
        made = called_with(module, {**trained, **fixed}, own)
        return outputs_in(made, examples=len(points))

    change = {name: torch.zeros_like(p) for name, p in params.items()}
    if not params:
        raise ValueError("module has no parameter that requires a gradient, so that its kernel is zero")

    def ask(part: Inputs) -> Tensor:
        return part.outputs(module, name="module")

    own = next(iter(params.values())).device.type
    with own_precision(own), left_as_it_was(module):
        for some in (others, rows):
            few = Inputs((torch.cat([some[:_ASKED], torch.zeros_like(some[:1])]),))  # a row in company
            with torch.no_grad():
                check_alone(ask, few, ask(few), name="module")
        for points, part in zip(others.split(block_size), vector.split(block_size), strict=True):
            values, pull_back = _derivative(partial(_swapped, outputs, points), params)
            check_same_shape("vector", part, "module(rows)", values)
            for name, gradient in pull_back(part.to(values))[0].items():
                change[name] += gradient
        return torch.cat([_pushed(outputs, params, points, change) for points in rows.split(block_size)])


def _pushed(outputs: Outputs, params: Named, points: Tensor, change: Named) -> Tensor:
    """J·Δθ: the transpose of u ↦ Jᵀu, applied to Δθ."""
    values, pull_back = _derivative(partial(_swapped, outputs, points), params)
    _, transposed = _derivative(lambda u: pull_back(u)[0], torch.zeros_like(values))
    pushed: Tensor = transposed(change)[0]
    return pushed


def _swapped(outputs: Outputs, points: Tensor, trained: Named) -> Tensor:
    return outputs(trained, points)


def _derivative(function: Callable[[Any], Any], at: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The value, and the transposed derivative: torch's `vjp` without an auxiliary output."""
    value, pull_back, *_ = vjp(function, at)
    return value, pull_back
