"""The vocabulary that all levels share: a labelled sample, and the device that "auto" stands for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door

__all__ = ["Sample", "at_least_float32", "resolve_device"]


_HALF = (torch.float16, torch.bfloat16)


@door
@dataclass(frozen=True)
class Sample:
    """Labelled points drawn from a world whose truth is known.

    Args:
        inputs: the points x, float.
        labels: the label y drawn from p*(x) at each point.
        probs: p*(x) itself, the Bayes class-probabilities, float64.
        atoms: on a finite world, which atom each point is; None elsewhere.
    """

    inputs: Float[Tensor, "*shape dim"]
    labels: Int[Tensor, "*shape"]
    probs: Float[Tensor, "*shape k"]
    atoms: Int[Tensor, "*shape"] | None = None


def at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """The tensors as they are, but half precision as float32: sums and differences need more digits."""
    return [tensor.float() if tensor.dtype in _HALF else tensor for tensor in tensors]


@door
def resolve_device(device: str | torch.device) -> torch.device:
    """The device that a name stands for; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ValueError: the name is not a device, or the device is not there.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device = {device!r} is not available; try 'auto' or 'cpu'") from error
    return resolved
