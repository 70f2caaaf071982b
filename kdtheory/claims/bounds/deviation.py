"""Chapter 5.5: a Rademacher complexity bounds the means of a whole class at once (Bartlett & Mendelson,
2002)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import special, stats

from kdtheory.bounds.deviation import bartlett02_deviation_radius
from kdtheory.bounds.rademacher import exact_rademacher, finite_class
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius

DELTA = 0.05
HALF = 0.5


def _terms(complexities: float, deviation: float) -> Callable[..., float]:
    """A radius of so many complexities, and a share of the deviation."""

    def wrong(
        complexity: float,
        /,
        *,
        n: int,
        delta: float,
        _true: Callable[..., float] = bartlett02_deviation_radius,
    ) -> float:
        return complexities * complexity + deviation * _true(0.0, n=n, delta=delta)

    return wrong


@claim(
    section="5.5",
    formula=r"\mathbb E h \le \tfrac1n\textstyle\sum_i h(x_i) + 2\,\widehat{\operatorname{Rad}}_n(H)"
    r" + 3\sqrt{\ln(2/\delta)/2n}\quad \forall h\in H",
    source="bartlett2002rademacher",
    place="constants derived here",
    assumes=("h takes values in [0, 1].", "The class was fixed before the sample was drawn."),
    control=Control("the class is taken for a single function", counted="one function"),
    uses=(bartlett02_deviation_radius, exact_rademacher),
    mutants=(
        Mutant("the complexity is left out", bartlett02_deviation_radius, _terms(0.0, 1.0)),
        Mutant("the complexity once", bartlett02_deviation_radius, _terms(1.0, 1.0)),
        Mutant("1.8 complexities", bartlett02_deviation_radius, _terms(1.8, 1.0)),
        Mutant("2.2 complexities", bartlett02_deviation_radius, _terms(2.2, 1.0)),
        Mutant("no deviation", bartlett02_deviation_radius, _terms(2.0, 0.0)),
        Mutant("0.9 of the deviation", bartlett02_deviation_radius, _terms(2.0, 0.9)),
        Mutant("0.9 of the complexity", exact_rademacher, scaled(exact_rademacher, 0.9)),
    ),
    power=Scaled(bartlett02_deviation_radius),
)
def rademacher_bound_covers_a_rich_class(setting: Setting, /, *, counted: str = "all tables") -> Evidence:
    """With probability at least 1 − δ every function of the class has mean at most its sample mean plus
    twice the class's empirical Rademacher complexity plus 3√(ln(2/δ)/2n); for the class of all tables both
    complexities are needed, and a third of the deviation.

    Half of all points are new at each draw, and the class holds every table of 0 and 1 on them, nothing on
    the others; of its functions of mean ½ the one that the sample does not see has mean 0 there. With K of n
    points in that half, K ~ Bin(n, ½), the complexity is K/2n: enumerated for n = 8. "covers": P[miss] by
    enumeration of K, n = 1,000 and 40,000. "two complexities": at K = n/2 they alone are the mean. "a third
    of the deviation": what K's fluctuation asks for, at δ = e^{−600} and n = 40,000.
    """
    share = 1.0 if counted == "all tables" else 0.0
    size, inside = 8, setting.size(quick=5, full=6)
    tables = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * inside)
    whole = torch.cat([tables, torch.zeros(len(tables), size - inside)], 1)
    chances = []
    for n in (1000, 40_000):
        spread = round(4 * math.sqrt(n))
        seen = np.arange(n // 2 - spread, n // 2 + spread)
        radii = np.array(
            [bartlett02_deviation_radius(share * k / (2 * n), n=n, delta=DELTA) for k in seen.tolist()]
        )
        chance = stats.binom.logpmf(seen, n, HALF)
        chances.append(float(np.exp(special.logsumexp(np.where(radii < HALF, chance, -np.inf)))))
    n, delta = 40_000, math.exp(LOG_TINY)
    deviation = bartlett02_deviation_radius(0.0, n=n, delta=delta)
    both = bartlett02_deviation_radius(share / 4, n=n, delta=delta) - deviation
    return Joint(
        parts={
            "complexity of all tables": Identity.of(
                [exact_rademacher(finite_class(whole), size)], [inside / (2 * size)], tolerance=1e-9
            ),
            "covers": Inequality.of(chances, [DELTA] * len(chances)),
            "two complexities": WorstRatio(
                attempts=1, ratio=HALF / max(both, 1e-9), slack=1e-6, must_reach=0.999
            ),
            "a third of the deviation": Identity.of(
                [deviation / needed_radius(n, LOG_TINY)], [3.0], tolerance=0.02
            ),
        }
    )
