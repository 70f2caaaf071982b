"""Nuisance parameters in pieces: θ of a binomial beside, q = p₊ + p₋, and what a search leaves open.

What is ruled out at some value in one piece is ruled out there at every larger value, for the chance falls;
so a search that goes up from what is not ruled out has ever fewer pieces to look at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from kdtheory.bounds._largest import largest_not_ruled_out
from kdtheory.bounds.signed_counts import BesideCounts, Weights, log_sup_over_total
from kdtheory.doors import door

__all__ = ["CLOSE", "PIECE", "Part", "beside_weights", "largest_chance", "largest_open"]

CLOSE = 0.004
"""How near to its supremum a limit is sought, as a share of the radius."""
PIECE = 0.006
"""A piece of θ, as a share of the radius: that much of it is lost."""
_LEAST, _MOST = 40, 120  # of a + c̃
_THIN = 12  # one piece of so many is looked at where the limit is sought roughly

Cells = Float[np.ndarray, " cells"]


@dataclass(frozen=True)
class Part:
    """Pieces of one bin of θ, and one bin of q, in which the statistic is one and the same.

    Args:
        first, last: the ends of each piece of θ.
        low, high: of q.
        counted: a and c̃.
        beside: w·⌊L/κ⌋ at the lower end of each piece; None where L counts for nothing.
    """

    first: Cells
    last: Cells
    low: float
    high: float
    counted: Weights
    beside: BesideCounts | None

    def kept(self, chosen: Bool[np.ndarray, " cells"], /) -> Part:
        """Some of the pieces."""
        beside = self.beside and replace(self.beside, rates=self.beside.rates[chosen])
        return replace(self, first=self.first[chosen], last=self.last[chosen], beside=beside)

    def reach(self, gains: int, losses: int, apart: int, /) -> int:
        """The statistic as it was seen."""
        beside = self.beside.value(apart) if self.beside else 0
        return self.counted.gain * gains - self.counted.loss * losses + beside


def largest_chance(
    parts: list[Part],
    differences: Callable[[Part, float], tuple[Cells, Cells]],
    seen: tuple[int, int, int, int],
    log_level: float,
    /,
) -> Callable[[float], float]:
    """e ↦ ln of the largest chance over all pieces of a statistic as low as it was; ever fewer are looked at.

    Args:
        parts: the pieces.
        differences: the least and the largest r that go with e in each piece of a part; the least counts.
        seen: b, c, n and L.
        log_level: ln of the level below which a piece is ruled out.
    """
    gains, losses, trials, apart = seen
    open_ = list(parts)

    def logs(part: Part, value: float) -> tuple[Cells, Bool[np.ndarray, " cells"]]:
        least, most = differences(part, value)
        later, found = most < -part.high, np.full(len(least), -np.inf)
        now = ~later & (least <= part.high)
        if now.any():
            some, r = part.kept(now), np.maximum(least[now], -part.high)
            reach = part.reach(gains, losses, apart)
            found[now] = log_sup_over_total(trials, r, part.low, part.high, part.counted, reach, some.beside)
        return found, later

    def log_chance(value: float) -> float:
        looked = [(part, *logs(part, value)) for part in open_]
        most = max((float(found.max()) for _, found, _ in looked), default=-math.inf)
        if most >= log_level:
            kept = [part.kept((found >= log_level) | later) for part, found, later in looked]
            open_[:] = [part for part in kept if len(part.first)]
        return most

    return log_chance


def largest_open(
    parts: list[Part],
    differences: Callable[[Part, float], tuple[Cells, Cells]],
    seen: tuple[int, int, int, int],
    log_level: float,
    /,
    *,
    low: float,
    high: float,
    guess: float,
    step: float,
    close: float,
) -> float:
    """sup{e ≤ high : largest chance ≥ level}, rounded up: sought with few of the pieces, then seen with all.

    Args:
        parts, differences, seen, log_level: as in `largest_chance`.
        low, high, guess, step, close: as in `largest_not_ruled_out`.
    """
    thin = [part.kept(np.arange(len(part.first)) % _THIN == len(part.first) // 2 % _THIN) for part in parts]
    rough = largest_not_ruled_out(
        largest_chance(thin, differences, seen, log_level),
        log_level,
        low=low,
        high=high,
        guess=guess,
        step=step,
        close=close,
    )
    return largest_not_ruled_out(
        largest_chance(parts, differences, seen, log_level),
        log_level,
        low=low,
        high=high,
        guess=rough,
        step=0.99 * close,
        close=close,
    )


@door
def beside_weights(share: float, /) -> tuple[int, int, int]:
    """a + c̃, w and κ with w/κ as near as can be to ½(a + c̃)·n/N, for points that count alike.

    Args:
        share: n/N.

    >>> beside_weights(0.02)  # 1/100 of each of 100
    (100, 1, 1)
    """
    group = max(1, math.floor(2 / (share * _MOST)))
    weight = math.ceil(_LEAST * share * group / 2)
    return round(2 * weight / (share * group)), weight, group
