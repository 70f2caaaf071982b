"""From the products of a tile to its entries for all pairs of outputs, n k × m k, compiled, for the CPU."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

__all__ = ["merge"]


@njit(nogil=True, cache=True)
@no_type_check
def merge(block, factor, products, other, last, places):
    """block[i o, j p] ← block[i o, j p] · factor[i, j] + products[i q, j] · other[i, j] + δ_op last[i, j].

    One pass over the block, in place; the products are overwritten too.

    Args:
        block: n k × m k, outputs running fast.
        factor: n × m.
        products: n r × m, for r pairs of outputs; none where it is empty.
        other: n × m.
        last: n × m, or empty.
        places: k × k, which of the r pairs (o, p) is.
    """
    (n, m), k = factor.shape, len(places)
    pairs = len(products) // n
    wide = np.empty(m * k, block.dtype)
    for i in range(n):
        for j in range(m):
            for p in range(k):
                wide[j * k + p] = factor[i, j]
        parts = products[i * pairs : (i + 1) * pairs]
        for q in range(pairs):
            for j in range(m):
                parts[q, j] *= other[i, j]
        for o in range(k):
            row = block[i * k + o]
            for at in range(len(wide)):
                row[at] *= wide[at]
            if pairs:
                for p in range(k):
                    part = parts[places[o, p]]
                    for j in range(m):
                        row[j * k + p] += part[j]
            if len(last):
                for j in range(m):
                    row[j * k + o] += last[i, j]
