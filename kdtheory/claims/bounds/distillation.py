"""Chapter 5.6: the distillation bound, where memorising makes its terms necessary (Hsu et al., 2021)."""

from __future__ import annotations

import math

from kdtheory.bounds.deviation import single_term, uniform_term
from kdtheory.bounds.distillation import hsu21_distillation, hsu21_distillation_by_margins
from kdtheory.bounds.margins import margin_surrogate, softmax_confidence, softmax_distance
from kdtheory.bounds.rademacher import exact_rademacher
from kdtheory.claims.bounds.wrong import delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, WorstRatio
from kdtheory.claims.wrong import Wrong, given, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.distillation import (
    DELTA,
    HALF,
    distillation_bounds_of_memorisers,
    terms_of_the_distillation_bound,
)


def _share_of(name: str, share: float) -> Wrong:
    """The bound with a share of one of the complexities that it is told, if it is told any."""
    return given(**{name: lambda told: None if told is None else share * told})


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
    experiment=(distillation_bounds_of_memorisers, terms_of_the_distillation_bound),
    control=Control("the complexities are dropped", counted=0.0),
    mutants=(
        Mutant("half the distillation error", softmax_distance, scaled(0.5)),
        Mutant("0.9 of the distillation error", softmax_distance, scaled(0.9)),
        Mutant("the student's loss once, not twice", softmax_confidence, value(lambda own: (1 + own) / 2)),
        Mutant("0.9 of the margin surrogate", margin_surrogate, scaled(0.9)),
        Mutant("no Rad(G)", hsu21_distillation, _share_of("student_complexity", 0.0)),
        Mutant("0.9 Rad(G)", hsu21_distillation, _share_of("student_complexity", 0.9)),
        Mutant("no Rad(F)", hsu21_distillation, _share_of("joint_complexity", 0.0)),
        Mutant("0.9 Rad(F)", hsu21_distillation, _share_of("joint_complexity", 0.9)),
        Mutant("0.9 Rad of the margins", hsu21_distillation_by_margins, _share_of("margin_complexity", 0.9)),
        Mutant("0.9 of the complexity", exact_rademacher, scaled(0.9)),
        Mutant("0.9 of 6√", uniform_term, scaled(0.9)),
        Mutant("no 6√", uniform_term, scaled(0.0)),
        Mutant("0.9 of 2√", single_term, scaled(0.9)),
        Mutant("ln(2/(δp)) for ln(4/(δp))", uniform_term, delta_times(2)),
        Mutant("ln(1/δ) for ln(2/δ) in 2√", single_term, delta_times(2)),
    ),
    power=Scaled(softmax_distance),
    cost=2,
)
def distillation_bound_covers_the_teacher(bounds: Rows, terms: Rows, /) -> Evidence:
    """With probability at least 1 − δ the teacher's error is at most the student's margin loss and the
    distillation error, each twice, with the complexities and deviations: in the softmax form, in the margin
    form, and for unlabelled points of another law. Both factors 2 and the student's complexity are attained;
    the teacher's is loose by √2 here, the deviations by 6 (by 2 for f and g fixed beforehand).

    "attained": by the bounds without their deviations. "as printed": the deviations where δ is large, and the
    4 in the logarithm counts.
    """
    printed = [6 * math.sqrt(math.log(16) / 2000)] * 2 + [2 * math.sqrt(math.log(4) / 2000)]
    covered = {
        name.replace("_", " "): Coverage.of([HALF] * len(found), found, delta=DELTA, trivial=1.0)
        for name, found in bounds.items()
    }
    attained = {
        f"attained, {name}": WorstRatio(attempts=1, ratio=HALF / found, slack=1e-6, must_reach=0.999)
        for name, found in {
            "losses": terms.losses,
            "other law": terms.other_law,
            "Rad(G)": terms.student,
            "margins": terms.by_margins,
        }.items()
    }
    return Joint(
        parts={
            **covered,
            **attained,
            "Rad(F) is √2 of what is needed": Identity.of([terms.joint], [math.sqrt(2)], tolerance=0.01),
            "deviations": Identity.of(terms.deviations, [6.0, 6.0, 2.0], tolerance=0.01),
            "as printed": Identity.of(terms.at_large_delta, printed, tolerance=1e-9),
            "complexity of all tables": Identity.of(terms.enumerated, terms.complexity, tolerance=1e-9),
        }
    )
