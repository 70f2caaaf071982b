"""Chapter 5.6: the distillation bound, where memorising makes its terms necessary (Hsu et al., 2021).

Half of all points lie in a region where no point is drawn twice; the label is 0 everywhere. Outside, every
predictor is sure and right. Inside its logits are (t, −t), t chosen point by point: a height c where it was
fitted, right; and a hair below a tie elsewhere, wrong. So the truth is ½, and the class of all such tables
has Rad^vec_n = (c/2)·K/n for K of n points inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdtheory.bounds.deviation import single_term, uniform_term
from kdtheory.bounds.distillation import hsu21_distillation, hsu21_distillation_by_margins
from kdtheory.bounds.margins import margin_surrogate, softmax_confidence, softmax_distance
from kdtheory.bounds.rademacher import exact_rademacher, finite_class
from kdtheory.bounds.result import Bound
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, WorstRatio
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius

DELTA = 0.05
HALF = 0.5
SURE = 40.0
TIE = -1e-9
RATIO = 1.25
DEVIATIONS = ("labelled deviation", "unlabelled deviation")


def _half_the_loss(*pair: Tensor, gamma: float, _true: Callable[..., Tensor] = softmax_confidence) -> Tensor:
    return (1 + _true(*pair, gamma=gamma)) / 2


def _without(name: str, form: Callable[..., Bound], share: float = 0.0) -> Callable[..., Bound]:
    """The bound with a share of one of the complexities that it is told."""

    def wrong(*logits: Tensor, **settings: Any) -> Bound:
        told = settings.get(name)
        return form(*logits, **{**settings, name: None if told is None else share * told})

    return wrong


@dataclass(frozen=True)
class _Draw:
    """How many of n labelled and of m unlabelled points lie inside, and the height c of what is fitted."""

    size: int
    labelled: int
    unlabelled: int
    height: float

    def logits(self, inside: int, height: float) -> Tensor:
        """(t, −t) at all points: so many inside, at this height; sure and right at the others."""
        t = torch.full((self.size,), SURE, dtype=torch.float64)
        t[:inside] = height
        return torch.stack([t, -t], -1)

    def complexity(self, inside: int) -> float:
        """Rad^vec of the tables; that of their margins is twice this."""
        return self.height / 2 * inside / self.size


def _bound(draw: _Draw, case: str, counted: float = 1.0, **changes: Any) -> Bound:
    """The bound of one case; `counted` is the share of the complexities that it is told."""
    c, size = draw.height, draw.size
    at_tie, at_height = (draw.logits(draw.unlabelled, t) for t in (TIE, c))
    settings: dict[str, Any] = {
        "gamma": 1.0,
        "delta": DELTA,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
        "density_ratio": RATIO if case.endswith("other law") else 1.0,
        **changes,
    }
    own = 0.0
    form: Callable[..., Bound] = hsu21_distillation
    if case.startswith("student"):  # g = f was fitted to the labelled points, before the others were drawn
        student, teacher, own = at_tie, at_tie, counted * draw.complexity(draw.labelled)
    elif case.startswith("teacher"):  # g is fixed and right, f was fitted to the unlabelled points
        student, teacher = at_height, at_height
        settings["joint_complexity"] = counted * draw.complexity(draw.unlabelled)
    else:  # both are fixed, f at a tie
        student, teacher = at_height, at_tie
    name = "student_complexity"
    if case == "student, margins":
        form, name, own = hsu21_distillation_by_margins, "margin_complexity", 2 * own
    labels = torch.zeros(size, dtype=torch.long)
    return form(draw.logits(draw.labelled, c), labels, student, teacher, **{name: own}, **settings)


def _rest(bound: Bound) -> float:
    """The bound without its deviations: what has to hold in the mean over samples."""
    return sum(value for name, value in bound.terms.items() if name not in DEVIATIONS)


@claim(
    section="5.6",
    formula=r"\Pr[\operatorname{argmax} f \ne y]"
    r" \le \tfrac2n \textstyle\sum_i (1 - \varphi_\gamma(g(x_i))_{y_i})"
    r" + \tfrac2\gamma \operatorname{Rad}^{vec}_n(G_j) + 6\sqrt{\tfrac{\ln(4/(\delta p_j))}{2n}}"
    r" + 2\Phi^{TV}_{\gamma,m}(f,g) + \tfrac{2\sqrt2}{\gamma}"
    r"(\operatorname{Rad}^{vec}_m(F) + \operatorname{Rad}^{vec}_m(G_j))"
    r" + 6\sqrt{\tfrac{\ln(4/(\delta p_j))}{2m}}",
    source="hsu2021generalization",
    place="constants derived here",
    assumes=(
        "F, the G_j and the weights p_j were fixed before the data.",
        "The labelled and the unlabelled points are independent draws.",
    ),
    control=Control("the complexities are dropped", counted=0.0),
    uses=(
        hsu21_distillation,
        hsu21_distillation_by_margins,
        softmax_distance,
        margin_surrogate,
        softmax_confidence,
        uniform_term,
        single_term,
        exact_rademacher,
    ),
    mutants=(
        Mutant(
            "half the distillation error",
            softmax_distance,
            scaled(softmax_distance, 0.5),
        ),
        Mutant(
            "0.9 of the distillation error",
            softmax_distance,
            scaled(softmax_distance, 0.9),
        ),
        Mutant("the student's loss once, not twice", softmax_confidence, _half_the_loss),
        Mutant("0.9 of the margin surrogate", margin_surrogate, scaled(margin_surrogate, 0.9)),
        Mutant("no Rad(G)", hsu21_distillation, _without("student_complexity", hsu21_distillation)),
        Mutant("0.9 Rad(G)", hsu21_distillation, _without("student_complexity", hsu21_distillation, 0.9)),
        Mutant("no Rad(F)", hsu21_distillation, _without("joint_complexity", hsu21_distillation)),
        Mutant("0.9 Rad(F)", hsu21_distillation, _without("joint_complexity", hsu21_distillation, 0.9)),
        Mutant(
            "0.9 Rad of the margins",
            hsu21_distillation_by_margins,
            _without("margin_complexity", hsu21_distillation_by_margins, 0.9),
        ),
        Mutant("0.9 of the complexity", exact_rademacher, scaled(exact_rademacher, 0.9)),
        Mutant("0.9 of 6√", uniform_term, scaled(uniform_term, 0.9)),
        Mutant("no 6√", uniform_term, scaled(uniform_term, 0.0)),
        Mutant("0.9 of 2√", single_term, scaled(single_term, 0.9)),
    ),
    power=Scaled(softmax_distance),
)
def distillation_bound_covers_the_teacher(setting: Setting, /, *, counted: float = 1.0) -> Evidence:
    """With probability at least 1 − δ the teacher's error is at most the student's margin loss and the
    distillation error, each twice, with the complexities and deviations: in the softmax form, in the margin
    form, and for unlabelled points of another law. Both factors 2 and the student's complexity are attained;
    the teacher's is loose by √2 here, the deviations by 6 (by 2 for f and g fixed beforehand).

    Coverage at n = m = 10,000, γ = 1, δ = 0.05, where f or g memorises the points it saw and is wrong by a
    hair elsewhere, so that the error is ½. "attained": the same bounds without their deviations, at the mean
    number of points inside; heights of 1/10, so that the softmax is nearly linear. "deviations": over what
    the number of points inside asks for, at δp = e^{−600}. The complexity of the tables by enumeration of
    signs.
    """
    size, draws = 10_000, setting.size(quick=200, full=1000)
    numbers = setting.stream.child("draws").numpy()
    inside = numbers.binomial(size, (HALF, HALF, HALF / RATIO), size=(draws, 3)).tolist()
    cases = {"student": 1.0, "student, margins": 1.0, "teacher": 0.75, "teacher, other law": 0.75}
    parts: dict[str, Evidence] = {}
    for case, height in cases.items():
        bounds = [
            _bound(_Draw(size, n, other if case.endswith("law") else m, height), case, counted).value
            for n, m, other in inside
        ]
        parts[case] = Coverage.of([HALF] * draws, bounds, delta=DELTA, trivial=1.0)
    return Joint(parts={**parts, **_constants(counted), "complexity of all tables": _complexity_of_tables()})


def _constants(counted: float) -> dict[str, Evidence]:
    """What the terms are of the truth, at the mean number of points inside."""
    same, other = _Draw(1000, 500, 500, 0.1), _Draw(1000, 500, round(500 / RATIO), 0.1)
    ratios = {
        "attained, losses": HALF / _rest(_bound(same, "fixed")),
        "attained, other law": HALF / _rest(_bound(other, "fixed, other law")),
        "attained, Rad(G)": HALF / _rest(_bound(same, "student", counted)),
        "attained, margins": HALF / _rest(_bound(same, "student, margins", counted)),
    }
    terms = _bound(same, "teacher", counted).terms
    needed = HALF - terms["student's loss"] - terms["distillation error"]
    many, tiny = _Draw(40_000, 20_000, 20_000, 0.1), math.exp(LOG_TINY)
    found = [
        bound.terms[name]
        for bound, name in (
            (_bound(many, "teacher", delta=math.sqrt(tiny), weight=math.sqrt(tiny)), DEVIATIONS[0]),
            (_bound(many, "teacher", delta=math.sqrt(tiny), weight=math.sqrt(tiny)), DEVIATIONS[1]),
            (_bound(many, "fixed", delta=tiny), DEVIATIONS[1]),
        )
    ]
    return {
        **{
            name: WorstRatio(attempts=1, ratio=ratio, slack=1e-6, must_reach=0.999)
            for name, ratio in ratios.items()
        },
        "Rad(F) is √2 of what is needed": Identity.of(
            [terms["joint complexity"] / needed], [math.sqrt(2)], tolerance=0.01
        ),
        "deviations": Identity.of(
            np.array(found) / needed_radius(many.size, LOG_TINY), [6.0, 6.0, 2.0], tolerance=0.01
        ),
    }


def _complexity_of_tables() -> Evidence:
    """Rad^vec of all tables on 4 of 6 points, and Rad of their margins, by enumeration of the signs."""
    draw = _Draw(6, 4, 4, 0.8)
    heights = torch.cartesian_prod(*[torch.tensor([0.0, draw.height], dtype=torch.float64)] * 4)
    both = torch.stack([heights, -heights], -1).flatten(1)
    found = [
        exact_rademacher(finite_class(both), 8, points=6),
        exact_rademacher(finite_class(2 * heights), 4, points=6),
    ]
    return Identity.of(found, [draw.complexity(4), 2 * draw.complexity(4)], tolerance=1e-9)
