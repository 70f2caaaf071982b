"""Chapter 5.9: bounds too large to say anything, and what a student takes off them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from kdtheory.bounds.norm_margin import golowich18_margin
from kdtheory.bounds.norms import bartlett17_complexity, golowich18_vector_relu_net, net_norms
from kdtheory.bounds.vc import bartlett19_log_growth, relu_net_size
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Inequality, Joint, MeanInequality, OutOfScope
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import Wrong, constant, value
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.vacuity import (
    FEWEST,
    as_ones,
    norm_bounds_of_memorisers,
    of_one_net,
    students_of_teachers,
    uniform,
    vc_bounds,
)

IMAGES = f"At least {FEWEST} real images."


def _log_of_the_weights(widths: Sequence[int], /, *, n: int, bias: bool = True) -> float:
    return math.log(relu_net_size(widths, bias=bias))


def _growth_over_weights(right: Callable[..., float]) -> Callable[..., float]:
    def wrong(widths: Sequence[int], /, *, n: int, bias: bool = True) -> float:
        return right(widths, n=n, bias=bias) / relu_net_size(widths, bias=bias)

    return wrong


@claim(
    section="5.9",
    formula=r"\Pr[f(x) \ne y] \le \hat e + \sqrt{2 \ln \Pi(n)/n} + \sqrt{\ln(1/\delta)/2n},\quad"
    r" W \ge n \Rightarrow \sqrt{2 \ln \Pi(n)/n} \ge 1",
    source="bartlett2019nearly",
    place="consequence of the bound on the growth function; derived here",
    assumes=("ReLU nets with W ≥ n weights.",),
    experiment=vc_bounds,
    control=Control("the class is taken for a single net", growth=of_one_net),
    mutants=(
        Mutant("ln W for the growth function", bartlett19_log_growth, _log_of_the_weights),
        Mutant("the growth is divided by W", bartlett19_log_growth, Wrong(_growth_over_weights)),
    ),
    power=Scaled(bartlett19_log_growth, towards="less"),
    loose="The bound is above 1, which is all that is said of it.",
    expect=Verdict.VACUOUS,
)
def vc_bound_of_a_net_with_more_weights_than_points_says_nothing(rows: Rows, /) -> Evidence:
    """A ReLU net with at least as many weights as there are points obeys the VC bound, which is at least 1:
    it says nothing, whatever was learned.

    Counted as a single net, the capacity is gone and the memorisers refute the bound.
    """
    return Inequality.of(rows.error, rows.bound, trivial=1.0)


@claim(
    section="5.9",
    formula=r"\Pr[f(x) \ne y] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(m_i/\gamma)"
    r" + 2\operatorname{Rad}(\textstyle\prod_j \lVert W_j \rVert) + 3\sqrt{\ln(2/(\delta p))/2n}",
    source="bartlett2017spectrally",
    place="constants derived here",
    assumes=("ReLU nets; the grid of norms was fixed before the sample was drawn.",),
    experiment=norm_bounds_of_memorisers,
    control=Control("the norms are taken to be 1", read=as_ones),
    mutants=(
        Mutant("all norms are read as 1", net_norms, value(as_ones)),
        Mutant("no complexity by spectral norms", bartlett17_complexity, constant(0.0)),
        Mutant("no complexity by Frobenius norms", golowich18_vector_relu_net, constant(0.0)),
    ),
    power=Scaled(golowich18_margin, towards="less"),
    loose="Both bounds are far above 1, which is all that is said of them.",
    expect=Verdict.VACUOUS,
)
def norm_bounds_of_memorisers_hold_and_say_nothing(rows: Rows, /) -> Evidence:
    """Nets that memorise obey the margin bounds by Frobenius and by spectral norms, at levels above 1.

    With norms of one the Frobenius bound is below ½ and refuted; that by spectral norms is above it even so,
    and needs its complexity all the same.
    """
    return Joint(
        parts={name: Inequality.of([0.5] * len(found), found, trivial=1.0) for name, found in rows.items()},
        notes={
            f"log10, {name}": [round(math.log10(one), 2) for one in found] for name, found in rows.items()
        },
    )


@claim(
    section="5.9",
    formula=r"\mathrm{bound}(g) + 2\Phi^{TV}(f, g) \approx \mathrm{bound}(g') + 2\Phi^{TV}(f, g')"
    r" < \tfrac12\,\mathrm{bound}(f),\quad g \text{ of } f,\ g' \text{ of the labels}",
    source="hsu2021generalization",
    place="Figure 1, in small nets; found here",
    assumes=(IMAGES,),
    experiment=students_of_teachers,
    control=(
        Control("there is no weight decay", weight_decay=0.0),
        Control("the students' targets are uniform", targets=uniform),
    ),
    mutants=(Mutant("all norms are read as 1", net_norms, value(as_ones)),),
    power=Scaled(golowich18_margin),
    loose="Teachers and students are measured by the same bound: a factor common to both is not seen.",
    cost=3,
)
def weight_decay_and_not_distillation_lowers_the_norm_bound(rows: Rows, /) -> Evidence:
    """In small nets what lowers the norm bound that a teacher inherits from a student of its own shape, the
    distillation error added, is the student's weight decay and not the distillation: students of the labels,
    with the same decay, bring as much. It is between a factor of two and ten, no powers of ten.

    Logarithms to the base 10, one pair a teacher; Φ^TV is to be at most 0.15. The published figure (residual
    nets) has powers of ten, with no student of labels beside it.
    """
    if rows.images < FEWEST:
        return OutOfScope(assumption=IMAGES, because=f"there are {rows.images}")
    students = {"distilled": rows.distilled, "of labels": rows.of_labels}
    lower = {
        f"{name}, by a factor of two": MeanInequality.of(low + math.log10(2), rows.teacher)
        for name, low in students.items()
    }
    return Joint(
        parts={
            **lower,
            "alike": Equality.of(rows.distilled, rows.of_labels, margin=0.2, effect=1.0),
            "no power of ten": MeanInequality.of(rows.teacher, rows.distilled + 1),
            "distillation error": MeanInequality.of(rows.distance, torch.full_like(rows.distance, 0.15)),
        },
        notes={"log10 of the teachers'": rows.teacher.tolist()}
        | {f"log10, {name}": low.tolist() for name, low in students.items()},
    )
