"""Bounds by counting: how many ways a class can label n points, for ReLU nets, and a bound on the error.

Π(n) is the growth function: the most label vectors that a class produces on n points; for k classes at most
k^n. The VC dimension of a binary class is the largest n with Π(n) = 2^n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from kdtheory.bounds.assumptions import CLASS_FIXED, DRAWN
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_flags, check_fraction

__all__ = [
    "bartlett19_log_growth",
    "bartlett19_vc_dimension",
    "relu_net_size",
    "sauer72_log_growth",
    "vapnik71",
]


@door
def relu_net_size(widths: Sequence[int], /, *, bias: bool = True) -> int:
    """W = Σ_i d_i(d_{i−1} + 1), the number of weights of a fully connected net; without the 1 for no biases.

    Raises:
        ValueError: fewer than two widths, or a width below 1.

    >>> relu_net_size((784, 512, 512, 10))
    669706
    """
    if len(widths) < 2:
        raise ValueError(f"widths = {tuple(widths)} must name inputs and outputs: two numbers or more")
    for width in widths:
        check_at_least("widths", width, 1)
    return sum(out * (inside + bias) for inside, out in pairwise(widths))


@door
def bartlett19_log_growth(widths: Sequence[int], /, *, n: int, bias: bool = True) -> float:
    """ln Π(n) ≤ Σ_i [ln 2 + W_i ln(2e·n·q_i·i/W_i)] for ReLU nets, W_i weights up to layer i; at most n ln k.

    Bartlett, Harvey, Liaw & Mehrabian (2019), their argument for k classes, constants derived here. Where the
    signs of all earlier units are fixed, the q_i = d_i inputs of layer i's units are polynomials of degree i
    in W_i weights, on n points n·q_i of them, and by Warren's lemma m ≥ W polynomials of degree D in W
    variables have at most 2(2emD/W)^W sign vectors (never more than 2^m). In the last layer it is the
    q = k(k−1)/2 differences of outputs that say which is largest; for k = 1 the output's own sign.

    Args:
        widths: d_0, …, d_L.
        n: the number of points.
        bias: whether layers have one.

    Raises:
        ValueError: fewer than two widths, a width below 1, or n < 1.

    >>> bartlett19_log_growth((3, 2), n=5) / math.log(2)  # 2^5: no limit yet
    5.0
    """
    relu_net_size(widths, bias=bias)
    check_at_least("n", n, 1)
    classes, total, size = widths[-1], 0.0, 0
    for depth, (inside, out) in enumerate(pairwise(widths), start=1):
        size += out * (inside + bias)
        last = depth == len(widths) - 1
        polynomials = n * (max(1, classes * (classes - 1) // 2) if last else out)
        count = polynomials * math.log(2)
        if polynomials >= size:
            warren = math.log(2) + size * math.log(2 * math.e * polynomials * depth / size)
            count = min(count, warren)
        total += count
    return min(total, n * math.log(max(2, classes)))


@door
def bartlett19_vc_dimension(widths: Sequence[int], /, *, bias: bool = True) -> int:
    """An upper bound on the VC dimension of a ReLU net with one output: the last n where Π(n) can be 2^n.

    Θ(W L log W) (Bartlett, Harvey, Liaw & Mehrabian, 2019); constants derived here, as in
    `bartlett19_log_growth`. A linear net of d weights has dimension d; this says 467 for d = 100.

    Raises:
        ValueError: fewer than two widths, a width below 1, or more than one output.

    >>> bartlett19_vc_dimension((100, 1), bias=False)
    467
    """
    check_at_least("the number of widths", len(widths), 2)
    if widths[-1] != 1:
        raise ValueError(f"widths ends in {widths[-1]}; a VC dimension is that of one output, so give 1")

    def shatters(n: int) -> bool:
        return bartlett19_log_growth(widths, n=n, bias=bias) >= n * math.log(2) * (1 - 1e-12)

    low, high = 1, 2
    while shatters(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shatters(middle) else (low, middle)
    return low


@door
def sauer72_log_growth(dimension: int, /, *, n: int) -> float:
    """ln Π(n) ≤ d ln(en/d) for n ≥ d, n ln 2 below: a class of VC dimension d (Sauer, 1972).

    Raises:
        ValueError: d < 1 or n < 1.

    >>> sauer72_log_growth(3, n=3) / math.log(2)
    3.0
    """
    check_at_least("dimension", dimension, 1)
    check_at_least("n", n, 1)
    if n <= dimension:
        return n * math.log(2)
    return min(n * math.log(2), dimension * math.log(math.e * n / dimension))


@door
def vapnik71(
    error: float,
    /,
    *,
    n: int,
    log_growth: Callable[[int], float],
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """Pr[f(x) ≠ y] ≤ ê + √(2 ln Π(n)/n) + √(ln(1/δ)/2n) for all f of the class at once.

    Vapnik & Chervonenkis (1971), constants derived here: the expected Rademacher complexity of 0/1 losses,
    shifted to ±½, is at most √(2 ln Π(n)/n)/2 by Massart's lemma, and McDiarmid's inequality. At least 1
    wherever ln Π(n) ≥ n/2: for every net that can label the n points in e^{n/2} ways.

    Args:
        error: ê, the share of errors on the sample.
        n: the sample size.
        log_growth: n ↦ ln Π(n), or an upper bound on it, such as
            `lambda n: bartlett19_log_growth(widths, n=n)`.
        delta: δ.
        fixed_in_advance: whether the class was fixed before the sample was seen.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: ê outside [0, 1], n < 1, or δ outside (0, 1).

    >>> vapnik71(0.0, n=50, log_growth=lambda n: n / 2, delta=0.05, fixed_in_advance=True,
    ...     independent_draws=True).terms["capacity"]
    1.0
    """
    check_fraction("error", error)
    check_at_least("n", n, 1)
    check_fraction("delta", delta, open_interval=True)

    def terms(size: int) -> dict[str, float]:
        capacity, deviation = math.sqrt(2 * log_growth(size) / size), math.sqrt(-math.log(delta) / (2 * size))
        return {"empirical risk": error, "capacity": capacity, "deviation": deviation}

    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    assumptions = {
        DRAWN: independent_draws,
        CLASS_FIXED: fixed_in_advance,
    }
    found = terms(n)
    return Bound(
        "vapnik71",
        sum(found.values()),
        found,
        delta,
        assumptions,
        value_at=lambda size: sum(terms(size).values()),
        quantities={"n": n, "log_growth": log_growth(n)},
    )
