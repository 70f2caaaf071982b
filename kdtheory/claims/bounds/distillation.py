"""Chapter 5.6: the explicit distillation bound, on a world whose risk is known exactly (Hsu et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.complexity import vector_linear_complexity
from kdtheory.bounds.distillation import hsu21_distillation, hsu21_distillation_by_margins
from kdtheory.bounds.margins import label_free_distillation_error, margin_surrogate, softmax_confidence
from kdtheory.bounds.result import Bound
from kdtheory.claims.bounds.two_gaussians import linear_error, two_gaussians, two_sided
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Joint
from kdtheory.streams import Stream

DELTA = 0.05
RADIUS = 2 * math.sqrt(2)
SHIFT = 0.7


def _counted_once(
    *both: Tensor, gamma: float, _true: Callable[..., Tensor] = label_free_distillation_error
) -> Tensor:
    return _true(*both, gamma=gamma) / 2


def _half_the_loss(*pair: Tensor, gamma: float, _true: Callable[..., Tensor] = softmax_confidence) -> Tensor:
    return (1 + _true(*pair, gamma=gamma)) / 2


def _half_the_surrogate(
    margins: Tensor, /, *, gamma: float, num_classes: int, _true: Callable[..., Tensor] = margin_surrogate
) -> Tensor:
    return _true(margins, gamma=gamma, num_classes=num_classes) / 2


@claim(
    section="5.6",
    formula=r"\Pr[\operatorname{argmax} f \ne y]"
    r" \le \tfrac2n \textstyle\sum_i (1 - \varphi_\gamma(g(x_i))_{y_i})"
    r" + \tfrac2\gamma \operatorname{Rad}^{vec}_n(G_j) + 6\sqrt{\tfrac{\ln(4/(\delta p_j))}{2n}}"
    r" + 2\Phi^{TV}_{\gamma,m}(f,g) + \tfrac{2\sqrt2}{\gamma}"
    r"(\operatorname{Rad}^{vec}_m(F) + \operatorname{Rad}^{vec}_m(G_j))"
    r" + 6\sqrt{\tfrac{\ln(4/(\delta p_j))}{2m}}",
    source="hsu2021generalization",
    assumes=(
        "F, the G_j and the weights p_j were fixed before the data.",
        "The labelled and the unlabelled points are independent draws.",
    ),
    control=Control("f memorises the unlabelled points and Rad(F) is dropped", teacher="memoriser"),
    uses=(
        hsu21_distillation,
        hsu21_distillation_by_margins,
        label_free_distillation_error,
        margin_surrogate,
        softmax_confidence,
        vector_linear_complexity,
    ),
    mutants=(
        Mutant("the distillation error once, not twice", label_free_distillation_error, _counted_once),
        Mutant("the student's loss once, not twice", softmax_confidence, _half_the_loss),
        Mutant("the margin surrogate is halved", margin_surrogate, _half_the_surrogate),
    ),
)
def distillation_bound_covers_the_teacher(setting: Setting, /, *, teacher: str = "of its class") -> Evidence:
    """With probability at least 1 − δ the teacher's error is at most the student's margin loss and the
    distillation error, each twice, with the complexities and deviations: in the softmax form, in the margin
    form, for a teacher and student fixed before the unlabelled points, and for unlabelled points of another
    law.

    Two Gaussians in the plane, whose linear classifiers have exactly known errors; n = m = 18,000, δ =
    0.05. Three draws in five are fits; in one the teacher alone, in one both, are barely on the wrong side
    of a tie, so that an error close to 1 meets a bound close to 1. The memoriser agrees with g on the
    unlabelled points and says the opposite elsewhere.
    """
    draws = setting.size(quick=300, full=1000)
    names = ("softmax", "margins", "fixed", "other law")
    rows = [_draw(setting.stream.child(draw), draw % 5, teacher) for draw in range(draws)]
    truth = [row[0] for row in rows]
    bounds = torch.tensor([row[1] for row in rows], dtype=torch.float64).T
    return Joint(
        parts={
            name: Coverage.of(truth, bound, delta=DELTA, trivial=1.0)
            for name, bound in zip(names, bounds, strict=True)
        }
    )


def _draw(stream: Stream, kind: int, teacher: str) -> tuple[float, list[float]]:
    """The teacher's error and its bound in the four forms."""
    size = 18_000
    inputs, labels = two_gaussians(size, stream.child("labelled"))
    points, _ = two_gaussians(size, stream.child("unlabelled"))
    shifted, _ = two_gaussians(size, stream.child("shifted"), second=SHIFT)
    g = ((2.0 * labels - 1)[:, None] * inputs).mean(0)
    g = 2 * g / g.norm()
    f = g + 0.05 * points[:10].mean(0)
    f = 2 * f / f.norm()
    if kind == 3:
        f = -1e-6 * f
    elif kind == 4:
        f, g = -1e-6 * f, -1e-6 * g
    memoriser = teacher == "memoriser"
    settings: dict[str, Any] = {
        "gamma": 1.0,
        "delta": DELTA,
        "weight": 0.5,
        "fixed_in_advance": not memoriser,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }

    def complexity(inputs: Tensor) -> float:
        return vector_linear_complexity(inputs, radius=RADIUS, outputs=2)

    on_labelled, own = two_sided(g, inputs), complexity(inputs)

    def bound(on: Tensor, *, margins: bool = False, fixed: bool = False, ratio: float = 1.0) -> float:
        classes = None if fixed else (1 if memoriser else 2) * complexity(on)
        student = two_sided(g, on)
        said = student if memoriser else two_sided(f, on)
        form = hsu21_distillation_by_margins if margins else hsu21_distillation
        first = {"margin_complexity": 2 * own} if margins else {"student_complexity": own}
        more: dict[str, Any] = {"joint_complexity": classes, "density_ratio": ratio, **first, **settings}
        found: Bound = form(on_labelled, labels, student, said, **more)
        return found.value

    truth = 1 - linear_error(g) if memoriser else linear_error(f)
    ratio = 0.5 / (1 - SHIFT)
    return truth, [
        bound(points),
        bound(points, margins=True),
        bound(points, fixed=True),
        bound(shifted, ratio=ratio),
    ]
