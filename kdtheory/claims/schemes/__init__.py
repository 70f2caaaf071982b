"""Chapter 3: distillation schemes, self-distillation, compression, and what labels are worth."""

from __future__ import annotations

from kdtheory.claims.schemes import (
    compression,
    labels_and_time,
    mixing,
    online_offline,
    rkhs,
    soft_labels,
)

__all__ = [
    "compression",
    "labels_and_time",
    "mixing",
    "online_offline",
    "rkhs",
    "soft_labels",
]
