"""A net that is a good student on its sample and says one class elsewhere, beside distillation bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory.bounds.distillation import hsu21_as_printed, hsu21_distillation
from kdtheory.bounds.result import Bound
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius
from kdtheory.experiments.bounds.two_gaussians import STD, linear_error, two_gaussians, two_sided
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.streams import Stream

__all__ = [
    "DROP",
    "LOW",
    "RAMP",
    "STUDENT",
    "Memoriser",
    "bounds_of_a_memoriser",
    "terms_of_the_printed_lemma",
]

DELTA = 0.2
GAMMA = 0.3
SIZE = 40_000
STUDENT = torch.tensor([2.0, 0.0], dtype=torch.float64, device="cpu")
SHARE = 0.2
LOW = STD * float(stats.norm.ppf(SHARE))
DROP, RAMP = 20.0, 1e-9


@dataclass(frozen=True)
class Memoriser:
    """A piecewise linear f that is the student g on a sample, and says class 0 wherever else t is low.

    t, the second coordinate, has nothing to do with the label. f's score is g − b(t) + Σ_i b(t_i)·hat_i(t): b
    drops by 20 below LOW, where a fifth of all points are, and a hat of half-width w stands on each t_i
    there. ρ the ReLU: b(t) = (20/r)(ρ(LOW − t) − ρ(LOW − r − t)) and hat_i(t) = (ρ(t − t_i + w) − 2ρ(t − t_i)
    + ρ(t − t_i − w))/w make f a net with 3n + 4 hidden units at most.

    Args:
        places: the t_i below LOW, in order.
        width: w, so small that no two hats meet.
    """

    places: np.ndarray
    width: float

    @classmethod
    def of(cls, inputs: Tensor, /) -> Memoriser:
        """The memoriser of a sample's inputs."""
        places = np.sort(inputs[:, 1].numpy())
        places = places[places < LOW]
        return cls(places, float(np.diff(places).min()) / 64)

    def drop(self, t: np.ndarray, /) -> np.ndarray:
        """b(t)."""
        dropped: np.ndarray = DROP * np.clip((LOW - t) / RAMP, 0, 1)
        return dropped

    def logits(self, inputs: Tensor, /) -> Tensor:
        """(−s, s)."""
        t = inputs[:, 1].numpy()
        knots = (self.places[:, None] + self.width * np.array([-1, 0, 1])).reshape(-1)
        heights = self.drop(self.places)[:, None] * np.array([0, 1, 0])
        hats = np.interp(t, knots, heights.reshape(-1))
        score = inputs @ STUDENT + torch.from_numpy(hats - self.drop(t))
        return torch.stack([-score, score], -1)

    @property
    def error(self) -> float:
        """Pr[f ≠ y], but for the hats' mass: where t is low f says 0, and half the labels are 1."""
        return 0.5 * SHARE + (1 - SHARE) * linear_error(STUDENT)


def own_sample(inputs: Tensor, _stream: Stream, /) -> Tensor:
    """The points that the bound is computed from: f may depend on them."""
    return inputs


def another_sample(_inputs: Tensor, stream: Stream, /) -> Tensor:
    """As many other points: f was fixed beforehand."""
    return two_gaussians(SIZE, stream.child("others"))[0]


def printed(teacher: Memoriser, inputs: Tensor, labels: Tensor, _stream: Stream, /) -> Bound:
    """The lemma as printed: the distillation error is taken on the labelled points."""
    return _printed(two_sided(STUDENT, inputs).float(), teacher.logits(inputs).float(), labels)


def mended(teacher: Memoriser, inputs: Tensor, labels: Tensor, stream: Stream, /) -> Bound:
    """The bound with the distillation error on as many fresh points without labels."""
    fresh, _ = two_gaussians(SIZE, stream.child("unlabelled"))
    return hsu21_distillation(
        two_sided(STUDENT, inputs).float(),
        labels,
        two_sided(STUDENT, fresh).float(),
        teacher.logits(fresh).float(),
        gamma=GAMMA,
        delta=DELTA,
        student_complexity=0.0,
        fixed_in_advance=True,
        drawn_afterwards=True,
        independent_draws=True,
        same_law=True,
    )


@experiment
def bounds_of_a_memoriser(
    run: Run,
    /,
    *,
    memorised: Callable[[Tensor, Stream], Tensor] = own_sample,
    bound: Callable[[Memoriser, Tensor, Tensor, Stream], Bound] = printed,
) -> Rows:
    """50 samples of n = 40,000 points of two Gaussians; a good linear student g, and a ReLU net f with at
    most 3n + 4 hidden units that equals it at the points `memorised`, by a hat on each, and says one class in
    a fifth of the plane: the error of f, and a `bound` of it. G holds g alone, fixed beforehand (no
    complexity, p = 1), so that all readings of the printed infimum are one; γ = 0.3, δ = 0.2.
    """
    errors, bounds = [], []
    for draw in range(run.size(quick=50, full=500)):
        stream = run.stream.child(draw)
        inputs, labels = two_gaussians(SIZE, stream.child("labelled"))
        teacher = Memoriser.of(memorised(inputs, stream))
        errors.append(teacher.error)
        bounds.append(bound(teacher, inputs, labels, stream).value)
    return Rows(error=errors, bound=bounds)


@experiment
def terms_of_the_printed_lemma(run: Run, /) -> Rows:
    """The terms of the printed lemma: the student's loss where f = g at a tie; the distillation error where f
    is a hair below a tie and g is sure; both 6√ over the deviation of a fair coin's mean, at δ or p =
    e^{−600} and n = 40,000; and 16/n and 6√ together over that, at n = 100 and δ = 0.05.
    """
    labels, many = torch.zeros(100, dtype=torch.long), torch.zeros(40_000, dtype=torch.long)
    tie, sure = (torch.tensor([[t, -t]], dtype=torch.float64) for t in (-1e-9, 40.0))
    at_tie = _printed(tie.expand(100, 2), tie.expand(100, 2), labels, delta=0.05).terms
    apart = _printed(sure.expand(100, 2), tie.expand(100, 2), labels).terms
    all_sure = sure.expand(40_000, 2)
    rare = _printed(all_sure, all_sure, many, delta=math.exp(LOG_TINY)).terms["deviation"]
    chosen = _printed(all_sure, all_sure, many, weight=math.exp(LOG_TINY)).terms["choice of the class"]
    small = at_tie["sixteen over n"] + at_tie["deviation"]
    return Rows(
        loss=at_tie["student's loss"],
        distance=apart["distillation error"],
        deviations=np.array([rare, chosen]) / needed_radius(40_000, LOG_TINY),
        small=small / needed_radius(100, math.log(0.05)),
    )


def _printed(
    student: Tensor, teacher: Tensor, labels: Tensor, *, delta: float = DELTA, weight: float = 1.0
) -> Bound:
    return hsu21_as_printed(
        student, teacher, labels, gamma=GAMMA, delta=delta, margin_complexity=0.0, weight=weight
    )
