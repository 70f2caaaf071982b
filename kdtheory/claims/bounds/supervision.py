"""Chapter 5.10: kernel classifiers and the supervision complexity of labels and of a teacher's targets."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.kernel_margin import harutyunyan23_kernel_margin, supervision_complexity
from kdtheory.bounds.norm_margin import ramp_loss
from kdtheory.bounds.result import Bound
from kdtheory.claims.bounds.wrong import scaled, with_term
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, MeanInequality, WorstRatio
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius

DELTA = 0.05


def _kernel_forgotten(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets.square().sum()


def _kernel_for_its_inverse(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets @ kernel @ targets


def _no_margin_loss(margins: Tensor, /, *, gamma: float) -> Tensor:
    return torch.zeros_like(margins)


@claim(
    section="5.10",
    formula=r"\lVert f \rVert^2 = y^\top K^{-1} y = \min\{\lVert w \rVert^2 : \Phi w = y\},\quad"
    r" \mathbb E\,[y_t^\top K^{-1} y_t] \le \mathbb E\,[y^\top K^{-1} y]",
    source="harutyunyan2023supervision",
    assumes=("The teacher's targets are its class-probabilities, 2p(x) − 1, and p is smooth in the kernel.",),
    control=Control("the teacher's targets are dealt out to the wrong points", teacher="shuffled"),
    uses=(supervision_complexity,),
    mutants=(
        Mutant("the kernel is forgotten", supervision_complexity, _kernel_forgotten),
        Mutant("K for K⁻¹", supervision_complexity, _kernel_for_its_inverse),
    ),
    power=Scaled(supervision_complexity),
)
def teacher_targets_have_lower_supervision_complexity(
    setting: Setting, /, *, teacher: str = "Bayes"
) -> Evidence:
    """The supervision complexity yᵀK⁻¹y is the squared norm of the smoothest function through the targets,
    and it is lower for a good teacher's soft targets than for the labels, whose noise is not smooth.

    The first by least squares on 40 random features of 12 points. The second on 60 points of the plane with
    the kernel e^{−‖x−x'‖}, labels drawn from p*(x) = σ(8x₁) and p* itself as teacher.
    """
    trials = setting.size(quick=100, full=1000)
    least, soft, hard = [], [], []
    for trial in range(trials):
        generator = setting.stream.child(trial).torch()
        features = torch.randn(12, 40, dtype=torch.float64, generator=generator)
        wanted = torch.randn(12, dtype=torch.float64, generator=generator)
        shortest = (torch.linalg.pinv(features) @ wanted).square().sum()
        least.append((supervision_complexity(features @ features.T, wanted), shortest))
        points = torch.randn(60, 2, dtype=torch.float64, generator=generator)
        probs = torch.sigmoid(8 * points[:, 0])
        labels = 2 * torch.bernoulli(probs, generator=generator) - 1
        targets = 2 * probs - 1
        if teacher == "shuffled":
            targets = targets[torch.randperm(60, generator=generator)]
        kernel = _laplace(points)
        soft.append(supervision_complexity(kernel, targets))
        hard.append(supervision_complexity(kernel, labels))
    found, shortest = torch.tensor(least, dtype=torch.float64).T
    return Joint(
        parts={
            "least norm": Identity.of(found, shortest, tolerance=1e-9),
            "teacher": MeanInequality.of(torch.stack(soft), torch.stack(hard)),
        }
    )


@claim(
    section="5.10",
    formula=r"\Pr[\mathrm{err}] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(y_i f(x_i)/\gamma)"
    r" + \tfrac{2B\sqrt{\operatorname{tr} K}}{\gamma n} + 3\sqrt{\ln(2/(\delta p))/2n},"
    r"\quad B \ge \lVert f \rVert",
    source="harutyunyan2023supervision",
    place="constants derived here",
    assumes=("The kernel and γ were fixed before the sample was drawn.",),
    control=Control("the norm is taken to be that of one point", norm="of one point"),
    uses=(harutyunyan23_kernel_margin, ramp_loss),
    mutants=(
        Mutant("the margin loss is left out", ramp_loss, _no_margin_loss),
        Mutant("0.9 of the margin loss", ramp_loss, scaled(ramp_loss, 0.9)),
        *(
            Mutant(what, harutyunyan23_kernel_margin, with_term(harutyunyan23_kernel_margin, name, factor))
            for what, name, factor in (
                ("no complexity", "complexity", 0.0),
                ("0.9 of the complexity", "complexity", 0.9),
                ("no deviation", "deviation", 0.0),
                ("0.9 of the deviation", "deviation", 0.9),
            )
        ),
    ),
    power=Scaled(harutyunyan23_kernel_margin, entry="complexity"),
)
def kernel_margin_bound_covers_the_classifier(setting: Setting, /, *, norm: str = "of f") -> Evidence:
    """With probability at least 1 − δ the error of a kernel classifier is at most its margin loss, its norm
    times √(tr K) over γn, twice, and the deviation; the norm is read off afterwards and rounded up to a grid.
    For a classifier that memorises half of the complexity is needed, and a third of the deviation.

    Half of all points are orthogonal to all others, the rest are one: K is 1 on its diagonal. f is γ at the
    rest, right; t at the sample's own orthogonal points; and 0 at those not seen, which counts as an error:
    its risk is ½. n = 10,000, γ = 1, t = ¼, δ = 0.05. The constants from orthogonal points alone: all that is
    needed is t/γ, and tr K, ‖f‖² are n and n·t²; "a third of the deviation": at δp = e^{−600}, over what the
    number of orthogonal points asks for.
    """
    size, draws, height = 10_000, setting.size(quick=200, full=2000), 0.25
    inside = setting.stream.child("draws").numpy().binomial(size, 0.5, size=draws).tolist()
    bounds = [_kernel_bound(size, seen, height, norm).value for seen in inside]
    size, tiny = 2**12, 2.0**-10
    terms = _kernel_bound(size, size, height, norm).terms
    least = _kernel_bound(size, size, tiny, norm).terms
    many, share = 40_000, math.exp(LOG_TINY / 2)
    deviation = _kernel_bound(many, 0, height, norm, delta=share, weight=share).terms["deviation"]
    needed = needed_radius(many, LOG_TINY + math.log(1 / 3))  # ‖f‖ = 1 has the weight 1/3 on the grid
    return Joint(
        parts={
            "covers": Coverage.of([0.5] * draws, bounds, delta=DELTA, trivial=1.0),
            "half of the complexity": Identity.of(
                [terms["complexity"] / (1 - terms["margin loss"])], [2.0], tolerance=1e-6
            ),
            "margin loss": WorstRatio(
                attempts=1, ratio=1 / (least["margin loss"] + least["complexity"]), must_reach=0.999
            ),
            "a third of the deviation": Identity.of([deviation / needed], [3.0], tolerance=0.02),
        }
    )


def _kernel_bound(size: int, inside: int, height: float, norm: str, **changes: Any) -> Bound:
    """The bound of f with so many of the sample's points orthogonal, and the others one."""
    margins = torch.ones(size, dtype=torch.float64)
    margins[:inside] = height
    counted = inside if norm == "of f" else min(inside, 1)
    return harutyunyan23_kernel_margin(
        margins,
        squared_norm=counted * height**2 + (inside < size),
        trace=float(size),
        gamma=1.0,
        fixed_in_advance=True,
        independent_draws=True,
        **{"delta": DELTA, **changes},
    )


def _laplace(points: Tensor) -> Tensor:
    kernel: Tensor = (-torch.cdist(points, points)).exp()
    return (kernel + kernel.mT) / 2
