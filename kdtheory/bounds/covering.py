"""Covering numbers of classes small enough to count, in the sup norm over any set of points."""

from __future__ import annotations

import math

from kdtheory.doors import door
from kdtheory.validate import check_positive

__all__ = ["segment_covering_number"]


@door
def segment_covering_number(epsilon: float, /, *, diameter: float = 1.0) -> int:
    """N_∞(ε) ≤ ⌈D/(2ε)⌉ for the class {(1−a)h_0 + a·h_1 : 0 ≤ a ≤ 1} with sup|h_1 − h_0| ≤ D.

    Cut [0, 1] into that many equal parts: the mid-point of a part is within D/(2·parts) ≤ ε of all of it. It
    is an equality when sup|h_1 − h_0| = D is attained on the points. Two losses in [0, 1] have D ≤ 1.

    Args:
        epsilon: ε, the radius of the balls.
        diameter: D.

    Raises:
        ValueError: ε or D is not positive and finite.

    >>> segment_covering_number(0.25), segment_covering_number(0.2), segment_covering_number(3.0)
    (2, 3, 1)
    """
    check_positive("epsilon", epsilon)
    check_positive("diameter", diameter)
    parts = diameter / (2 * epsilon)
    if not math.isfinite(parts):
        raise ValueError(
            f"epsilon = {epsilon} is too small a part of diameter = {diameter}; give a larger one"
        )
    return math.ceil(parts)
