"""How worlds draw: a class by the inverse of its distribution function, and the doors of `sample`."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.streams import Stream
from kdtheory.validate import check_at_least, check_finite

_MOST_POINTS = 10**12


def axes(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """`shape` as a tuple of axes, each checked to be 1 or more."""
    lengths = shape if isinstance(shape, tuple) else (shape,)
    if not lengths:
        raise ValueError("shape = () has no axis; give the number of points, n or (members, n)")
    for length in lengths:
        check_at_least("shape", length, 1)
    if math.prod(lengths) > _MOST_POINTS:
        raise ValueError(f"shape = {shape} has more than {_MOST_POINTS:.0e} points; take fewer")
    return tuple(int(length) for length in lengths)


def check_inputs(inputs: Float[Tensor, "*batch d"], dim: int) -> None:
    """The last axis is the world's `dim`, and every entry is finite."""
    if inputs.ndim == 0 or inputs.shape[-1] != dim:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; its last axis must be the world's dim {dim}"
        )
    check_finite("inputs", inputs)


def categorical(probs: Float[Tensor, "*batch k"], stream: Stream) -> Int[Tensor, "*batch"]:
    """One class for each row, by inversion: the first j with F_j > u, u uniform on [0, 1).

    The first j with F_j > u has F_j > F_{j−1}, so a class of probability zero is never drawn; and F is
    divided by its last entry, so that rounding cannot leave u without a class.
    """
    uniform = torch.rand((*probs.shape[:-1], 1), dtype=torch.float64, generator=stream.torch())
    uniform = uniform.to(probs.device)
    cumulative = probs.to(torch.float64).cumsum(-1)
    return torch.searchsorted(cumulative / cumulative[..., -1:], uniform, right=True).squeeze(-1)


def categorical_draws(
    weights: Float[Tensor, "s"], shape: tuple[int, ...], stream: Stream
) -> Int[Tensor, "..."]:
    """Many classes from one distribution, by the same inversion as `categorical`."""
    uniform = torch.rand(shape, dtype=torch.float64, generator=stream.torch())
    uniform = uniform.to(weights.device)
    cumulative = weights.to(torch.float64).cumsum(-1)
    return torch.searchsorted(cumulative / cumulative[-1], uniform, right=True)
