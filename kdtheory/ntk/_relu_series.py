"""ReLU kernels without bias as one Chebyshev series in the angle, evaluated in one pass over a block.

Without bias K(x, x′)/(a a′) and Θ(x, x′)/(a a′) depend on nothing but the angle θ of the inputs, and are
analytic in it on the whole of [0, π]. They are expanded in

    v = sin(θ/2) − cos(θ/2) = √(u/2) − √(1 − u/2) ∈ [−1, 1],  u = 1 − cos θ,

which costs two roots, has no stationary point, and at both ends keeps the digits of u and of 2 − u. The
degree grows like the root of the depth, and so does the cost of a pair. With L hidden layers rounding v costs
relative errors up to about L·ε, where points nearly coincide. Trefethen (2013), Approximation
Theory and Approximation Practice, chapters 3 and 8; Clenshaw (1955) for the sum.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import no_type_check

import numpy as np
import torch
from numba import njit
from scipy.fft import dct

from kdtheory.ntk._recursion import Layers, diagonals, propagated
from kdtheory.ntk._relu_pass import FAST, gap_of, to_cosines

__all__ = ["angle_series", "series_pass"]

_STRIP = 512
_STEPS = 4
_LEAST_POINTS, _MOST_POINTS = 64, 4096


@lru_cache(maxsize=64)
def angle_series(layers: Layers, dtype: np.dtype) -> np.ndarray:
    """c with T(v) = Σ_k c_k cos(k arccos v) up to the rounding of `dtype`; 1 + a multiple of 4 of them.

    Interpolated at Chebyshev points from the recursion in float64; their number is doubled until the last
    quarter of the coefficients is rounding, that of the recursion itself in very deep networks.
    """
    epsilon = max(float(np.finfo(dtype).eps), layers.hidden / _LEAST_POINTS * float(np.finfo(float).eps))
    count = _LEAST_POINTS
    while True:
        series = dct(_at_chebyshev_points(count, layers)) / count
        series[0] /= 2
        small = np.abs(series) <= epsilon * np.abs(series).sum()
        if small[-count // 4 :].all() or count == _MOST_POINTS:
            break
        count *= 2
    used = int(np.flatnonzero(~small)[-1])
    padded = np.zeros(1 + -(-used // _STEPS) * _STEPS, dtype)
    padded[: used + 1] = series[: used + 1]
    return padded


def _at_chebyshev_points(count: int, layers: Layers) -> np.ndarray:
    """K/(a a′) or Θ/(a a′) by the recursion, for points of length one; W_std drops out."""
    v = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    both = np.sqrt(2 - v**2)  # sin(θ/2) + cos(θ/2)
    gap, rest = (torch.from_numpy((both + side) ** 2 / 2)[:, None] for side in (v, -v))
    unit, one = replace(layers, weight_var=2.0), gap.new_ones(1)
    ones, alone = one.expand(count), diagonals(one, unit)[0]
    many = diagonals(ones, unit)[0]
    kernel = propagated((gap, rest), (ones, one), (many, alone), unit)[:, 0]
    values: np.ndarray = (kernel / (many[-1] * alone[-1])).numpy()
    return values


@njit(nogil=True, fastmath=FAST, error_model="numpy", cache=True)
@no_type_check
def series_pass(block, points, shrinks, scales, series, near, upper, numbers):
    """Products in, kernel out, in place.

    Args:
        block: x·x′ of n × m pairs.
        points: x of both sides, n × d and m × d.
        shrinks: 1/‖x‖ of both sides, zero where x is.
        scales: a of both sides after the last affine layer.
        series: of `angle_series`.
        near: below which u, or 2 − u, comes from the difference, or the sum, of directions.
        upper: whether only pairs above the diagonal are wanted.
        numbers: of `typed_constants`.
    """
    zero, _, _, two = numbers[:4]
    twice = np.empty(_STRIP, block.dtype)
    first, second = np.empty(_STRIP, block.dtype), np.empty(_STRIP, block.dtype)
    for i in range(block.shape[0]):
        for start in range(i + 1 if upper else 0, block.shape[1], _STRIP):
            stop = min(start + _STRIP, block.shape[1])
            strip = block[i, start:stop]
            to_cosines(strip, shrinks[0][i], shrinks[1][start:stop])
            _from_cosines(strip, twice, i, start, points, shrinks, near, numbers)
            for j in range(len(strip)):
                strip[j] = twice[j]
                twice[j] *= two
                first[j] = second[j] = zero
            _summed(twice[: len(strip)], first, second, series)
            for j in range(len(strip)):
                total = strip[j] * first[j] + (series[0] - second[j])
                strip[j] = scales[0][i] * scales[1][start + j] * total


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _from_cosines(strip, v, i, start, points, shrinks, near, numbers):
    """v at the inputs."""
    zero, half, one = numbers[:3]
    largest = zero
    for j in range(len(strip)):
        largest = max(largest, abs(strip[j]))
    for j in range(len(strip)):
        sine, cosine = max(zero, one - strip[j]), max(zero, one + strip[j])
        v[j] = math.sqrt(half * sine) - math.sqrt(half * cosine)
    if one - largest < near:
        for j in range(len(strip)):
            if one - abs(strip[j]) < near:
                side = one if strip[j] > zero else -one
                small = half * gap_of(i, start + j, points, shrinks, side, numbers)
                v[j] = side * (math.sqrt(small) - math.sqrt(one - small))


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _summed(twice, first, second, series):
    """b_k = c_k + 2v·b_{k+1} − b_{k+2} down to b_1 and b_2, four steps for each reading of the strip."""
    for k in range(len(series) - 1, 0, -_STEPS):
        c3, c2, c1, c0 = series[k], series[k - 1], series[k - 2], series[k - 3]
        for j in range(len(twice)):
            x, newer, older = twice[j], first[j], second[j]
            older = x * newer + (c3 - older)
            newer = x * older + (c2 - newer)
            older = x * newer + (c1 - older)
            newer = x * older + (c0 - newer)
            first[j] = newer
            second[j] = older
