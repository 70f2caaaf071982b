"""Chapter 3: distillation schemes, self-distillation, compression, and what labels are worth."""

from __future__ import annotations

from kdtheory.claims.schemes import (
    compressed_students,
    compression,
    fixed_point,
    lag,
    mixing,
    online_offline,
    rkhs,
    rounds_of_nets,
    soft_labels,
)

__all__ = [
    "compressed_students",
    "compression",
    "fixed_point",
    "lag",
    "mixing",
    "online_offline",
    "rkhs",
    "rounds_of_nets",
    "soft_labels",
]
