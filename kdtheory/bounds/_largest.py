"""The largest value that is not ruled out, by chords of normal scores, rounded outward."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import special

__all__ = ["largest_not_ruled_out"]


def largest_not_ruled_out(
    log_chance: Callable[[float], float],
    log_level: float,
    /,
    *,
    low: float,
    high: float,
    guess: float,
    step: float,
    close: float,
) -> float:
    """sup{e ≤ high : chance(e) ≥ level}, rounded up to a value that was seen to be ruled out, or `high`.

    Args:
        log_chance: ln of a chance that falls with e.
        log_level: ln of the level.
        low: below which nothing is sought.
        high: the largest value that there is.
        guess, step: where to look first, and how far off it may be.
        close: how far above the supremum will do.
    """
    target = _score(log_level)
    inside, outside = (low, math.inf), (high, -math.inf)
    at = min(max(guess, low), high)
    while outside[0] - inside[0] > close:
        score = _score(log_chance(at)) - target
        if score >= 0:
            if at >= high:
                return high
            inside = at, score
        else:
            outside = at, score
        if math.isinf(inside[1]) or math.isinf(outside[1]):
            at = max(at - step, low) if math.isinf(inside[1]) else min(at + step, high)
            step *= 2
            if at == low:
                at = (low + outside[0]) / 2
        else:
            at = _between(inside, outside, close)
    return outside[0]


def _score(log_chance: float) -> float:
    """Normal quantile of a chance, within ±40."""
    return min(max(float(special.ndtri_exp(min(log_chance, 0.0))), -40.0), 40.0)


def _between(inside: tuple[float, float], outside: tuple[float, float], close: float) -> float:
    """Where the chord of two scores crosses zero and a little beyond, within the two."""
    (a, above), (b, below) = inside, outside
    margin = min(close / 3, (b - a) / 3)
    return min(max(a + (b - a) * above / (above - below) + close / 3, a + margin), b - margin)
