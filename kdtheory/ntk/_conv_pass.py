"""The recursion of pooled ReLU convolutional networks for one pair of images after the other, on the CPU.

Positions stand in one row with a rim as wide as the filter reaches, so that (p + δ, p′ + δ) lies at one
distance from (p, p′) in the matrix of all pairs of positions, and a convolution is a sum of shifted lines. u
is 1 − K/(a a′) but where that is small; there it is the sum of `_conv_recursion`, which has its digits.

Indices are unsigned: a loop whose index might be negative is not vectorised, nor is one with many arrays that
LLVM would have to tell apart, and a short loop is mostly overhead.
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
    values,
    pairs,
    directions,
    insides,
    outsides,
    inverses,
    grid,
    source,
    spreads,
    tangent,
    near,
    arcsine,
    numbers,
):
    """The kernel of each pair of images.

    Args:
        values: where the results go, one for each pair.
        pairs: the two images of each pair.
        directions: x̂ of both sides, images × channels × positions, rim included.
        insides: ã of both sides before every convolution and after the last activation, images × layers + 1
            × positions; on the rim those of `source`, or zero.
        outsides, inverses: a and 1/a of both sides after every convolution, images × layers × positions, zero
            on a rim of zeros and where a is.
        grid: height and width, from one line of pixels to the next, the reach of the filter, and how many
            columns from the first position inside on are kept, those of the rim between lines included.
        source: for every position with the rim which one it repeats, itself inside; −1 where it is zero.
        spreads: w² and β².
        tangent: whether Θ is wanted, or K.
        near: below which u is summed up term by term.
        arcsine, numbers: of `typed_constants`.
    """
    height, width, pitch, reach, count = grid
    size, first = len(source), reach * pitch + reach
    repeats = np.nonzero((source >= 0) & (source != np.arange(size)))[0]
    mask = np.zeros(count, values.dtype)
    mask[source[first : first + count] == np.arange(first, first + count)] = numbers[2]
    weight, bias = spreads
    spreads = (weight / np.array([(2 * reach + 1) ** 2], values.dtype)[0], bias)
    matrices = np.zeros((4, size, size), values.dtype)
    # What the activation is applied to lies together, in one long loop.
    entries = height * width * count
    gaps, shares = np.empty(entries, values.dtype), np.empty(entries, values.dtype)
    lost, slope = gaps.reshape(height * width, count), shares.reshape(height * width, count)
    pulled = np.empty((height * width, count), values.dtype)
    lines = np.empty((2, width * size), values.dtype)
    for index in range(len(pairs)):
        i, j = pairs[index]
        kernel, theta, gap, before = matrices[0], matrices[1], matrices[2], matrices[3]
        x, y = directions[0][i], directions[1][j]
        _pixels(kernel, gap, x, y, insides[0][i, 0], insides[1][j, 0], source, numbers)
        for layer in range(outsides[0].shape[1]):
            gap, before = before, gap
            tilde = insides[0][i, layer], insides[1][j, layer]
            roots = outsides[0][i, layer], outsides[1][j, layer]
            shrinks = inverses[0][i, layer], inverses[1][j, layer]
            _before(
                (kernel, theta, before),
                (lost, pulled, lines),
                (tilde, roots, shrinks),
                grid,
                source,
                spreads,
                tangent,
                layer > 0,
                near,
                numbers,
            )
            for k in range(np.uint64(len(gaps))):
                loss, share = arc_cosines(gaps[k], numbers[3] - gaps[k], arcsine, numbers)
                gaps[k] = loss
                shares[k] = share
            _after((kernel, theta, gap), (lost, slope, pulled), roots, mask, grid, tangent, numbers)
            if len(repeats):
                _rims((kernel, theta, gap), repeats, source)
        values[index] = weight * _mean(kernel, mask, grid, pulled[0], numbers)
        if tangent:
            values[index] += weight * _mean(theta, mask, grid, pulled[0], numbers)
        values[index] += bias


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _before(matrices, work, sides, grid, source, spreads, tangent, deep, near, numbers):
    """Through the convolution, a line of pixels at a time: u, and what comes through to Θ."""
    kernel, theta, before = matrices
    lost, pulled, lines = work
    tilde, roots, shrinks = sides
    height, width, pitch, reach, count = grid
    size, first = np.uint64(len(source)), np.uint64(reach * pitch + reach)
    kept, wide = np.uint64(count), np.uint64(width)
    for y in range(np.uint64(height)):
        start = first + y * np.uint64(pitch)
        _box(kernel, lines[0], start, grid, numbers)
        if deep and tangent:
            _box(theta, lines[1], start, grid, numbers)
        else:
            lines[1] = numbers[0]
        for x in range(wide):
            row, p, at = y * wide + x, start + x, x * size
            here = shrinks[0][p]
            least = _gaps(lost, row, lines[0], at, here, shrinks[1], first, kept, spreads, numbers)
            if least < near:
                _exact_gaps(lost[row], p, before, tilde, shrinks, grid, source, spreads, near, numbers)
            if tangent:
                here = roots[0][p]
                _pull(pulled, row, lost, lines[1], at, here, roots[1], first, kept, spreads, numbers)


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _after(matrices, work, roots, mask, grid, tangent, numbers):
    """From the activation back to the matrices of all pairs of positions."""
    kernel, theta, gap = matrices
    lost, slope, pulled = work
    height, width, pitch, reach, count = grid
    first, kept, wide = np.uint64(reach * pitch + reach), np.uint64(count), np.uint64(width)
    for y in range(np.uint64(height)):
        for x in range(wide):
            row, p = y * wide + x, first + y * np.uint64(pitch) + x
            _activate(kernel, gap, p, lost, row, roots[0][p], roots[1], first, kept, numbers)
            if tangent:
                _through(theta, p, pulled, slope, row, mask, first, kept, numbers)


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _pixels(kernel, gap, left, right, a, b, source, numbers):
    """K and u of all pairs of positions, channels being few."""
    for p in range(len(a)):
        if source[p] < 0:
            continue
        row = gap[p]
        row[:] = numbers[0]
        for c in range(len(left)):
            here, there = left[c, p], right[c]
            for q in range(len(row)):
                step = here - there[q]
                row[q] += numbers[1] * step * step
        to, here = kernel[p], a[p]
        for q in range(len(row)):
            to[q] = here * b[q] * (numbers[2] - row[q])


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _box(values, out, start, grid, numbers):
    """Σ_δ values(p + δ, p′ + δ) for the positions p of a line and all p′, in matrices read as one row."""
    _, width, pitch, reach, count = grid
    size, flat = len(values), values.reshape(-1)
    length = (width - 1) * size + count
    first = np.int64(start) * size + reach * pitch + reach
    if reach != 1:
        out[:length] = numbers[0]
    for dy in range(-reach, reach + 1):
        at = first + dy * pitch * (size + 1)
        if reach == 1:
            left, here, right = flat[at - size - 1 :], flat[at:], flat[at + size + 1 :]
            if dy < 0:
                for k in range(length):
                    out[k] = left[k] + here[k] + right[k]
            else:
                for k in range(length):
                    out[k] += left[k] + here[k] + right[k]
        else:
            for dx in range(-reach, reach + 1):
                here = flat[at + dx * (size + 1) :]
                for k in range(length):
                    out[k] += here[k]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _gaps(gaps, row, summed, at, shrink, shrinks, first, count, spreads, numbers):
    """u of one position against all others, and the least of them."""
    zero, one, two = numbers[0], numbers[2], numbers[3]
    weight, bias = spreads
    for q in range(count):
        cosine = (weight * summed[at + q] + bias) * shrink * shrinks[first + q]
        gaps[row, q] = max(zero, min(two, one - cosine))
    least = one
    for q in range(count):
        least = min(least, gaps[row, q])
    return least


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _pull(pulled, row, gaps, summed, at, root, roots, first, count, spreads, numbers):
    """K + w²/k² Σ_δ Θ."""
    weight, one = spreads[0], numbers[2]
    for q in range(count):
        pulled[row, q] = root * roots[first + q] * (one - gaps[row, q]) + weight * summed[at + q]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _activate(kernel, gap, p, lost, row, root, roots, first, count, numbers):
    """K̃, and ũ for the next layer."""
    half, one = numbers[1] * root, numbers[2]
    for q in range(count):
        kernel[p, first + q] = half * roots[first + q] * (one - lost[row, q])
    for q in range(count):
        gap[p, first + q] = lost[row, q]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _through(theta, p, pulled, slope, row, mask, first, count, numbers):
    """K̇ times what comes through."""
    for q in range(count):
        theta[p, first + q] = numbers[1] * slope[row, q] * pulled[row, q] * mask[q]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _exact_gaps(gap, p, before, tilde, shrinks, grid, source, spreads, near, numbers):
    """u = Σ_δ [½(Â_δ − B̂_δ)² + Â_δ B̂_δ ũ], the bias among the δ, where u is small."""
    half = numbers[1]
    _, _, pitch, reach, count = grid
    p = np.int64(p)
    here = shrinks[0][p]
    for k in range(count):
        q = k + reach * pitch + reach
        if gap[k] < near and source[q] == q:
            there = shrinks[1][q]
            total = half * spreads[1] * (here - there) * (here - there)
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    step = dy * pitch + dx
                    first, second = tilde[0][p + step] * here, tilde[1][q + step] * there
                    lost = half * (first - second) * (first - second)
                    total += spreads[0] * (lost + first * second * before[p + step, q + step])
            gap[k] = total


@njit
@no_type_check
def _rims(matrices, repeats, source):
    """A rim that repeats the other side is filled from there."""
    for matrix in matrices:
        for p in range(len(source)):
            if source[p] == p:
                for q in repeats:
                    matrix[p, q] = matrix[p, source[q]]
        for p in repeats:
            matrix[p] = matrix[source[p]]


@njit(fastmath=FAST, error_model="numpy")
@no_type_check
def _mean(matrix, mask, grid, sums, numbers):
    height, width, pitch, reach, count = grid
    first = reach * pitch + reach
    sums[:] = numbers[0]
    for y in range(height):
        for x in range(width):
            row = matrix[first + y * pitch + x, first:]
            for q in range(count):
                sums[q] += row[q] * mask[q]
    total = numbers[0]
    for q in range(count):
        total += sums[q]
    return total / (numbers[0] + (height * width) ** 2)
