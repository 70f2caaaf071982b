"""Chapter 6.5: the transfer risk and the tail of angles (Ji & Zhu, 2020), where it speaks and where not."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.angles import (
    bounds_of_linear_students,
    bounds_of_trained_nets,
    bounds_on_images,
    bounds_on_the_circle,
    bounds_on_the_far_side,
    estimated_tails_of_angles,
)
from kdtheory.transfer_risk import acute_angles, dkw_width, ji20_transfer_risk

SOURCE = "ji2020knowledge"
EVERY = "The bound is taken on the points on which the risk is."
PERFECT = "The teacher is perfect, so that Δŵ is the projection of Δw_* and sin ᾱ_n = ρ_n/‖Δw_*‖."


def chance_below(tail: Callable[[float], float], angle: float, /) -> float:
    """The chance of an angle below π/2 − ᾱ_n."""
    return 1 - tail(math.pi / 2 - angle)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n),\quad"
    r" p(\beta) = \Pr_x[\bar\alpha(\varphi(x), \Delta w_*) \ge \beta]",
    source=SOURCE,
    place="the transfer risk bound; proof and attained case derived here",
    assumes=(EVERY, PERFECT),
    experiment=(
        bounds_on_the_circle,
        bounds_of_linear_students,
        bounds_on_the_far_side,
        bounds_of_trained_nets,
    ),
    control=Control("ᾱ_n is read from the norms although another oracle gives the labels", strayed=1.0),
    mutants=(
        Mutant("nine tenths of the angle", ji20_transfer_risk, arguments(lambda tail, a: (tail, 0.9 * a))),
        Mutant("half of the angle", ji20_transfer_risk, arguments(lambda tail, angle: (tail, angle / 2))),
        Mutant("the chance of angles below", ji20_transfer_risk, chance_below),
        Mutant("the cosine for the angle", acute_angles, value(torch.cos)),
    ),
    power=Scaled(ji20_transfer_risk),
    cost=2,
)
def transfer_risk_is_below_the_tail_of_angles(
    wide: Rows, linear: Rows, far_side: Rows, nets: Rows, /
) -> Evidence:
    """The signs of student and oracle differ on at most the share p(π/2 − ᾱ_n) of the points, for every draw;
    in two dimensions that says something, and where all points lie on the far side of the boundary it is
    attained.
    """
    worlds = {"infinitely wide": wide, "linear": linear, "far side": far_side, "nets": nets}
    parts: dict[str, Evidence] = {
        name: Inequality.of(rows.risk, rows.by_angles, slack=1e-12, trivial=0.5)
        for name, rows in worlds.items()
    }
    return Joint(parts=parts | {"attained": Identity.of(far_side.risk, far_side.by_angles, tolerance=1e-9)})


@claim(
    section="6.5",
    formula=r"\Pr\bigl[\sup_\beta\, p(\beta) - \hat p(\beta) > \sqrt{\ln(1/\delta)/2m}\bigr] \le \delta",
    source="massart1990tight",
    place="the one-sided inequality",
    assumes=("m independent points.", "δ ≤ ½."),
    experiment=estimated_tails_of_angles,
    control=Control("the points are counted twice", counted=2),
    mutants=(
        Mutant("√2 too narrow", dkw_width, scaled(0.5**0.5)),
        Mutant("δ is forgotten", dkw_width, given(delta=1 / math.e)),
    ),
    power=Scaled(dkw_width, towards="less"),
)
def band_covers_the_tail_of_angles_everywhere(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ the tail of angles is below its estimate plus √(ln(1/δ)/2m) at every
    angle at once.
    """
    return Coverage.of(rows.excess, rows.width, delta=rows.delta)


@claim(
    section="6.5",
    formula=r"R_n \le p(\tfrac{\pi}{2} - \bar\alpha_n) \approx 1\text{ on images}",
    source=SOURCE,
    place="the transfer risk bound; that it says nothing is found here",
    assumes=(EVERY, PERFECT),
    experiment=bounds_on_images,
    control=Control("the angle between student and oracle is left out", angles=0.0),
    mutants=(Mutant("the chance of angles below", ji20_transfer_risk, chance_below),),
    expect=Verdict.VACUOUS,
    loose="a bound that says nothing: it still says nothing a quarter lower",
)
def bound_by_angles_says_nothing_on_images(rows: Rows, /) -> Evidence:
    """On real images the transfer risk is below p(π/2 − ᾱ_n), which is above one half, what a coin gives,
    even where the student hardly errs: nearly all features are nearly orthogonal to the oracle.
    """
    notes = {"n": rows.n, "risk": rows.risk, "bound": rows.by_angles}
    return Inequality.of(rows.risk, rows.by_angles, trivial=0.5, notes=notes)
