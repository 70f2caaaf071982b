"""Laws of few directions, under which the expected risk of linear students is a finite sum.

What a student of n points learns depends only on which directions are among them. The laws of the plane below
are those under which it errs most: the rare points near the boundary lean one way and all others the other
way, further than the rare ones are from the boundary, so that a student that has seen one kind alone is
wrong about the other, and a student that has seen both is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from kdtheory.streams import Stream
from kdtheory.transfer_risk import phuong19_student, transfer_risk


@dataclass(frozen=True, eq=False)
class FiniteLaw:
    """x is one of a few unit vectors.

    Args:
        directions: the vectors.
        probs: their probabilities.
    """

    directions: Tensor
    probs: Tensor

    @cached_property
    def angles(self) -> list[float]:
        """The acute angles to e_1."""
        angles: list[float] = self.directions[:, 0].abs().clamp_max(1).arccos().tolist()
        return angles

    def tail(self, beta: float, /) -> float:
        """p(β), the chance of an angle of at least β."""
        pairs = zip(self.angles, self.probs.tolist(), strict=True)
        return math.fsum(chance for angle, chance in pairs if angle >= beta - 1e-12)

    @property
    def betas(self) -> list[float]:
        """Where p(β) or p(π/2 − β) has just fallen: one of them is the best β of Theorem 3."""
        after = [angle + 1e-9 for angle in self.angles]
        before = [math.pi / 2 - angle - 1e-9 for angle in self.angles]
        return [beta for beta in (0.0, *after, *before, math.pi / 2) if 0 <= beta <= math.pi / 2]

    def expected_risk(self, sizes: tuple[int, ...], /, *, teacher: int = 0) -> Tensor:
        """E R_n against e_1 of students that `e_teacher` taught, for every n, over the sets they may see."""
        oracle = torch.eye(self.directions.shape[1], dtype=torch.float64)
        risk = torch.zeros(len(sizes), dtype=torch.float64)
        for seen in range(1, 2 ** len(self.probs)):
            own = torch.tensor([bool(seen >> i & 1) for i in range(len(self.probs))])
            student = phuong19_student(self.directions[own], oracle[teacher])
            wrong = transfer_risk((self.directions @ student)[:, None], self.directions[:, :1])
            chance = torch.tensor([self._seen(seen, n) for n in sizes], dtype=torch.float64)
            risk += chance * (self.probs @ wrong)
        return risk

    def _seen(self, seen: int, n: int) -> float:
        """The chance that the directions among n points are exactly these (inclusion and exclusion)."""
        inside = [i for i in range(len(self.probs)) if seen >> i & 1]
        total = 0.0
        for subset in range(1, 2 ** len(inside)):
            chosen = [i for j, i in enumerate(inside) if subset >> j & 1]
            sign = (-1) ** (len(inside) - len(chosen))
            total += sign * float(self.probs[chosen].sum()) ** n
        return total


def leaning_law(*, rare: float, margin: float, lean: float, certain: float = 0.0) -> FiniteLaw:
    """Rare points at the angle `margin` to the boundary, others at `lean` > margin to e_1, the other way.

    Args:
        rare: the probability of the rare points.
        margin: in radians.
        lean: in radians.
        certain: the probability of e_1 itself, which teaches all.
    """
    angles = np.array([math.pi / 2 - margin, -lean, 0.0])
    directions = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], 1))
    probs = torch.tensor([rare, 1 - rare - certain, certain], dtype=torch.float64)
    return FiniteLaw(directions[probs > 0], probs[probs > 0])


def scattered_law(stream: Stream, /, *, dim: int) -> FiniteLaw:
    """Four likely directions near ±e_1 and one rare one near the boundary, at random."""
    generator = stream.torch()
    directions = torch.randn(5, dim, dtype=torch.float64, generator=generator)
    directions[:4, 0] += 8.0
    directions[4, 0] *= 0.1
    rare = 0.2 * float(torch.rand(1, generator=generator))
    directions *= torch.randint(2, (5, 1), generator=generator) * 2 - 1
    probs = torch.tensor([(1 - rare) / 4] * 4 + [rare], dtype=torch.float64)
    return FiniteLaw(directions / directions.norm(dim=1, keepdim=True), probs)


def power_tail(exponent: float, theta: float) -> float:
    """(1 − 2θ/π)^κ."""
    return float((1 - 2 * theta / math.pi) ** exponent)
