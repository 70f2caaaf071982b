"""Wrong versions that several statements of this chapter must notice, and why none has a constant."""

from __future__ import annotations

from kdtheory.claims.core import Mutant
from kdtheory.claims.wrong import arguments
from kdtheory.losses import distillation

__all__ = ["NEXT_TEACHER", "NO_CONSTANT"]

NO_CONSTANT = "a factor on a loss does not move its minimum, and accuracies have no constant"
NEXT_TEACHER = Mutant(
    "each point is given the teacher of the next",
    distillation,
    arguments(lambda logits, probs, labels: (logits, probs.roll(1, -2), labels)),
)
