"""Chapter 6.8: how fast the transfer risk falls, and how the notes' parenthesis is to be closed."""

from __future__ import annotations

import math
from dataclasses import replace

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Joint, Rate
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, value
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.slab import (
    angle_itself,
    closed_after_the_angle,
    closed_at_the_end,
    students_in_the_slab,
)
from kdtheory.transfer_risk import ji20_transfer_risk, nested_students


@claim(
    section="6.8",
    formula=r"p(\beta) \le c(\tfrac\pi2 - \beta)^b,\ \bar\alpha_n = O(n^{-1/2})"
    r"\ \Rightarrow\ R_n \le p(\tfrac\pi2 - \bar\alpha_n) = O(n^{-b/2})",
    source="ji2020knowledge",
    place="the rate of the transfer risk; both conditions are spelt out here",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2.", "ᾱ_n = O(n^{−1/2})."),
    experiment=students_in_the_slab,
    control=(
        Control("ᾱ_n falls like n^{−1/4}: only √n of the n points are distinct", distinct=0.5),
        Control("the tail p has half the exponent: more points lie close to the boundary", tail=0.5),
    ),
    mutants=(
        Mutant("the root of the angle", ji20_transfer_risk, arguments(lambda tail, a: (tail, a**0.5))),
        Mutant("the square of the angle", ji20_transfer_risk, arguments(lambda p, a: (p, min(a**2, 1.5)))),
        Mutant("b is forgotten", ji20_transfer_risk, lambda _tail, angle, /: math.sin(angle)),
        Mutant(
            "students of one to four points",
            nested_students,
            given(sizes=lambda sizes: range(1, len(sizes) + 1)),
        ),
        Mutant(
            "the squares of the students' outputs",
            nested_students,
            value(lambda found: replace(found, outputs=found.outputs.sign() * found.outputs.square())),
        ),
    ),
    loose="exponents: a constant factor moves no slope",
    cost=2,
)
def transfer_risk_falls_at_half_the_margin_exponent(rows: Rows, /) -> Evidence:
    """Where p(β) ≤ c(π/2 − β)^b near π/2 and ᾱ_n = O(n^{−1/2}), bound and transfer risk fall at least like
    n^{−b/2}, and in the slab no faster. Without the one condition or the other they fall more slowly.

    Slopes within 0.15·b of −b/2.
    """
    parts: dict[str, Evidence] = {}
    for b, bounds, risks in zip(rows.exponent, rows.falling, rows.risk, strict=True):
        for name, values in (("bound", bounds), ("risk", risks)):
            for how, table, slope in (("falls", values, -b / 2), ("no faster", 1 / values, b / 2)):
                parts[f"{name}, b = {b}: {how}"] = Rate.of(
                    rows.n, table, expected=slope, margin=0.15 * b, one_sided=True
                )
    return Joint(parts=parts)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n = \mathcal O(n^{-b/2})",
    source="shen2021deep",
    place="Section 8",
    assumes=("p(β) ≤ c(π/2 − β)^b near π/2, and a flat spectrum.", "b is not 1, where both readings agree."),
    experiment=students_in_the_slab.given(closed=closed_at_the_end),
    control=Control(
        "closed after the angle: it is p(π/2 − ᾱ_n) that is O(n^{−b/2})", closed=closed_after_the_angle
    ),
    mutants=(Mutant("the angle to the power b", angle_itself, lambda tail, angle, /: angle**tail.exponent),),
    expect=Verdict.REFUTED,
    reading="the parenthesis that is never closed is closed at the end",
    loose="exponents: a constant factor moves no slope",
)
def angle_of_the_student_falls_at_half_the_margin_exponent(rows: Rows, /) -> Evidence:
    """The notes print R_n ≤ p(π/2 − ᾱ_n = O(n^{−b/2}) and never close the parenthesis. Closed at the end, it
    is the angle ᾱ_n that falls like n^{−b/2}, with the exponent of the tail.

    It falls like n^{−1/2} whatever b is: b = 2 and 3, slopes within 0.1·b. A reader closes it in the obvious
    place, after the angle.
    """
    both = zip(rows.exponent[1:], rows.falling[1:], strict=True)
    return Joint(
        parts={f"b = {b}": Rate.of(rows.n, values, expected=-b / 2, margin=0.1 * b) for b, values in both}
    )
