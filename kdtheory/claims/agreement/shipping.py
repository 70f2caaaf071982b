"""Networks that can be shipped in the teacher's stead, and the certificates of all three together."""

from __future__ import annotations

import math

import numpy as np

from kdtheory.bounds.product import fisher32_log_level
from kdtheory.claims.bounds.wrong import delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import scaled, shifted
from kdtheory.experiments import Rows
from kdtheory.experiments.agreement.shipping import three_networks_on_one_holdout
from kdtheory.inversion import binomial_upper_limit


@claim(
    section="9.7",
    formula=r"\Pr\bigl[\mathrm{err}(g) \le U_g,\ \mathrm{err}(h) \le U_h,\ \mathrm{err}(f) \le U_f\bigr]"
    r" \ge 1 - \delta",
    source="clopper1934use",
    place="derived here",
    assumes=(
        "Witness and distilled network have seen no label of the hold-out, and the recipe depends on none.",
        "The points without labels were drawn after teacher and witness were fixed.",
    ),
    experiment=three_networks_on_one_holdout,
    control=Control("the distilled network has learned the labels that test it", labels_learned=1.0),
    mutants=(
        Mutant("four fifths of each limit", binomial_upper_limit, scaled(0.8)),
        Mutant("half as much again", binomial_upper_limit, scaled(1.5)),
        Mutant("1.1 δ", binomial_upper_limit, delta_times(1.1)),
        Mutant("0.9 δ", binomial_upper_limit, delta_times(0.9)),
        Mutant("the level of the product is e² times as high", fisher32_log_level, shifted(2.0)),
        Mutant("1.1 times as high", fisher32_log_level, shifted(math.log(1.1))),
        Mutant("0.9 times as high", fisher32_log_level, shifted(math.log(0.9))),
    ),
    power=Scaled(binomial_upper_limit, towards="less"),
)
def teacher_witness_and_distilled_network_are_certified_by_one_holdout(rows: Rows, /) -> Evidence:
    """One hold-out certifies a witness, a network distilled from it without these labels, and a teacher that
    has seen them all, at δ for the three together: the two that can be shipped need not pay for how often the
    teacher leaves them.

    "each": each of the three is missed with a third of δ at most, and "attained": in the worst world with
    0.99 of it, the teacher's with 0.8. "need not pay": the witness's limit is below that of a teacher who
    never leaves it. "level": where nothing was wrong and nothing differed at n points, the limits are those
    of which (1 − w)ⁿ and c(1 − ln c), c = (1 − f/2)²ⁿ, are a third of δ, the second to a fiftieth.
    """
    worst, third = rows.each.max(0), rows.delta / 3
    points = math.log(third) / math.log1p(-rows.of_witness[0])
    log_c = 2 * points * math.log1p(-rows.of_teacher[0] / 2)
    return Joint(
        parts={
            "together": Inequality.of(rows.missed, np.full(len(rows.missed), rows.delta), slack=1e-9),
            "each": Inequality.of(worst, np.full(3, third), slack=1e-9),
            "attained": Inequality.of(third * np.array([0.99, 0.99, 0.8]), worst),
            "need not pay": Inequality.of(rows.of_witness, rows.of_teacher),
            "level": Identity.of([math.exp(log_c) * (1 - log_c)], [third], tolerance=0.02),
        }
    )
