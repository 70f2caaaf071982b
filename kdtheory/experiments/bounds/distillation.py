"""The distillation bound where memorising makes its terms necessary.

Half of all points lie in a region where no point is drawn twice; the label is 0 everywhere. Outside, every
predictor is sure and right. Inside its logits are (t, −t), t chosen point by point: a height c where it was
fitted, right; and a hair below a tie elsewhere, wrong. So the truth is ½, and the class of all such tables
has Rad^vec_n = (c/2)·K/n for K of n points inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdtheory.bounds.distillation import hsu21_distillation, hsu21_distillation_by_margins
from kdtheory.bounds.rademacher import exact_rademacher, finite_class
from kdtheory.bounds.result import Bound
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run

DELTA = 0.05
HALF = 0.5
RATIO = 1.25
_SURE = 40.0
_TIE = -1e-9
_DEVIATIONS = ("labelled deviation", "unlabelled deviation")
_SETTINGS: dict[str, Any] = {
    "gamma": 1.0,
    "delta": DELTA,
    "fixed_in_advance": True,
    "drawn_afterwards": True,
    "independent_draws": True,
    "same_law": True,
}


@dataclass(frozen=True)
class _Draw:
    """How many of n labelled and of m = n unlabelled points lie inside; the height c of what is fitted; the
    density ratio of the unlabelled points; and the share of each complexity that the bound is told.
    """

    size: int
    labelled: int
    unlabelled: int
    height: float
    ratio: float = 1.0
    counted: float = 1.0

    def logits(self, inside: int, height: float) -> Tensor:
        """(t, −t) at all points: so many inside, at this height; sure and right at the others."""
        t = torch.full((self.size,), _SURE, dtype=torch.float64)
        t[:inside] = height
        return torch.stack([t, -t], -1)

    @property
    def fitted(self) -> tuple[Tensor, Tensor]:
        """g on the labelled points, fitted to them or right by itself; and their labels."""
        return self.logits(self.labelled, self.height), torch.zeros(self.size, dtype=torch.long)

    def at(self, height: float) -> Tensor:
        """The logits at the unlabelled points."""
        return self.logits(self.unlabelled, height)

    def complexity(self, inside: int) -> float:
        """Rad^vec of the tables, or the share of it that is told; that of their margins is twice this."""
        return self.counted * self.height / 2 * inside / self.size


def _of_a_student(draw: _Draw) -> Bound:
    """g = f was fitted to the labelled points, before the others were drawn."""
    tie, own = draw.at(_TIE), draw.complexity(draw.labelled)
    return hsu21_distillation(*draw.fitted, tie, tie, student_complexity=own, **_SETTINGS)


def _of_a_student_by_margins(draw: _Draw) -> Bound:
    tie, own = draw.at(_TIE), 2 * draw.complexity(draw.labelled)
    return hsu21_distillation_by_margins(*draw.fitted, tie, tie, margin_complexity=own, **_SETTINGS)


def _of_a_teacher(draw: _Draw, **changes: float) -> Bound:
    """g is fixed and right, f was fitted to the unlabelled points."""
    right, joint = draw.at(draw.height), draw.complexity(draw.unlabelled)
    settings = _SETTINGS | {"joint_complexity": joint, "density_ratio": draw.ratio} | changes
    return hsu21_distillation(*draw.fitted, right, right, student_complexity=0.0, **settings)


def _of_fixed(draw: _Draw, **changes: float) -> Bound:
    """Both are fixed, f at a tie."""
    settings = _SETTINGS | {"density_ratio": draw.ratio} | changes
    pair = draw.at(draw.height), draw.at(_TIE)
    return hsu21_distillation(*draw.fitted, *pair, student_complexity=0.0, **settings)


@experiment
def distillation_bounds_of_memorisers(run: Run, /, *, counted: float = 1.0) -> Rows:
    """200 draws of the points inside, γ = 1, δ = 0.05, where f or g memorises the points it saw and is wrong
    by a hair elsewhere, so that the error is ½: the bound in the softmax form and in the margin form, n = m =
    2,500; for a teacher with a class of its own, and for unlabelled points of another law, n = m = 6,000.
    `counted` is the share of the complexities that the bounds are told.
    """
    draws, numbers, few, many = run.size(quick=200, full=1000), run.stream.numpy(), 2500, 6000
    inside = numbers.binomial(few, HALF, size=(draws, 2)).tolist()
    students = [_Draw(few, n, m, 1.0, counted=counted) for n, m in inside]
    inside = numbers.binomial(many, (HALF, HALF, HALF / RATIO), size=(draws, 3)).tolist()
    teachers = [_Draw(many, n, m, 0.75, counted=counted) for n, m, _ in inside]
    others = [_Draw(many, n, m, 0.75, RATIO, counted) for n, _, m in inside]
    return Rows(
        student=[_of_a_student(draw).value for draw in students],
        by_margins=[_of_a_student_by_margins(draw).value for draw in students],
        teacher=[_of_a_teacher(draw).value for draw in teachers],
        other_law=[_of_a_teacher(draw).value for draw in others],
    )


@experiment
def terms_of_the_distillation_bound(run: Run, /, *, counted: float = 1.0) -> Rows:
    """The bounds without their deviations at the mean number of points inside, n = m = 1,000; heights of
    1/10, so that the softmax is nearly linear. The complexity of the teacher's class over what is needed. The
    deviations over what the number of points inside asks for, at δp = e^{−600} and n = 40,000; and at δp = ¼,
    and δ = ½ for f and g fixed beforehand, n = m = 1,000. The complexity of the tables, and of their margins,
    on 4 of 6 points by enumeration of the signs.
    """
    same = _Draw(1000, 500, 500, 0.1, counted=counted)
    other = _Draw(1000, 500, round(500 / RATIO), 0.1, RATIO, counted)
    teacher = _of_a_teacher(same).terms
    needed = HALF - teacher["student's loss"] - teacher["distillation error"]
    many, tiny = _Draw(40_000, 20_000, 20_000, 0.1), math.exp(LOG_TINY)
    both = _of_a_teacher(many, delta=math.sqrt(tiny), weight=math.sqrt(tiny)).terms
    single = _of_fixed(many, delta=tiny).terms
    deviations = [both[name] for name in _DEVIATIONS] + [single[_DEVIATIONS[1]]]
    loose, one = _of_a_teacher(same, delta=0.5, weight=0.5).terms, _of_fixed(same, delta=0.5).terms
    few = _Draw(6, 4, 4, 0.8)
    heights = torch.cartesian_prod(*[torch.tensor([0.0, few.height], dtype=torch.float64)] * 4)
    logits = torch.stack([heights, -heights], -1).flatten(1)
    return Rows(
        losses=_rest(_of_fixed(same)),
        other_law=_rest(_of_fixed(other)),
        student=_rest(_of_a_student(same)),
        by_margins=_rest(_of_a_student_by_margins(same)),
        joint=teacher["joint complexity"] / needed,
        deviations=np.array(deviations) / needed_radius(many.size, LOG_TINY),
        at_large_delta=[*(loose[name] for name in _DEVIATIONS), one[_DEVIATIONS[1]]],
        enumerated=[
            exact_rademacher(finite_class(logits), 8, points=6),
            exact_rademacher(finite_class(2 * heights), 4, points=6),
        ],
        complexity=[few.complexity(4), 2 * few.complexity(4)],
    )


def _rest(bound: Bound) -> float:
    """The bound without its deviations: what has to hold in the mean over samples."""
    return sum(value for name, value in bound.terms.items() if name not in _DEVIATIONS)
