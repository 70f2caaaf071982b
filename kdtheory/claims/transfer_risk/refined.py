"""Chapter 6.6: the power function refines the bound by angles."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import arguments, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.angles import (
    bounds_on_images,
    bounds_on_the_circle,
    furthest_misses_of_students,
)
from kdtheory.transfer_risk import label_free_transfer_risk, nested_students, power_function_transfer_risk

SOURCE = "ji2020knowledge"
PERFECT = "The teacher is perfect: Δŵ is the projection of Δw_*."


@claim(
    section="6.6",
    formula=r"R_n \le \Pr_x[|z_s| + |z_*| \le P_n\rho_n] \le p(\tfrac{\pi}{2} - \bar\alpha_n),\quad"
    r" P_n^2 = K(x,x) - k_x^\top\Theta^{-1}k_x,\ \rho_n^2 = \|\Delta w_*\|^2 - \|\Delta\hat w\|^2",
    source=SOURCE,
    place="derived here",
    assumes=(PERFECT,),
    experiment=(bounds_on_the_circle, bounds_on_images),
    control=Control("the students learn from another oracle than the one that the bounds know", strayed=1.0),
    mutants=(
        Mutant("ρ_n² for ρ_n", power_function_transfer_risk, arguments(lambda s, o, p, r: (s, o, p, r**2))),
        Mutant(
            "a hundredth of P_nρ_n",
            power_function_transfer_risk,
            arguments(lambda student, oracle, power, norm: (student, oracle, power, 0.01 * norm)),
        ),
        Mutant(
            "P_n is forgotten",
            power_function_transfer_risk,
            arguments(lambda student, oracle, power, norm: (student, oracle, power * 0 + 1e3, norm)),
        ),
        Mutant(
            "a fiftieth of P_nρ_n without labels",
            label_free_transfer_risk,
            arguments(lambda student, power, norm: (student, power, 0.02 * norm)),
        ),
    ),
    power=Scaled(power_function_transfer_risk, towards="less"),
)
def power_function_refines_the_bound_by_angles(circle: Rows, images: Rows, /) -> Evidence:
    """The transfer risk is at most the share of points with |z_s| + |z_*| ≤ P_nρ_n, which is never above the
    bound by angles; without the oracle's values, |z_s| ≤ P_nρ_n is a bound too.

    For every draw. On the circle that says something.
    """
    below = torch.cat([images.risk, images.refined, images.risk])
    above = torch.cat([images.refined, images.by_angles, images.label_free])
    return Joint(
        parts={
            "risk": Inequality.of(circle.risk, circle.refined, trivial=0.5),
            "never above the angles": Inequality.of(circle.refined, circle.by_angles, trivial=1.0),
            "without labels": Inequality.of(circle.risk, circle.label_free, trivial=0.5),
            "images": Inequality.of(below, above, trivial=0.5),
        }
    )


@claim(
    section="6.6",
    formula=r"|z_s(x) - z_*(x)| \le P_n(x)\,\rho_n",
    source=SOURCE,
    place="derived here",
    assumes=(PERFECT,),
    experiment=furthest_misses_of_students,
    control=Control("the teacher is wrong on a share of the points", flipped=0.3),
    mutants=(Mutant("half of P_n", nested_students, scaled(0.5, entry="power")),),
    power=Scaled(nested_students, entry="power"),
)
def no_student_misses_its_oracle_by_more_than_the_power_function(rows: Rows, /) -> Evidence:
    """A student is nowhere further from its oracle than P_n(x)ρ_n, and for every point there is an oracle
    with which it is that far: the inequality behind the refined bound cannot be improved.

    Cauchy–Schwarz on what the projection leaves. The search must come within one per mille.
    """
    return WorstRatio(attempts=rows.attempts, ratio=rows.ratio, slack=1e-6, must_reach=0.999)
