"""Chapter 6.10: a fast rate where few points lie close to the teacher's boundary (Phuong & Lampert, 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint
from kdtheory.experiments.transfer_risk.finite_laws import leaning_law, power_tail
from kdtheory.transfer_risk import (
    phuong19_margin_rate,
    phuong19_student,
    phuong19_transfer_risk,
    transfer_risk,
)

EXPONENTS = (1.0, 2.0, 3.0)
Tail = Callable[[float], float]


def _once_for_all(
    tail: Tail, /, *, n: int, _true: Callable[..., tuple[float, float]] = phuong19_transfer_risk
) -> tuple[float, float]:
    return _true(tail, n=1)


def _one_term(n: int, /, *, exponent: float) -> float:
    return float(1 / n**exponent)


def _other_term(n: int, /, *, exponent: float) -> float:
    return float(math.log(n) ** exponent / n**exponent)


def _tenth_larger(n: int, /, *, exponent: float, _true: Callable[..., float] = phuong19_margin_rate) -> float:
    return 1.1 * _true(n, exponent=exponent)


def _no_logarithm(n: int, /, *, exponent: float) -> float:
    return float(2 / n**exponent)


def _larger_exponent(
    n: int, /, *, exponent: float, _true: Callable[..., float] = phuong19_margin_rate
) -> float:
    return _true(n, exponent=1.1 * exponent)


def _exponential(n: int, /, *, exponent: float) -> float:
    return math.exp(-exponent * n)


@claim(
    section="6.10",
    formula=r"p(\theta) \le (1 - 2\theta/\pi)^\kappa \Rightarrow"
    r" \mathbb E\,R_n \le \frac{1 + (\ln n)^\kappa}{n^\kappa}",
    source="phuong2019towards",
    place="consequence of Theorem 3; this form derived here",
    assumes=("p(θ) ≤ (1 − 2θ/π)^κ.",),
    control=Control("more points lie near the boundary: p(θ) = (1 − 2θ/π)^{0.4κ}", share=0.4),
    uses=(phuong19_margin_rate, phuong19_transfer_risk, phuong19_student, transfer_risk),
    mutants=(
        Mutant("(ln n)^κ is forgotten", phuong19_margin_rate, _one_term),
        Mutant("the 1 is forgotten", phuong19_margin_rate, _other_term),
        Mutant("no logarithm", phuong19_margin_rate, _no_logarithm),
        Mutant("a tenth larger", phuong19_margin_rate, _tenth_larger),
        Mutant("κ a tenth larger", phuong19_margin_rate, _larger_exponent),
        Mutant("exponential in n", phuong19_margin_rate, _exponential),
        Mutant("p(π/2 − β) for its n-th power", phuong19_transfer_risk, _once_for_all),
    ),
    power=Scaled(phuong19_margin_rate),
)
def separated_points_give_a_fast_rate(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """Where few points lie close to the teacher's boundary, p(θ) ≤ (1 − 2θ/π)^κ, the expected transfer risk
    of linear students is at most (1 + (ln n)^κ)/n^κ, which falls faster than 1/n for κ > 1.

    As an upper edge of p(β) + p(π/2 − β)ⁿ at its best β, for κ = 1, 2, 3 and n = 2 to 1000; at κ = 1 and from
    n = 40 on it is within 5 per cent of that. And as a bound on the exact expected risk, under laws of the
    plane with this tail whose students err most, n = 2 to 40. For risks its constant is loose: the notes have
    the largest share of the bound that a risk came to, for each κ.
    """
    sizes = (2, 5, 10, 40, 200, 1000)
    rates, bounds = torch.zeros(2, 3, len(sizes), dtype=torch.float64)
    risks, shares = [], {}
    for row, exponent in enumerate(EXPONENTS):
        for column, n in enumerate(sizes):
            rates[row, column] = phuong19_margin_rate(n, exponent=exponent)
            bounds[row, column] = phuong19_transfer_risk(partial(power_tail, share * exponent), n=n)[0]
        risks.append(_worst_risks(share * exponent, sizes[:4]))
        shares[f"κ = {exponent:g}"] = float((risks[-1] / rates[row, :4]).max())
    return Joint(
        parts={
            "above the tail of angles": Inequality.of(bounds, rates),
            "near it": Inequality.of(0.95 * rates[0, 3:], bounds[0, 3:]),
            "above the risk": Inequality.of(torch.stack(risks), rates[:, :4], trivial=1.0),
        },
        notes={"largest share of the bound": shares},
    )


def _worst_risks(exponent: float, sizes: tuple[int, ...]) -> Tensor:
    """The largest exact risks under leaning laws with p(θ) ≤ (1 − 2θ/π)^κ, for each n."""
    found = []
    for rare in np.geomspace(1e-3, 0.2, 12).tolist():
        near = rare ** (1 / exponent)  # the tail at the rare points' angle is their probability
        likely = power_tail(exponent, near * math.pi / 2) - rare
        if likely > 0:
            margin = near * math.pi / 2
            law = leaning_law(rare=rare, margin=0.999 * margin, lean=margin, certain=1 - rare - likely)
            found.append(law.expected_risk(sizes))
    return torch.stack(found).amax(0)
