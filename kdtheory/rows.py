"""Which rows of tables of numbers are equal: found by a hash of each row, settled by the rows themselves.

A table is read once, a block of rows at a time, so that what is held beside it does not depend on how wide a
row is. A hash says only which rows to compare: none that differ are called equal, and none that are equal are
missed.

Tables of one type of number are compared exactly, 0 and −0 alike. Where the types differ, one may be a copy
of the other that was rounded, so both are compared in the coarser type: float64 ≻ float32 ≻ float16, bfloat16
≻ whole numbers, which are compared in float with floats and in int64 with each other. Neither of float16 and
bfloat16 holds the other, and both ways are tried; as are both ways from float64 to float16, straight (NumPy)
and through float32 (torch), for a number in some thousands comes out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int, UInt64
from numba import njit
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_one_of

__all__ = ["COMPARED", "EqualRows", "SideBySide", "Table", "hashed"]

COMPARED = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip
"""The types of number whose rows can be compared."""

_BLOCK = 2**23
_WORD = 8
# The sign bits and the exponent bits of the numbers in a word.
_BITS = dict.fromkeys(COMPARED, (np.uint64(0), np.uint64(0))) | {
    torch.float64: (np.uint64(0x8000000000000000), np.uint64(0x7FF0000000000000)),
    torch.float32: (np.uint64(0x8000000080000000), np.uint64(0x7F8000007F800000)),
    torch.float16: (np.uint64(0x8000800080008000), np.uint64(0x7C007C007C007C00)),
    torch.bfloat16: (np.uint64(0x8000800080008000), np.uint64(0x7F807F807F807F80)),
}

# Of each part of a table, the type that it is compared in, and whether float64 goes straight to float16.
Kind = tuple[tuple[torch.dtype, bool], ...]
Pairs = Int[np.ndarray, "pairs 2"]


@door
@dataclass(frozen=True, eq=False)
class SideBySide:
    """A table in parts, each with some columns of every row, and none of them copied.

    Args:
        parts: one row for each point, of any further shape; NaN in none of them.

    Raises:
        ValueError: no part, or parts that have not one number of rows.
    """

    parts: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if any(not part.ndim for part in self.parts):
            raise ValueError("parts hold a tensor without axes; give one row for each point")
        if len(sizes := {len(part) for part in self.parts}) != 1:
            raise ValueError(f"parts have {sorted(sizes)} rows; give one part or more, of the same points")

    def __len__(self) -> int:
        return len(self.parts[0])


Table = Tensor | SideBySide


@door
@dataclass(frozen=True, eq=False)
class EqualRows:
    """The rows that named tables have in common with each other, and each with itself.

    Args:
        tables: of `COMPARED` types, without NaN, all with rows of one shape.
        known: of some tables the hashes of their rows that `hashed` has made.

    >>> here, there = torch.tensor([[1.0], [2.0], [1.0]]), torch.tensor([[2], [1], [1]])
    >>> rows = EqualRows({"here": here, "there": there})
    >>> rows.pairs("here", "there").tolist(), rows.pairs("here", "here").tolist()
    ([[0, 1], [1, 0], [2, 1]], [[2, 0]])
    """

    tables: Mapping[str, Table]
    known: Mapping[str, UInt64[np.ndarray, "_"]] = field(default_factory=dict)
    _known: dict[Kind, dict[str, Int[np.ndarray, "_"]]] = field(default_factory=dict, init=False)

    def pairs(self, here: str, there: str, /) -> Pairs:
        """(row of `here`, first row of `there` that is equal) for each row of `here` that has one.

        In a table itself an equal row that comes earlier is meant.
        """
        for name in (here, there):
            check_one_of("the table", name, tuple(self.tables))
        found = [self._found(here, there, kind) for kind in self._kinds(here, there)]
        if len(found) == 1:
            return found[0]
        pairs = np.concatenate(found)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        return pairs[np.unique(pairs[:, 0], return_index=True)[1]]

    def _found(self, here: str, there: str, kind: Kind) -> Pairs:
        labels = self._labels(kind)
        own, other = labels[here], labels[there]
        first = np.full(sum(map(len, labels.values())), len(other))
        first[other[::-1]] = np.arange(len(other))[::-1]  # of equal rows the first is written last, and stays
        place, rows = first[own], np.arange(len(own))
        kept = place < (rows if here == there else len(other))
        return np.stack((rows[kept], place[kept]), 1)

    def _labels(self, kind: Kind) -> dict[str, Int[np.ndarray, "_"]]:
        """A number for each row, the same for those that are equal, of all tables that are compared so."""
        if kind not in self._known:
            names = [a for a in self.tables if any(kind in self._kinds(a, b) for b in self.tables)]
            tables = [_Rows(_parts(self.tables[name]), kind) for name in names]
            ends = np.cumsum([len(table) for table in tables])
            hashes = [self._hashes(name, table) for name, table in zip(names, tables, strict=True)]
            labels = _labels(tables, np.concatenate(hashes))
            self._known[kind] = dict(zip(names, np.split(labels, ends[:-1]), strict=True))
        return self._known[kind]

    def _hashes(self, name: str, table: _Rows) -> UInt64[np.ndarray, "_"]:
        own = table.kind == _own_kind(_parts(self.tables[name]))
        return self.known[name] if own and name in self.known else table.hashes()[0]

    def _kinds(self, here: str, there: str) -> dict[Kind, None]:
        """Every way in which a row of one may be a rounded copy of a row of the other."""
        pairs = [
            (a.dtype, b.dtype)
            for a, b in zip(_parts(self.tables[here]), _parts(self.tables[there]), strict=True)
        ]
        ways = product((0, 1), (False, True))
        return dict.fromkeys(
            tuple(_coarser(pair, leading, straight) for pair in pairs) for leading, straight in ways
        )


def hashed(table: Table, /) -> tuple[UInt64[np.ndarray, "n"], bool]:
    """One word for each row, and whether all numbers are finite, from one reading of the table."""
    parts = _parts(table)
    return _Rows(parts, _own_kind(parts)).hashes()


def _own_kind(parts: Sequence[Tensor]) -> Kind:
    return tuple((part.dtype, False) for part in parts)


def _coarser(pair: tuple[torch.dtype, torch.dtype], leading: int, straight: bool) -> tuple[torch.dtype, bool]:
    """The coarser of two types; of float16 and bfloat16 the leading one."""
    floats = [dtype for dtype in pair if dtype.is_floating_point]
    if pair[0] == pair[1]:
        return pair[0], False
    if not floats:
        return torch.int64, False
    if set(pair) == {torch.float16, torch.bfloat16}:
        return pair[leading], False
    least = max(floats, key=lambda dtype: torch.finfo(dtype).eps)
    return least, straight and set(pair) == {torch.float64, torch.float16}


def _parts(table: Table) -> tuple[Tensor, ...]:
    return table.parts if isinstance(table, SideBySide) else (table,)


class _Rows:
    """A table whose parts are compared each in one type."""

    def __init__(self, parts: Sequence[Tensor], kind: Kind) -> None:
        self.parts = [part if part.ndim > 1 else part[:, None] for part in parts]
        self.kind = kind

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def at_once(self) -> int:
        """Rows in a block."""
        return max(1, _BLOCK // sum(part[:1].numel() * _WORD for part in self.parts))

    def of(self, rows: slice | Tensor, /) -> list[Tensor]:
        """The rows of each part that are asked for, in the type that they are compared in."""
        parts = zip(self.parts, self.kind, strict=True)
        return [_rounded(part.detach()[rows].flatten(1), *how) for part, how in parts]

    def hashes(self) -> tuple[UInt64[np.ndarray, "n"], bool]:
        """One word for each row, and whether all numbers are finite."""
        found = np.zeros(len(self), dtype=np.uint64)

        def read(block: slice) -> bool:
            column, odd = 0, False
            for values in self.of(block):
                words = _words(values)
                odd |= _add_hash(words, *_BITS[values.dtype], _keys(column, words.shape[1]), found[block])
                column += words.shape[1]
            return odd

        blocks = list(_blocks(len(self), self.at_once))
        threads = min(len(blocks), torch.get_num_threads())
        if threads <= 1:
            odd = list(map(read, blocks))
        else:
            with ThreadPoolExecutor(threads) as pool:
                odd = list(pool.map(read, blocks))
        return found, not any(odd)


@cache
def _keys(column: int, count: int) -> UInt64[np.ndarray, "words"]:
    """For each column a word of SplitMix64 (Steele, Lea & Flood, 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(column + 1, column + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _rounded(values: Tensor, dtype: torch.dtype, straight: bool) -> Tensor:
    if straight and values.dtype == torch.float64:
        with np.errstate(over="ignore"):
            return torch.from_numpy(values.cpu().numpy().astype(np.float16))
    return values.to("cpu", dtype).resolve_neg()


def _words(values: Tensor) -> UInt64[np.ndarray, "rows words"]:
    """The bytes of each row, zeros after the last; a view where rows are whole words."""
    count, size = len(values), values.shape[1] * values.element_size()
    data = values.contiguous().view(torch.uint8).numpy().reshape(count, size)
    if size % _WORD:
        data = np.pad(data, ((0, 0), (0, -size % _WORD)))
    return data.view(np.uint64)


def _labels(tables: Sequence[_Rows], hashes: UInt64[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """For each row of all tables, one after the other, a place of the row, the same for equal ones."""
    ordered = np.sort(hashes)
    if bool((ordered[1:] != ordered[:-1]).all()):
        return np.arange(len(hashes))
    leaders = _leaders(hashes)
    doubtful = np.flatnonzero(leaders != np.arange(len(leaders)))
    while len(doubtful):
        others = doubtful[~_equal(tables, doubtful, leaders[doubtful])]
        # Of the rows that differ from the leader of their hash one leads the others, until none differs.
        leaders[others] = others[_leaders(hashes[others])]
        doubtful = others[leaders[others] != others]
    return leaders


def _leaders(values: np.ndarray) -> Int[np.ndarray, "n"]:
    """For each entry a place where its value is, one place for each value."""
    order = values.argsort()
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(values)])
    leaders = np.empty_like(order)
    leaders[order] = np.repeat(order[starts], np.diff(starts, append=len(values)))
    return leaders


def _equal(tables: Sequence[_Rows], rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether the one row is the other, both counted through all tables."""
    starts = np.cumsum([0, *(len(table) for table in tables)])
    own, other = (np.searchsorted(starts, places, side="right") - 1 for places in (rows, others))
    equal = np.empty(len(rows), dtype=bool)
    for i, j in product(range(len(tables)), repeat=2):
        asked = np.flatnonzero((own == i) & (other == j))
        for block in _blocks(len(asked), tables[i].at_once):
            some = asked[block]
            here = tables[i].of(torch.from_numpy(rows[some] - starts[i]))
            there = tables[j].of(torch.from_numpy(others[some] - starts[j]))
            same = [(a == b).all(1) for a, b in zip(here, there, strict=True)]
            equal[some] = torch.stack(same).all(0).numpy()
    return equal


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@njit(nogil=True, cache=True)
@no_type_check
def _add_hash(words, signs, exponents, keys, out):
    """out[i] += Σ_j l(w + k)·h(w + k) mod 2⁶⁴ of the words w and keys k, l and h the halves; is one odd?

    The sum is NH of Black, Halevi, Krawczyk, Krovetz & Rogaway (1999), "UMAC", but that a key is added to a
    word as a whole: what l carries into h is fixed with l, and their lemma holds for it as for a key of h. Of
    rows that differ, one pair in 2³² has one hash. −0 counts as 0: the sum of the other bits carries into the
    sign of each number that is not zero, and no further. A number is odd, infinite or NaN, where its exponent
    has no bit that is zero: one more in its last place carries into the sign.
    """
    others, half, shift = ~signs, np.uint64(0xFFFFFFFF), np.uint64(32)
    odd, lowest = np.uint64(0), exponents & ~(exponents << np.uint64(1))
    for i in range(len(words)):
        total = np.uint64(0)
        for j in range(words.shape[1]):
            size = words[i, j] & others
            odd |= size + lowest
            z = (words[i, j] & ((size + others) | others)) + keys[j]
            total += (z & half) * (z >> shift)
        out[i] += total
    return (odd & signs) != np.uint64(0)
