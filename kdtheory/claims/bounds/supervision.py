"""Chapter 5.10: kernel classifiers and the supervision complexity of labels and of a teacher's targets."""

from __future__ import annotations

import math

from torch import Tensor

from kdtheory.bounds.kernel_margin import harutyunyan23_kernel_margin, supervision_complexity
from kdtheory.bounds.norm_margin import ramp_loss
from kdtheory.claims.bounds.wrong import delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, MeanInequality, WorstRatio
from kdtheory.claims.wrong import scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.supervision import (
    DELTA,
    kernel_margin_bounds,
    of_one_point,
    shuffled,
    supervision_complexities,
)

SOURCE = "harutyunyan2023supervision"


def _kernel_forgotten(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets.square().sum()


def _kernel_for_its_inverse(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets @ kernel @ targets


@claim(
    section="5.10",
    formula=r"\lVert f \rVert^2 = y^\top K^{-1} y = \min\{\lVert w \rVert^2 : \Phi w = y\},\quad"
    r" \mathbb E\,[y_t^\top K^{-1} y_t] \le \mathbb E\,[y^\top K^{-1} y]",
    source=SOURCE,
    place="the supervision complexity",
    assumes=("The teacher's targets are its class-probabilities, 2p(x) − 1, and p is smooth in the kernel.",),
    experiment=supervision_complexities,
    control=Control("the teacher's targets are dealt out to the wrong points", dealt=shuffled),
    mutants=(
        Mutant("the kernel is forgotten", supervision_complexity, _kernel_forgotten),
        Mutant("K for K⁻¹", supervision_complexity, _kernel_for_its_inverse),
    ),
    power=Scaled(supervision_complexity),
)
def teacher_targets_have_lower_supervision_complexity(rows: Rows, /) -> Evidence:
    """The supervision complexity yᵀK⁻¹y is the squared norm of the smoothest function through the targets,
    and it is lower for a good teacher's soft targets than for the labels, whose noise is not smooth.

    The teacher is p* itself.
    """
    return Joint(
        parts={
            "least norm": Identity.of(rows.found, rows.shortest, tolerance=1e-9),
            "teacher": MeanInequality.of(rows.soft, rows.hard),
        }
    )


@claim(
    section="5.10",
    formula=r"\Pr[\mathrm{err}] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(y_i f(x_i)/\gamma)"
    r" + \tfrac{2B\sqrt{\operatorname{tr} K}}{\gamma n} + 3\sqrt{\ln(2/(\delta p))/2n},"
    r"\quad B \ge \lVert f \rVert",
    source=SOURCE,
    place="constants derived here",
    assumes=("The kernel and γ were fixed before the sample was drawn.",),
    experiment=kernel_margin_bounds,
    control=Control("the norm is taken to be that of one point", norm=of_one_point),
    mutants=(
        Mutant("the margin loss is left out", ramp_loss, scaled(0.0)),
        Mutant("0.9 of the margin loss", ramp_loss, scaled(0.9)),
        Mutant("no complexity", harutyunyan23_kernel_margin, scaled(0.0, "complexity")),
        Mutant("0.9 of the complexity", harutyunyan23_kernel_margin, scaled(0.9, "complexity")),
        Mutant("no deviation", harutyunyan23_kernel_margin, scaled(0.0, "deviation")),
        Mutant("0.9 of the deviation", harutyunyan23_kernel_margin, scaled(0.9, "deviation")),
        Mutant("ln(1/(δp)) for ln(2/(δp))", harutyunyan23_kernel_margin, delta_times(2)),
    ),
    power=Scaled(harutyunyan23_kernel_margin, entry="complexity"),
)
def kernel_margin_bound_covers_the_classifier(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the error of a kernel classifier is at most its margin loss, its norm
    times √(tr K) over γn, twice, and the deviation; the norm is read off afterwards and rounded up to a grid.
    For a classifier that memorises half of the complexity is needed, and a third of the deviation.

    "as printed": the deviation where δ is large, at ‖f‖ = 1, whose share of the grid is a third.
    """
    printed = 3 * math.sqrt(math.log(2 / (0.25 / 3)) / 2000)
    return Joint(
        parts={
            "covers": Coverage.of([0.5] * len(rows.bound), rows.bound, delta=DELTA, trivial=1.0),
            "half of the complexity": Identity.of([rows.complexity], [2.0], tolerance=1e-6),
            "margin loss": WorstRatio(attempts=1, ratio=1 / rows.least, must_reach=0.999),
            "a third of the deviation": Identity.of([rows.deviation], [3.0], tolerance=0.02),
            "as printed": Identity.of([rows.at_large_delta], [printed], tolerance=1e-9),
        }
    )
