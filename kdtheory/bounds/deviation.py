"""From a Rademacher complexity to a bound that holds for a whole class at once."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from kdtheory.bounds.assumptions import CLASS_FIXED, DRAWN
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite, check_flags, check_fraction

__all__ = ["bartlett02_deviation", "bartlett02_deviation_radius", "hoeffding63_radius"]


@door
def uniform_term(n: int, delta: float) -> float:
    """3√(ln(2/δ)/2n), what is left of the radius when the class has no complexity.

    Raises:
        ValueError: n < 1 or δ outside (0, 1).

    >>> round(uniform_term(2, 2 * math.exp(-4)), 6)
    3.0
    """
    check_at_least("n", n, 1)
    check_fraction("delta", delta, open_interval=True)
    return 3 * math.sqrt((math.log(2) - math.log(delta)) / (2 * n))


@door
def single_term(n: int, delta: float) -> float:
    """√(ln(1/δ)/2n), the radius of one function that was fixed in advance.

    Raises:
        ValueError: n < 1 or δ outside (0, 1).

    >>> round(single_term(2, math.exp(-4)), 6)
    1.0
    """
    check_at_least("n", n, 1)
    check_fraction("delta", delta, open_interval=True)
    return math.sqrt(-math.log(delta) / (2 * n))


@door
def hoeffding63_radius(n: int, /, *, delta: float) -> float:
    """√(ln(1/δ)/2n): E h ≤ mean h + radius w.p. ≥ 1−δ for one h ∈ [0, 1] fixed in advance (Hoeffding, 1963).

    Raises:
        ValueError: n < 1 or δ outside (0, 1).

    >>> round(hoeffding63_radius(2, delta=math.exp(-1)), 6)
    0.5
    """
    return single_term(n, delta)


@door
def bartlett02_deviation_radius(complexity: float, /, *, n: int, delta: float) -> float:
    """2·Rad̂_n(H) + 3√(ln(2/δ)/2n): E h ≤ mean h + radius w.p. ≥ 1−δ for all h ∈ H at once, h ∈ [0, 1].

    Bartlett & Mendelson (2002), constants derived here: McDiarmid's inequality for sup_h (E h − mean h) and
    again for Rad̂_n, each with δ/2; a point moves either by at most 1/n.

    Args:
        complexity: Rad̂_n(H) on the sample's own points, or an upper bound on it.
        n: the sample size.
        delta: δ.

    Raises:
        ValueError: the complexity is negative, n < 1, or δ outside (0, 1).

    >>> round(bartlett02_deviation_radius(0.1, n=2, delta=2 / math.e), 6)  # 0.2 + 3/2
    1.7
    """
    check_at_least("n", n, 1)
    check_fraction("delta", delta, open_interval=True)
    if not 0 <= complexity < math.inf:
        raise ValueError(f"complexity = {complexity} must be finite and at least 0")
    return 2 * complexity + uniform_term(n, delta)


@door
def bartlett02_deviation(
    values: Float[Tensor, "n"],
    /,
    *,
    complexity: float,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """E h ≤ mean h + 2·Rad̂_n(H) + 3√(ln(2/δ)/2n), for whichever h of the class the sample led to.

    Bartlett & Mendelson (2002), constants derived here. Vacuous below n ≈ 4.5 ln(2/δ), whatever the class.

    Args:
        values: h at each point of the sample, in [0, 1].
        complexity: Rad̂_n(H) on these points, or an upper bound on it.
        delta: δ.
        fixed_in_advance: whether the class H was fixed before the sample was seen.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: a value outside [0, 1], a negative complexity, or δ outside (0, 1).

    >>> import torch
    >>> bound = bartlett02_deviation(torch.zeros(100), complexity=0.1, delta=0.05, fixed_in_advance=True,
    ...     independent_draws=True)
    >>> bound.terms["complexity"], bound.vacuous
    (0.2, False)
    """
    check_finite("values", values)
    check_fraction("values", values)
    n, mean = values.shape[0], float(values.detach().double().mean())
    radius = bartlett02_deviation_radius(complexity, n=n, delta=delta)
    terms = {
        "empirical risk": mean,
        "complexity": 2 * complexity,
        "deviation": radius - 2 * complexity,
    }

    def value_at(size: int) -> float:
        return mean + 2 * complexity * math.sqrt(n / size) + uniform_term(size, delta)

    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    assumptions = {
        DRAWN: independent_draws,
        "the values lie in [0, 1]": True,
        CLASS_FIXED: fixed_in_advance,
    }
    return Bound(
        "bartlett02_deviation",
        sum(terms.values()),
        terms,
        delta,
        assumptions,
        value_at=value_at,
        quantities={"n": n},
    )
