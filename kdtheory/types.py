"""The vocabulary that all levels share: a labelled sample, and the device that "auto" stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Sample", "as_torch_starts", "at_least_float32", "for_autograd", "resolve_device"]


_HALF = (torch.float16, torch.bfloat16)


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


@contextmanager
def as_torch_starts() -> Iterator[None]:
    """No inference mode, and new tensors on the CPU, whatever the caller has set; also a decorator.

    >>> with torch.device("meta"), torch.inference_mode(), as_torch_starts():
    ...     torch.zeros(1).device, torch.is_inference_mode_enabled()
    (device(type='cpu'), False)
    """
    elsewhere = torch.get_default_device().type != "cpu"  # the context costs at every call of torch
    with torch.inference_mode(False), torch.device("cpu") if elsewhere else nullcontext():
        yield


def for_autograd(tensor: Tensor) -> Tensor:
    """The tensor, copied where it was made in inference mode: autograd does not keep such."""
    return tensor.clone() if tensor.is_inference() else tensor


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
