"""Chapter 5.5: a Rademacher complexity bounds the means of a whole class at once (Bartlett & Mendelson,
2002)."""

from __future__ import annotations

import math

import torch

from kdtheory.bounds.deviation import bartlett02_deviation_radius
from kdtheory.bounds.rademacher import exact_rademacher, finite_class
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence

DELTA = 0.05


def _deviation_alone(complexity: float, /, *, n: int, delta: float) -> float:
    return 3 * math.sqrt(math.log(2 / delta) / (2 * n))


def _delta_to_one(complexity: float, /, *, n: int, delta: float) -> float:
    return complexity


@claim(
    section="5.5",
    formula=r"\mathbb E h \le \tfrac1n\textstyle\sum_i h(x_i) + 2\,\widehat{\operatorname{Rad}}_n(H)"
    r" + 3\sqrt{\ln(2/\delta)/2n}\quad \forall h\in H",
    source="bartlett2002rademacher",
    assumes=("h takes values in [0, 1].", "The class was fixed before the sample was drawn."),
    control=Control("the class is taken for a single function", counted="one function"),
    uses=(bartlett02_deviation_radius, exact_rademacher),
    mutants=(
        Mutant("the complexity is left out", bartlett02_deviation_radius, _deviation_alone),
        Mutant("the complexity once, no deviation", bartlett02_deviation_radius, _delta_to_one),
    ),
)
def rademacher_bound_covers_a_rich_class(setting: Setting, /, *, counted: str = "all tables") -> Evidence:
    """With probability at least 1 − δ every function of the class has mean at most its sample mean plus
    twice the class's empirical Rademacher complexity plus 3√(ln(2/δ)/2n).

    The class: the errors of all tables that give each of s = 800 cells a label, which memorise; labels are
    fair coins, so that every risk is exactly ½. n = 1,600 points, δ = 0.05, the table that fits the sample
    best; the complexity is exact, cell by cell.
    """
    draws, n, cells = setting.size(quick=300, full=3000), 1600, 800
    table = torch.tensor([0.0, *(_two_labels(size) for size in range(1, 15))], dtype=torch.float64)
    means, radii = [], []
    for draw in range(draws):
        generator = setting.stream.child(draw).torch()
        cell = torch.randint(cells, (n,), generator=generator)
        label = torch.randint(2, (n,), generator=generator)
        counts = torch.bincount(2 * cell + label, minlength=2 * cells).view(cells, 2)
        complexity = float(table[counts.sum(-1).clamp_max(14)].sum()) / n if counted == "all tables" else 0.0
        radii.append(bartlett02_deviation_radius(complexity, n=n, delta=DELTA))
        means.append(float(counts.amin(-1).sum()) / n)
    bound = torch.tensor(means, dtype=torch.float64) + torch.tensor(radii, dtype=torch.float64)
    return Coverage.of(torch.full_like(bound, 0.5), bound, delta=DELTA, trivial=1.0)


def _two_labels(size: int) -> float:
    """size · Rad of the two constant labels' errors on a cell of so many points."""
    both = torch.stack([torch.zeros(size), torch.ones(size)]).double()
    return size * exact_rademacher(finite_class(both), size)
