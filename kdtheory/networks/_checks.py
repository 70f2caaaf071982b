"""Checks of parameters and inputs that all architectures share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

__all__ = ["check_inputs", "check_member", "check_named", "check_own", "check_params"]


def check_params(params: Tensor, size: int) -> None:
    """The last axis holds the parameters of one member."""
    if params.shape[-1:] != (size,):
        raise ValueError(f"params has shape {tuple(params.shape)}; its last axis must be {size} parameters")


def check_inputs(inputs: Tensor, shape: tuple[int, ...]) -> None:
    """The last axes are one example's, one or more before them."""
    if inputs.ndim <= len(shape) or inputs.shape[-len(shape) :] != shape:
        raise ValueError(f"inputs has shape {tuple(inputs.shape)}; give rows of examples, n × {_axes(shape)}")


def check_own(params: Tensor, inputs: Tensor, shape: tuple[int, ...]) -> None:
    """Inputs are shared by all members, or each member's own."""
    check_inputs(inputs, shape)
    own, members = inputs.shape[: inputs.ndim - len(shape) - 1], params.shape[:-1]
    if own and members and own != members:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)} for {tuple(members)} members; give "
            f"n × {_axes(shape)}, or such a table for each member"
        )


def check_member(params: Tensor, member: int, size: int) -> None:
    """There is such a member."""
    check_params(params, size)
    if params.ndim != 2 or not 0 <= member < len(params):
        raise ValueError(
            f"member = {member} must be one of the {len(params)} rows of params, 0 to {len(params) - 1}"
        )


def check_named(named: Mapping[str, Any], names: Collection[str]) -> None:
    """Every parameter is there under its name."""
    missing = [name for name in names if not isinstance(named.get(name), Tensor)]
    if missing:
        raise ValueError(
            f"named lacks the tensor {missing[0]!r}; give a state_dict() with {', '.join(names)}"
        )


def _axes(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
