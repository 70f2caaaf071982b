"""Empirical kernels of two blocks of points from their factors, by tiles of pairs.

A tile is finished, with all layers, before the next is begun: it does not leave the cache, and beside the
result there is no matrix of all pairs. On the CPU tiles are shared out to threads and multiplied by NumPy,
whose BLAS is the faster one; on another device a block is one tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kdtheory.ntk._factors import Factor, Outer
from kdtheory.ntk._threads import shared_out, tiles

__all__ = ["by_outputs", "fill_all_outputs", "fill_mean", "symmetric_part"]

_TILES_A_SIDE = 4
_LEAST_TILE, _MOST_TILE = 64, 512
_NUMBERS_IN_A_TILE = 2**18

# A NumPy array or a tensor: slices, @, .T and arithmetic in place are the same.
Array = Any


class _Layer(NamedTuple):
    """h, n × in, and δ: all outputs of a point in one row, or one row each; None where δ_o = e_o."""

    inputs: Array
    deltas: Array | None


def fill_mean(
    out: Tensor, mirror: Tensor | None, left: Sequence[Factor], right: Sequence[Factor], outputs: int
) -> None:
    """(1/k) Σ_o Θ_oo(x_i, x′_j) into `out`, n × m, and its transpose into `mirror`.

    A block on the diagonal is its own mirror, and comes out exactly symmetric.
    """
    sides = [_layers(side, lambda outer: outer.stacked) for side in (left, right)]

    def tile(rows: slice, columns: slice) -> Array:
        total = None
        for f, g in zip(*sides, strict=True):
            gram = f.inputs[rows] @ g.inputs[columns].T
            if f.deltas is not None:
                gram *= f.deltas[rows] @ g.deltas[columns].T
                gram /= outputs
            total = _sum(total, gram)
        return total

    size = min(_MOST_TILE, max(_LEAST_TILE, math.ceil(max(out.shape) / _TILES_A_SIDE)))
    _fill(out, mirror, tile if sides[0] else None, size)
    for f, g in _others(left, right):
        total = None
        for output in range(outputs):
            total = f.pair(g, output, output, total)
        assert total is not None
        _add(total.div_(outputs), out, mirror)


def fill_all_outputs(
    out: Tensor, mirror: Tensor | None, left: Sequence[Factor], right: Sequence[Factor], outputs: int
) -> None:
    """Θ_op(x_i, x′_j) into `out`, n k × m k with outputs running fast, and its transpose into `mirror`."""
    sides = [_layers(side, lambda outer: None if outer.deltas is None else outer.deltas.flatten(0, 1))
             for side in (left, right)]  # fmt: skip

    def tile(rows: slice, columns: slice) -> Array:
        points = [slice(part.start // outputs, part.stop // outputs) for part in (rows, columns)]
        total, last = None, None
        for f, g in zip(*sides, strict=True):
            gram = f.inputs[points[0]] @ g.inputs[points[1]].T
            if f.deltas is None:
                last = gram
                continue
            block = f.deltas[rows] @ g.deltas[columns].T
            cells = block.reshape(len(gram), outputs, -1)
            cells *= _repeated(gram, outputs)[:, None]
            total = _sum(total, block)
        return total if last is None else _with_last_layer(total, last, outputs)

    size = outputs * max(1, math.isqrt(_NUMBERS_IN_A_TILE) // outputs)
    _fill(out, mirror, tile if sides[0] else None, size)
    cells = by_outputs(out, outputs)
    across = None if mirror is None else by_outputs(mirror, outputs)
    for f, g in _others(left, right):
        for first in range(outputs):
            # Θ_po(x′, x) = Θ_op(x, x′): on the diagonal half of the pairs are enough.
            for second in range(first if out is mirror else 0, outputs):
                part = f.pair(g, first, second, None)
                if part is None:
                    continue
                same = out is mirror and first == second
                there = None if across is None else across[:, second, :, first]
                here = cells[:, first, :, second]
                _add(part, here, here if same else there)


def _layers(side: Sequence[Factor], deltas: Callable[[Outer], Tensor | None]) -> list[_Layer]:
    return [
        _Layer(_array(outer.inputs), None if (found := deltas(outer)) is None else _array(found))
        for outer in side
        if isinstance(outer, Outer)
    ]


def _others(left: Sequence[Factor], right: Sequence[Factor]) -> Iterator[tuple[Factor, Factor]]:
    for f, g in zip(left, right, strict=True):
        if not isinstance(f, Outer):
            yield f, g


def _array(values: Tensor) -> Array:
    return values.numpy() if values.device.type == "cpu" else values


def _sum(total: Array | None, part: Array) -> Array:
    if total is None:
        return part
    total += part
    return total


def _repeated(gram: Array, outputs: int) -> Array:
    if isinstance(gram, np.ndarray):
        return np.repeat(gram, outputs, axis=1)
    return gram.repeat_interleave(outputs, 1)


def _with_last_layer(total: Array | None, gram: Array, outputs: int) -> Array:
    """⟨e_o, e_p⟩ h·h′ on top of the other layers."""
    if total is None:
        shape = tuple(outputs * side for side in gram.shape)
        total = np.zeros(shape, gram.dtype) if isinstance(gram, np.ndarray) else gram.new_zeros(shape)
    cells = total.reshape(gram.shape[0], outputs, gram.shape[1], outputs)
    for output in range(outputs):
        cells[:, output, :, output] += gram
    return total


def _fill(
    out: Tensor, mirror: Tensor | None, tile: Callable[[slice, slice], Array] | None, size: int
) -> None:
    if tile is None:
        out.zero_()
        if mirror is not None:
            mirror.zero_()
        return
    n, m = out.shape
    symmetric = out is mirror
    there, back = _array(out), None if mirror is None else _array(mirror)
    if out.device.type != "cpu":
        size = max(n, m)

    def place(block: tuple[slice, slice]) -> None:
        rows, columns = block
        values = tile(rows, columns)
        if symmetric and rows == columns:
            values = symmetric_part(values)
        there[rows, columns] = values
        if back is not None and not (symmetric and rows == columns):
            back[columns, rows] = values.T

    shared_out(place, list(tiles(n, m, size, symmetric=symmetric)))


def symmetric_part(values: Array) -> Array:
    """The upper half and its mirror: sums of symmetric products may still differ in their order."""
    triu = np.triu if isinstance(values, np.ndarray) else torch.triu
    return triu(values) + triu(values, 1).T


def by_outputs(gram: Tensor, outputs: int) -> Tensor:
    """A view n × k × m × k of a matrix n k × m k."""
    cells: Tensor = gram.unflatten(1, (-1, outputs)).unflatten(0, (-1, outputs))
    return cells


def _add(part: Tensor, out: Tensor, mirror: Tensor | None) -> None:
    if out is mirror:
        out += symmetric_part(part)
        return
    out += part
    if mirror is not None:
        mirror += part.mT
