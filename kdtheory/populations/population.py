"""The result of training: the members, and whether each of them converged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.populations._groups import evaluation_groups, rows_at_once
from kdtheory.types import at_least_float32
from kdtheory.validate import check_positive

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Population"]


@door
@dataclass(frozen=True, eq=False)
class Population:
    """Networks of one architecture, trained.

    Args:
        architecture: what they have in common.
        params: what they have apart, one row each.
        last_loss: each member's mean loss over its whole sample at `params`, without the weight decay.
        gradient_norm: the Euclidean norm of the gradient of what each member minimised, its mean loss over
            the whole sample + weight_decay·‖θ‖²/2, at `params`.
        steps: optimiser steps taken.
    """

    architecture: Architecture
    params: Float[Tensor, "members size"]
    last_loss: Float[Tensor, "members"]
    gradient_norm: Float[Tensor, "members"]
    steps: int

    def __len__(self) -> int:
        return len(self.params)

    @property
    def diverged(self) -> Bool[Tensor, "members"]:
        """Which members ended in NaN or infinity."""
        found = torch.stack([self.last_loss, self.gradient_norm, self.params.abs().amax(-1)])
        return ~found.isfinite().all(0)

    def converged(self, tolerance: float, /) -> Bool[Tensor, "members"]:
        """Which members ended with a gradient norm of at most `tolerance`; a diverged one never does.

        Raises:
            ValueError: `tolerance` is not greater than 0.
        """
        check_positive("tolerance", tolerance)
        return (self.gradient_norm <= tolerance) & ~self.diverged

    def to_frame(self) -> pd.DataFrame:
        """One row a member: its last loss, its gradient norm, and whether it diverged."""
        from kdtheory.shown import Frame

        columns = ("last_loss", "gradient_norm", "diverged")
        found = {name: at_least_float32(getattr(self, name).cpu())[0].numpy() for name in columns}
        return Frame(found).rename_axis("member")

    def _repr_html_(self) -> str:
        told = f"{len(self)} members of {self.architecture.name} after {self.steps} steps"
        frame = self.to_frame()
        if diverged := int(frame["diverged"].sum()):
            told += f", {diverged} of them diverged; of the others:"
        from kdtheory.shown import in_html

        return in_html(told, frame[~frame["diverged"]].describe().rename_axis(" "))

    def plot(self) -> Any:
        """How the members' last losses are spread; the axes."""
        return self.to_frame()[["last_loss"]].plot.hist(xlabel="last loss of a member", legend=False)

    @torch.no_grad()
    def logits(self, inputs: Float[Tensor, "..."], /) -> Float[Tensor, "members n k"]:
        """The outputs of all members, a few members and points at a time.

        Inputs n × … are shared; members × n × … are own.

        Raises:
            ValueError: the inputs do not have the architecture's input shape.
        """
        shape, own = self.architecture.input_shape, inputs.ndim == len(self.architecture.input_shape) + 2
        if tuple(inputs.shape[-len(shape) :]) != shape or inputs.ndim - len(shape) not in (1, 2):
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)}; {self.architecture.name} takes n × {shape}, "
                f"or {len(self)} × n × {shape}"
            )
        if own and len(inputs) != len(self):
            raise ValueError(f"inputs are for {len(inputs)} members; this population has {len(self)}")
        inputs = inputs.to(self.params)
        groups = evaluation_groups(self.architecture, len(self), inputs.shape[int(own)])
        return torch.cat(
            [self._logits(group, inputs[group] if own else inputs, int(own)) for group in groups]
        )

    def _logits(self, group: slice, inputs: Tensor, axis: int) -> Tensor:
        """The outputs of some members, on so many points at a time that memory does not grow with them."""
        params, examples = self.params[group], inputs.shape[axis]
        rows = rows_at_once(self.architecture, len(params), examples)
        parts = [self.architecture.logits(params, part) for part in inputs.split(max(1, rows), axis)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def module(self, member: int, /) -> nn.Module:
        """One member as a plain torch module."""
        return self.architecture.module(self.params, member)
