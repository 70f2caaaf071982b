"""What autocast must not round."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["own_precision"]


def own_precision(device: str, /) -> AbstractContextManager[object]:
    """A block in which autocast does not round what a kind of device computes; a device may be without it."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
