"""Empirical kernels of two blocks of points for all pairs of outputs, n k × m k, outputs running fast.

On the CPU tiles are shared out to threads and multiplied by NumPy; on another device a block is one tile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from kdtheory.ntk._contraction import Pair, array, arrays, flat_product, product
from kdtheory.ntk._factors import Factors
from kdtheory.ntk._outputs_pass import merge
from kdtheory.ntk._threads import shared_out
from kdtheory.ntk._tiles import Array, Target, by_numpy

__all__ = ["by_outputs", "fill_all_outputs"]

_STRIPE, _STRIPE_PART = 320, 4096  # rows and columns, outputs counted


def fill_all_outputs(target: Target, left: Factors, right: Factors) -> None:
    """Θ_op(x_i, x′_j), n k × m k with outputs running fast; the target's rows and columns count outputs."""
    pair = Pair(left, right)
    here, there = pair.signals(slice(None))
    if by_numpy(target.gram):
        _fill_stripes(target, pair, here, there)
    else:
        target.put(0, 0, _whole(target, pair, here, there))
    k = pair.outputs
    cells = by_outputs(target.gram[target.rows, target.columns], k)
    mirror = by_outputs(target.gram[target.columns, target.rows], k) if target.mirrored else None
    for at, f, g in pair.flat:
        for first in range(k):
            # Θ_po(x′, x) = Θ_op(x, x′): on the diagonal half of the pairs are enough.
            for second in range(first if target.symmetric else 0, k):
                part = flat_product(f, g, here[at][:, first], there[at][:, second])
                cells[:, first, :, second] += part
                if mirror is not None and not (target.symmetric and first == second):
                    mirror[:, second, :, first] += part.mT


def _fill_stripes(target: Target, pair: Pair, here: Sequence[Tensor], there: Sequence[Tensor]) -> None:
    """A few rows at a time against all columns, or all that are not left of the diagonal."""
    k = pair.outputs
    n, m = (side // k for side in target.shape)
    rows_at_once = max(1, _STRIPE // k)
    columns_at_once = max(rows_at_once, _STRIPE_PART // k)
    stripe = _Stripes(pair, here, there, target.gram.numpy().dtype)

    def fill(first: int) -> None:
        rows = slice(first, min(first + rows_at_once, n))
        stacks = stripe.stacks(rows)
        for start in range(first if target.symmetric else 0, m, columns_at_once):
            columns = slice(start, min(start + columns_at_once, m))
            target.put(first * k, start * k, stripe.tile(rows, columns, stacks))

    shared_out(fill, range(0, n, rows_at_once))


class _Stripes:
    """Tiles of Θ_op on the CPU.

    In the layer below the last one δ_o·δ′_p = Σ_j w_oj w_pj a′_j a″_j is the same for (p, o): about half of
    the products are enough. There is at most one such layer, and one last layer.
    """

    def __init__(self, pair: Pair, here: Sequence[Tensor], there: Sequence[Tensor], dtype: np.dtype) -> None:
        k = pair.outputs
        self._k, self._dtype = k, dtype
        inputs = [arrays(here[at].flatten(0, 1), there[at].flatten(0, 1)) for at in pair.outer]
        self._outer = list(zip(pair.outer_inputs, inputs, strict=True))
        self._below, self._below_inputs, self._last = pair.below, pair.below_inputs, pair.last
        first, second = np.triu_indices(k)
        self._weights = [array(f.weight)[first] * array(f.weight)[second] for f, _ in pair.below]
        self._places = np.zeros((k, k), np.int64)
        self._places[first, second] = self._places[second, first] = np.arange(len(first))

    def stacks(self, rows: slice) -> list[Array]:
        """a′_j w_oj w_pj for o ≤ p, which all tiles of a stripe share."""
        return [
            (array(f.slope)[rows, None] * weights).reshape(-1, weights.shape[1])
            for (f, _), weights in zip(self._below, self._weights, strict=True)
        ]

    def tile(self, rows: slice, columns: slice, stacks: Sequence[Array]) -> Array:
        k, places = self._k, self._places
        n, m = rows.stop - rows.start, columns.stop - columns.start
        wide, long = (slice(part.start * k, part.stop * k) for part in (rows, columns))
        zeros, empty = np.zeros((n, m), self._dtype), np.zeros((0, m), self._dtype)
        products, other, last = empty, zeros, empty
        for stack, (_, g), inputs in zip(stacks, self._below, self._below_inputs, strict=True):
            products, other = stack @ array(g.slope)[columns].T, product(*inputs, rows, columns)
        for inputs in self._last:
            last = product(*inputs, rows, columns)
        block = None
        for inputs, signals in self._outer:
            part, factor = product(*signals, wide, long), product(*inputs, rows, columns)
            if block is None:
                block = part
                merge(block, factor, products, other, last, places)
            else:
                merge(part, factor, empty, zeros, empty, places)
                block += part
        if block is None:
            block = np.zeros((n * k, m * k), self._dtype)
            merge(block, zeros, products, other, last, places)
        return block


def _whole(target: Target, pair: Pair, here: Sequence[Tensor], there: Sequence[Tensor]) -> Tensor:
    """All pairs of points and outputs at once, by torch."""
    k = pair.outputs
    signals = [tuple(side.slope[:, None] * side.weight for side in both) for both in pair.below]
    signals += [(here[at], there[at]) for at in pair.outer]
    total = by_outputs(target.gram.new_zeros(target.shape), k)
    for (h, g), (a, b) in zip((*pair.below_inputs, *pair.outer_inputs), signals, strict=True):
        products = by_outputs(a.flatten(0, 1) @ b.flatten(0, 1).mT, k)
        total.addcmul_(products, (h @ g.mT)[:, None, :, None])
    for h, g in pair.last:
        total.diagonal(dim1=1, dim2=3).add_((h @ g.mT)[..., None])
    return total.flatten(2).flatten(0, 1)


def by_outputs(gram: Tensor, outputs: int) -> Tensor:
    """A view n × k × m × k of a matrix n k × m k."""
    cells: Tensor = gram.unflatten(1, (-1, outputs)).unflatten(0, (-1, outputs))
    return cells
