"""Empirical kernels of two blocks of points from their factors: one number for each pair, by tiles of pairs.

On the CPU tiles are shared out to threads and multiplied by NumPy; on another device a block is one tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from kdtheory.ntk._factors import Below, Factors, Flat, Last, Outer, Signalled
from kdtheory.ntk._threads import shared_out, shared_product
from kdtheory.ntk._tiles import Array, Target, by_numpy, tiles

__all__ = ["Pair", "array", "arrays", "fill_each_output", "fill_mean", "flat_product", "product"]

_TILES_A_SIDE = 4
_LEAST_TILE, _MOST_TILE = 64, 512
_SIGNALS_AT_ONCE = 2**23


class Pair:
    """The layers of two blocks of points beside each other, as arrays."""

    def __init__(self, left: Factors, right: Factors) -> None:
        self._blocks = left, right
        self.outputs = left.outputs
        self.last: list[tuple[Array, Array]] = []  # h of both sides; of this layer and the next at most one
        self.below: list[tuple[Below, Below]] = []
        self.below_inputs: list[tuple[Array, Array]] = []
        self.outer: list[int] = []  # which of the signals
        self.outer_inputs: list[tuple[Array, Array]] = []
        self.flat: list[tuple[int, Flat, Flat]] = []
        self._signal_numbers = place = 0
        for f, g in zip(left.layers, right.layers, strict=True):
            if isinstance(f, Last) and isinstance(g, Last):
                self.last.append(arrays(f.inputs, g.inputs))
            elif isinstance(f, Below) and isinstance(g, Below):
                self.below.append((f, g))
                self.below_inputs.append(arrays(f.inputs, g.inputs))
            elif isinstance(f, Outer) and isinstance(g, Outer):
                self.outer.append(place)
                self.outer_inputs.append(arrays(f.inputs, g.inputs))
            elif isinstance(f, Flat) and isinstance(g, Flat):
                self.flat.append((place, f, g))
            if isinstance(f, Signalled) and isinstance(g, Signalled):
                place += 1
                self._signal_numbers += f.signal_numbers + g.signal_numbers

    def signals(self, outputs: slice) -> tuple[list[Tensor], list[Tensor]]:
        left, right = self._blocks
        here = left.signals(outputs)
        return here, here if left is right else right.signals(outputs)

    def below_signals(self, outputs: slice) -> list[tuple[Array, Array]]:
        """Factor of the layer below the last: n × w, whose Gram matrix is Σ_o δ_o(x)·δ_o(x′)."""
        return [arrays(*(side.slope * _norm(side.weight[outputs]) for side in pair)) for pair in self.below]

    def groups(self) -> Iterator[slice]:
        """The outputs, as few at a time as keep their signals small."""
        count = -(-self.outputs * self._signal_numbers // _SIGNALS_AT_ONCE)
        for part in np.array_split(range(self.outputs), min(self.outputs, max(1, count))):
            yield slice(int(part[0]), int(part[-1]) + 1)


def fill_mean(target: Target, left: Factors, right: Factors) -> None:
    """(1/k) Σ_o Θ_oo(x_i, x′_j), n × m.

    Signals are made for a few outputs at a time, and their products added up for each layer; the sums are
    then multiplied by the products of the inputs.
    """
    pair, parts = Pair(left, right), _tiles(target)
    sums: list[list[Array]] = [[None] * len(parts) for _ in pair.outer]
    flat = None
    for group in pair.groups():
        here, there = pair.signals(group)
        sides = [arrays(here[at].flatten(1), there[at].flatten(1)) for at in pair.outer]
        _add_products(sums, sides, parts)
        for at, f, g in pair.flat:
            for o in range(here[at].shape[1]):
                flat = _sum(flat, flat_product(f, g, here[at][:, o], there[at][:, o]))
    below = pair.below_signals(slice(None))

    def finish(index: int) -> None:
        rows, columns = parts[index]
        total = None
        for (h, g), (a, b) in zip(pair.below_inputs, below, strict=True):
            total = _sum(total, product(h, g, rows, columns), product(a, b, rows, columns))
        for (h, g), own in zip(pair.outer_inputs, sums, strict=True):
            total = _sum(total, product(h, g, rows, columns), own[index])
        if flat is not None:
            total = _sum(total, array(flat)[rows, columns])
        if total is not None:
            total /= pair.outputs
        for h, g in pair.last:
            total = _sum(total, product(h, g, rows, columns))
        target.put(rows.start, columns.start, total)

    shared_out(finish, range(len(parts)))


def fill_each_output(targets: Sequence[Target], left: Factors, right: Factors, outputs: range) -> None:
    """Θ_oo(x_i, x′_j), n × m, for some outputs, each into a target of its own."""
    pair, parts = Pair(left, right), _tiles(targets[0])
    here, there = pair.signals(slice(outputs.start, outputs.stop))
    sides = [arrays(here[at], there[at]) for at in pair.outer]
    flats = [
        [flat_product(f, g, here[at][:, o], there[at][:, o]) for at, f, g in pair.flat]
        for o in range(len(outputs))
    ]
    below = [pair.below_signals(slice(output, output + 1)) for output in outputs]

    def finish(part: tuple[slice, slice]) -> None:
        rows, columns = part
        inputs = [product(h, g, rows, columns) for h, g in (*pair.below_inputs, *pair.outer_inputs)]
        last = [product(h, g, rows, columns) for h, g in pair.last]
        for o, target in enumerate(targets):
            signals = [*below[o], *((a[:, o], b[:, o]) for a, b in sides)]
            total = None
            for gram, (a, b) in zip(inputs, signals, strict=True):
                total = _sum(total, product(a, b, rows, columns), gram)
            for gram in last:
                total = _sum(total, gram)
            for flat in flats[o]:
                total = _sum(total, array(flat)[rows, columns])
            target.put(rows.start, columns.start, total)

    shared_out(finish, parts)


def _add_products(
    sums: list[list[Array]], sides: Sequence[tuple[Array, Array]], parts: Sequence[tuple[slice, slice]]
) -> None:
    def add(index: int) -> None:
        for own, (a, b) in zip(sums, sides, strict=True):
            found = product(a, b, *parts[index])
            own[index] = found if own[index] is None else _sum(own[index], found)

    if sides:
        shared_out(add, range(len(parts)))


def _tiles(target: Target) -> list[tuple[slice, slice]]:
    n, m = target.shape
    size = min(_MOST_TILE, max(_LEAST_TILE, -(-max(n, m) // _TILES_A_SIDE)))
    if not by_numpy(target.gram):
        size = max(n, m)
    return list(tiles(n, m, size, symmetric=target.symmetric))


def array(values: Tensor) -> Array:
    return values.numpy() if by_numpy(values) else values


def arrays(left: Tensor, right: Tensor) -> tuple[Array, Array]:
    return array(left), array(right)


def product(left: Array, right: Array, rows: slice, columns: slice) -> Array:
    return left[rows] @ right[columns].T


def _sum(total: Array | None, part: Array, factor: Array | None = None) -> Array:
    """total + part · factor, in place where there is a total."""
    if factor is not None:
        part = part * factor
    elif total is None:
        return part + 0
    if total is None:
        return part
    total += part
    return total


def _norm(weight: Tensor) -> Tensor:
    return weight.square().sum(0).sqrt()


def flat_product(left: Flat, right: Flat, here: Tensor, there: Tensor) -> Tensor:
    """G·G′ᵀ of gradients made from their signals; on the CPU by NumPy, with half of the work for G·Gᵀ."""
    a = left.gradient(here)
    b = a if left is right and here.data_ptr() == there.data_ptr() else right.gradient(there)
    return torch.from_numpy(shared_product(a.numpy(), b.numpy())) if by_numpy(a) else a @ b.mT
