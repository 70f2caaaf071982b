"""Neural tangent kernels (Jacot, Gabriel, Hongler, 2018)."""

from __future__ import annotations

from kdtheory.ntk.kernel import Kernel

__all__ = ["Kernel"]
