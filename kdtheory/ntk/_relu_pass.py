"""The ReLU recursion of `_recursion` fused into one pass over a block, for the CPU.

All layers of a strip of pairs are done while it lies in the cache. With r = sin²(φ/2), where φ is the angle
or its supplement, whichever is smaller, an activation costs two roots and one polynomial:

    φ = 2√r·P(4r − 1),  P(t) = arcsin(√r)/√r on 0 ≤ r ≤ 1/2,
    1 − κ₁ = u − (sin φ − φ cos φ)/π below a right angle, 1 − (sin φ − φ cos φ)/π above it.

Compiled at the first call and cached on disk by numba, without its threads: the callers bring their own.
"""

from __future__ import annotations

import math
from typing import Any, no_type_check

import numpy as np
from numba import njit

__all__ = ["FAST", "arc_cosines", "relu_pass", "store", "typed_constants"]

_STRIP = 512
_TILE = 16
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
def arc_cosines(gap, arcsine, numbers):
    """1 − κ₁ and κ₀ = 1 − θ/π at u = 1 − cos θ."""
    zero, half, one, two, four, inverse_pi = numbers[:6]
    above = gap > one
    small = min(gap, two - gap)
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
def relu_pass(block, directions, norms, roots, spreads, tangent, near, upper, arcsine, numbers):
    """Cosines in, kernel out, in place.

    Args:
        block: x̂·x̂′ of n × m pairs.
        directions: x̂ of both sides, n × d and m × d.
        norms: ã of both sides at the inputs.
        roots: a of both sides after each affine layer, layers × n and layers × m.
        spreads: w² and β².
        tangent: whether Θ is wanted, or K.
        near: below which u comes from the difference of directions.
        upper: whether only pairs on and above the diagonal are wanted.
        arcsine, numbers: of `typed_constants`.
    """
    layers, one = roots[0].shape[0], numbers[2]
    gap, value = np.empty(_STRIP, block.dtype), np.empty(_STRIP, block.dtype)
    for i in range(block.shape[0]):
        for start in range(i if upper else 0, block.shape[1], _STRIP):
            stop = min(start + _STRIP, block.shape[1])
            strip = block[i, start:stop]
            _first_gaps(strip, gap, directions[0][i], directions[1][start:stop], near, numbers)
            if spreads[1] > 0:
                _biased(strip, gap, value, i, start, norms, roots, spreads, arcsine, numbers)
            else:
                _unbiased(strip, gap, value, layers - 1, arcsine, numbers)
            for j in range(len(strip)):
                outside = roots[0][-1, i] * roots[1][-1, start + j]
                if not tangent:
                    strip[j] = outside * (one - gap[j])
                elif spreads[1] > 0:
                    strip[j] = value[j]
                else:
                    strip[j] = outside * value[j]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _first_gaps(strip, gap, here, there, near, numbers):
    """u of the inputs: 1 − cos, and ‖x̂ − x̂′‖²/2 where that is small."""
    zero, half, one, two = numbers[0], numbers[1], numbers[2], numbers[3]
    least = one
    for j in range(len(strip)):
        gap[j] = max(zero, min(two, one - strip[j]))
        least = min(least, gap[j])
    if least < near:
        for j in range(len(strip)):
            if gap[j] < near:
                total = zero
                for k in range(len(here)):
                    step = here[k] - there[j, k]
                    total += step * step
                gap[j] = half * total


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _unbiased(strip, gap, value, activations, arcsine, numbers):
    """u depends on the angle alone, and T = Θ/(a a′) obeys T ← (1 − u) + κ₀T."""
    one = numbers[2]
    for j in range(len(strip)):
        value[j] = one - gap[j]
    for _ in range(activations):
        for j in range(len(strip)):
            lost, share = arc_cosines(gap[j], arcsine, numbers)
            gap[j] = lost
            value[j] = (one - lost) + share * value[j]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _biased(strip, gap, value, i, start, norms, roots, spreads, arcsine, numbers):
    """The general affine layer: u from terms ≥ 0, and Θ ← K + w²K̇Θ."""
    half, one = numbers[1], numbers[2]
    weight, bias = spreads
    here, there = norms[0][i], norms[1][start : start + len(strip)]
    for layer in range(roots[0].shape[0]):
        after, others = roots[0][layer, i], roots[1][layer, start : start + len(strip)]
        inverse, scale = one / after, weight if layer == 0 else half * weight
        for j in range(len(strip)):
            outside, spread = after * others[j], scale * here * there[j]
            step = here - there[j]
            skew = scale * bias * step * step / (outside + spread + bias)
            if layer == 0:
                lost = spread * gap[j] + skew
                value[j] = outside - lost
            else:
                activated, share = arc_cosines(gap[j], arcsine, numbers)
                lost = spread * activated + skew
                value[j] = (outside - lost) + scale * share * value[j]
            gap[j] = lost * inverse / others[j]
        here, there = after, others


@njit(nogil=True, cache=True)
@no_type_check
def store(out, block, row, column, mirrored):
    """Write a block where it belongs, and its transpose across the diagonal, a cache line at a time.

    Of a block on the diagonal only what lies on and above it is read.
    """
    n, m = block.shape
    diagonal = mirrored and row == column
    for i in range(n):
        for j in range(i if diagonal else 0, m):
            out[row + i, column + j] = block[i, j]
    if mirrored:
        for first in range(0, n, _TILE):
            for j in range(first if diagonal else 0, m):
                for i in range(first, min(first + _TILE, j if diagonal else n, n)):
                    out[column + j, row + i] = block[i, j]
