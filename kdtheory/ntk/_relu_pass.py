"""The ReLU recursion of `_recursion`, with bias, fused into one pass over a block, for the CPU.

Without bias `_relu_series` is shorter. All layers of a strip of pairs are done while it lies in the cache.
With r = sin²(φ/2), where φ is the angle or its supplement, whichever is smaller, an activation costs two
roots and one polynomial:

    φ = 2√r·P(4r − 1),  P(t) = arcsin(√r)/√r on 0 ≤ r ≤ 1/2,
    1 − κ₁ = u − (sin φ − φ cos φ)/π below a right angle, 1 − (sin φ − φ cos φ)/π above it.

Compiled at the first call and cached on disk by numba, without its threads: the callers bring their own.
"""

from __future__ import annotations

import math
from typing import Any, no_type_check

import numpy as np
from numba import njit

__all__ = ["FAST", "arc_cosines", "gap_of", "relu_pass", "to_cosines", "typed_constants"]

_STRIP = 512
FAST = {"contract", "nsz", "nnan", "ninf"}  # no reassociation: digits stay
# The Chebyshev approximations of P of degree 17 and 7: relative errors 2.4e-16 and 1.9e-8.
_ARCSINE = {
    "float64": (
        1.0471975511965979, 0.05375149359132692, 0.007798902238958053, 0.0015196685395952834,
        0.00034086372383630546, 8.302317801518925e-05, 2.1345548279996328e-05, 5.701782186274753e-06,
        1.5669849102494064e-06, 4.4020387647402136e-07, 1.257815733346819e-07, 3.647300159179633e-08,
        1.0809676130669179e-08, 3.2049513486427854e-09, 8.51835175897071e-10, 2.557903437341297e-10,
        1.341285869549988e-10, 4.1052321165594074e-11,
    ),
    "float32": (
        1.0471975367315987, 0.0537514895058524, 0.007799363945660336, 0.0015197989332203614,
        0.00033858676814689525, 8.238040210641791e-05, 2.4864075673122666e-05, 6.6939687035394984e-06,
    ),
}  # fmt: skip


def typed_constants(dtype: np.dtype) -> tuple[Any, ...]:
    """P; 0, 1/2, 1, 2, 4, 1/π and the least number; in one precision, since a wider constant widens all."""
    kind = dtype.type
    return (
        tuple(kind(c) for c in _ARCSINE[dtype.name]),
        tuple(kind(c) for c in (0, 0.5, 1, 2, 4, 1 / math.pi, np.finfo(dtype).tiny)),
    )


@njit(forceinline=True)
@no_type_check
def arc_cosines(gap, rest, arcsine, numbers):
    """1 − κ₁ and κ₀ = 1 − θ/π at u = 1 − cos θ and 2 − u."""
    zero, half, one, two, four, inverse_pi = numbers[:6]
    above = gap > one
    small = min(gap, rest)
    r = half * small
    t = four * r - one
    series = arcsine[len(arcsine) - 1]
    for k in range(len(arcsine) - 2, -1, -1):
        series = series * t + arcsine[k]
    root = math.sqrt(r)
    angle = two * root * series
    lost = (two * root * math.sqrt(one - r) - angle * (one - small)) * inverse_pi
    share = angle * inverse_pi
    return max((one if above else gap) - lost, zero), share if above else one - share


@njit(nogil=True, fastmath=FAST, error_model="numpy", cache=True)
@no_type_check
def relu_pass(block, points, shrinks, norms, roots, spreads, tangent, near, upper, arcsine, numbers):
    """Products in, kernel out, in place.

    Args:
        block: x·x′ of n × m pairs.
        points: x of both sides, n × d and m × d.
        shrinks: 1/‖x‖ of both sides, zero where x is.
        norms: ã of both sides at the inputs.
        roots: a of both sides after each affine layer, layers × n and layers × m.
        spreads: w² and β².
        tangent: whether Θ is wanted, or K.
        near: below which u, or 2 − u, comes from the difference, or the sum, of directions.
        upper: whether only pairs above the diagonal are wanted.
        arcsine, numbers: of `typed_constants`.
    """
    one = numbers[2]
    gap, rest = np.empty(_STRIP, block.dtype), np.empty(_STRIP, block.dtype)
    value = np.empty(_STRIP, block.dtype)
    for i in range(block.shape[0]):
        for start in range(i + 1 if upper else 0, block.shape[1], _STRIP):
            stop = min(start + _STRIP, block.shape[1])
            strip = block[i, start:stop]
            to_cosines(strip, shrinks[0][i], shrinks[1][start:stop])
            _first_gaps(strip, gap, rest, i, start, points, shrinks, near, numbers)
            _layers(strip, gap, rest, value, i, start, norms, roots, spreads, arcsine, numbers)
            for j in range(len(strip)):
                outside = roots[0][-1, i] * roots[1][-1, start + j]
                strip[j] = value[j] if tangent else outside * (one - gap[j])


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _first_gaps(strip, gap, rest, i, start, points, shrinks, near, numbers):
    """u and 2 − u of the inputs: 1 ∓ cos, and ‖x̂ ∓ x̂′‖²/2 where that is small."""
    zero, _, one, two = numbers[:4]
    largest = zero
    for j in range(len(strip)):
        largest = max(largest, abs(strip[j]))
    for j in range(len(strip)):
        gap[j], rest[j] = max(zero, one - strip[j]), max(zero, one + strip[j])
    if one - largest < near:
        for j in range(len(strip)):
            if one - abs(strip[j]) < near:
                side = one if strip[j] > zero else -one
                small = gap_of(i, start + j, points, shrinks, side, numbers)
                gap[j], rest[j] = small, two - small
                if side < zero:
                    gap[j], rest[j] = two - small, small


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def gap_of(i, j, points, shrinks, side, numbers):
    """‖x̂ ∓ x̂′‖²/2: 1 − cos for the side 1, 1 + cos for −1; zero for a point and itself."""
    here, there = points[0][i], points[1][j]
    ratio = side * shrinks[1][j] / shrinks[0][i]
    total = numbers[0]
    for k in range(len(here)):
        step = here[k] - ratio * there[k]
        total += step * step
    return numbers[1] * total * shrinks[0][i] * shrinks[0][i]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def to_cosines(strip, shrink, shrinks):
    for j in range(len(strip)):
        strip[j] *= shrink * shrinks[j]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _layers(strip, gap, rest, value, i, start, norms, roots, spreads, arcsine, numbers):
    """The affine layers and what is between them: u and 2 − u from terms ≥ 0, and Θ ← K + w²K̇Θ."""
    half, one, two = numbers[1:4]
    weight, bias = spreads
    here, there = norms[0][i], norms[1][start : start + len(strip)]
    for layer in range(roots[0].shape[0]):
        after, others = roots[0][layer, i], roots[1][layer, start : start + len(strip)]
        inverse, scale = one / after, weight if layer == 0 else half * weight
        for j in range(len(strip)):
            outside, spread = after * others[j], scale * here * there[j]
            step = here - there[j]
            skew = scale * bias * (step * step / (outside + spread + bias))
            activated, share, pulled = gap[j], one - one, one - one
            left = rest[j]
            if layer > 0:
                activated, share = arc_cosines(gap[j], rest[j], arcsine, numbers)
                left, pulled = two - activated, value[j]
            lost = spread * activated + skew
            value[j] = (outside - lost) + scale * share * pulled
            shrunk = inverse / others[j]
            gap[j] = lost * shrunk
            rest[j] = (spread * left + skew + two * bias) * shrunk
        here, there = after, others
