"""The recursion of pooled ReLU convolutional networks for one pair of images after the other, on the CPU.

The images carry a rim as wide as the filter reaches, so that (p + δ, p′ + δ) lies at one distance from
(p, p′) in the matrix of all pairs of positions, and a convolution is a sum of shifted rows: along x, then
along y. u is 1 − K/(a a′) but where that is small; there it is the sum of `_conv_recursion`, which has its
digits.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from kdtheory.ntk._relu_pass import FAST, arc_cosines

__all__ = ["conv_pass"]


@njit(nogil=True, fastmath=FAST, error_model="numpy", cache=True)
@no_type_check
def conv_pass(
    values, pairs, directions, insides, outsides, shape, source, spreads, tangent, near, arcsine, numbers
):
    """The kernel of each pair of images.

    Args:
        values: where the results go, one for each pair.
        pairs: the two images of each pair.
        directions: x̂ of both sides, images × channels × positions, rim included.
        insides: ã of both sides before every convolution and after the last activation, images × layers + 1
            × positions; on the rim those of `source`, or zero.
        outsides: a of both sides after every convolution, images × layers × positions; large on the rim.
        shape: height, width, reach of the filter.
        source: for every position with the rim which one it repeats, itself inside; −1 on a rim of zeros.
        spreads: w² and β².
        tangent: whether Θ is wanted, or K.
        near: below which u is summed up term by term.
        arcsine, numbers: of `typed_constants`.
    """
    weight, bias = spreads
    height, width, reach = shape
    size = len(source)
    spreads = (weight / np.array([(2 * reach + 1) ** 2], values.dtype)[0], bias)
    arrays = np.zeros((7, size, size), values.dtype)
    edge = reach * (width + 2 * reach) + reach
    rim = np.nonzero(source != np.arange(size))[0]
    if source[0] < 0:  # rows of a rim of zeros are never written
        rim = rim[(rim >= edge) & (rim < size - edge)]
    for index in range(len(pairs)):
        i, j = pairs[index]
        kernel, theta, gap, before = arrays[0], arrays[1], arrays[2], arrays[3]
        _pixels(kernel, gap, directions[0][i], directions[1][j], insides[0][i, 0], insides[1][j, 0], numbers)
        for layer in range(outsides[0].shape[1]):
            _box(kernel, arrays[4], arrays[5], shape, numbers)
            if layer and tangent:
                _box(theta, arrays[4], arrays[6], shape, numbers)
            else:
                arrays[6] = numbers[0]
            gap, before = before, gap
            sides = (insides[0][i, layer], insides[1][j, layer], outsides[0][i, layer], outsides[1][j, layer])
            for y in range(height):
                for x in range(width):
                    p = (y + reach) * (width + 2 * reach) + x + reach
                    row = (kernel[p], theta[p], gap[p], arrays[5, p], arrays[6, p])
                    _activate(p, row, before, sides, shape, source, spreads, near, arcsine, numbers)
            _rims((kernel, theta, gap), rim, source, numbers)
        values[index] = weight * _mean(kernel, shape)
        if tangent:
            values[index] += weight * _mean(theta, shape)
        values[index] += bias


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _pixels(kernel, gap, left, right, a, b, numbers):
    """K and u of all pairs of positions, channels being few."""
    for p in range(len(a)):
        row = gap[p]
        row[:] = numbers[0]
        for c in range(len(left)):
            for q in range(len(row)):
                step = left[c, p] - right[c, q]
                row[q] += numbers[1] * step * step
        for q in range(len(row)):
            kernel[p, q] = a[p] * b[q] * (numbers[2] - row[q])


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _box(values, along, out, shape, numbers):
    """Σ_δ values(p + δ, p′ + δ): along x, then along y."""
    reach, wide = shape[2], shape[1] + 2 * shape[2]
    _shifted_sum(values, along, 1, reach)
    _shifted_sum(along, out, wide, reach)


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _shifted_sum(values, out, step, reach):
    """out(p, q) = Σ_{|k| ≤ reach} values(p + k·step, q + k·step), zero at the edge."""
    edge = step * reach
    count = len(values) - 2 * edge
    for p in range(edge, len(values) - edge):
        # Slices, and loops from 0: an index that might be negative is not vectorised.
        total = out[p, edge : edge + count]
        if reach == 1:
            left, here, right = values[p - step, :count], values[p, step:], values[p + step, 2 * step :]
            for q in range(count):
                total[q] = left[q] + here[q] + right[q]
        else:
            total[:] = values[p, edge : edge + count]
            for k in range(1, reach + 1):
                left = values[p - k * step, edge - k * step :]
                right = values[p + k * step, edge + k * step :]
                for q in range(count):
                    total[q] += left[q] + right[q]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _activate(p, row, before, sides, shape, source, spreads, near, arcsine, numbers):
    """From the sums over the filter to ReLU's K̃, K̇Θ and ũ at the position p against all others."""
    zero, half, one, two = numbers[0], numbers[1], numbers[2], numbers[3]
    first = shape[2] * (shape[1] + 2 * shape[2]) + shape[2]
    last = len(source) - first
    kernel, theta, gap, summed, pulled = (
        row[0][first:last], row[1][first:last], row[2][first:last], row[3][first:last], row[4][first:last]
    )  # fmt: skip
    a, b = sides[2], sides[3][first:last]
    least = one
    for q in range(len(gap)):
        outside = a[p] * b[q]
        gap[q] = max(zero, min(two, one - (spreads[0] * summed[q] + spreads[1]) / max(outside, numbers[6])))
        least = min(least, gap[q])
    if least < near:
        for q in range(len(gap)):
            if gap[q] < near and source[first + q] == first + q:
                gap[q] = _exact_gap(p, first + q, before, sides, shape, spreads, numbers)
    # Few arrays in each loop: LLVM vectorises none whose arrays it would have to tell apart in many pairs.
    for q in range(len(gap)):
        pulled[q] = a[p] * b[q] * (one - gap[q]) + spreads[0] * pulled[q]
    for q in range(len(gap)):
        lost, share = arc_cosines(gap[q], numbers[3] - gap[q], arcsine, numbers)
        gap[q] = lost
        theta[q] = half * share
    for q in range(len(gap)):
        theta[q] *= pulled[q]
    for q in range(len(gap)):
        kernel[q] = half * a[p] * b[q] * (one - gap[q])


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _exact_gap(p, q, before, sides, shape, spreads, numbers):
    """u = Σ_δ [½(Â_δ − B̂_δ)² + Â_δ B̂_δ ũ], the bias among the δ."""
    half, one, tiny = numbers[1], numbers[2], numbers[6]
    reach, wide = shape[2], shape[1] + 2 * shape[2]
    here, there = one / max(sides[2][p], tiny), one / max(sides[3][q], tiny)
    total = half * spreads[1] * (here - there) * (here - there)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            step = dy * wide + dx
            first, second = sides[0][p + step] * here, sides[1][q + step] * there
            gap = half * (first - second) * (first - second) + first * second * before[p + step, q + step]
            total += spreads[0] * gap
    return total


@njit
@no_type_check
def _rims(matrices, rim, source, numbers):
    """Columns of the rim are emptied; a rim that repeats the other side is filled from there."""
    for matrix in matrices:
        for p in range(len(source)):
            for q in rim:
                inside = source[p] >= 0 and source[q] >= 0
                matrix[p, q] = matrix[source[p], source[q]] if inside else numbers[0]
        for p in rim:
            if source[p] >= 0:
                matrix[p] = matrix[source[p]]


@njit
@no_type_check
def _mean(matrix, shape):
    height, width, reach = shape
    wide = width + 2 * reach
    total = matrix[0, 0] - matrix[0, 0]
    for p in range(len(matrix)):
        y, x = p // wide, p % wide
        if reach <= y < height + reach and reach <= x < width + reach:
            for there in range(reach, height + reach):
                for q in range(there * wide + reach, there * wide + reach + width):
                    total += matrix[p, q]
    return total / (total - total + (height * width) ** 2)
