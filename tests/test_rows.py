"""Equal rows: those of a comparison of all with all, in every two types of number, whatever the hash."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdtheory import rows as module
from kdtheory.rows import COMPARED, EqualRows, SideBySide
from kdtheory.streams import Stream

FLOATS = [dtype for dtype in COMPARED if dtype.is_floating_point]
# From the finest to the coarsest; of the last two neither holds the other.
FINENESS = {torch.float64: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 2}
# A third, a tenth, a number that is 0 in float16; ties of float16 that float32 makes or unmakes.
PARTS = [0.0, -0.0, 1.0, 3.0, 1 / 3, 0.1, 1e-30, 1 + 2**-11 + 2**-40, 1 + 3 * 2**-11 - 2**-40, -2.5]
# What float32, float64, int32 and int8 cannot hold, and what they make of it.
WHOLES = [0, 1, 2, 3, 2**24, 2**24 + 1, 2**32, 2**53, 2**53 + 1, 257, -1]


def test_there_are_as_many_kinds_of_float_as_are_ranked_here() -> None:
    assert set(FLOATS) == set(FINENESS)


def naive(x: Tensor, y: Tensor) -> np.ndarray:
    """For every two rows, whether one is the other, or the other rounded."""
    a, b = x.dtype, y.dtype

    def equal(left: Tensor, right: Tensor) -> Tensor:
        return (left[:, None] == right[None]).all(-1)

    if a == b:
        ways = [equal(x, y)]
    elif a in FLOATS and b in FLOATS:
        ways = [equal(x.to(b), y)] * (FINENESS[a] <= FINENESS[b])
        ways += [equal(x, y.to(a))] * (FINENESS[b] <= FINENESS[a])
        if {a, b} == {torch.float64, torch.float16}:
            with np.errstate(over="ignore"):
                ways.append(equal(*(torch.from_numpy(t.numpy().astype(np.float16)) for t in (x, y))))
    elif a in FLOATS or b in FLOATS:
        common = a if a in FLOATS else b
        ways = [equal(x.to(common), y.to(common))]
    else:
        ways = [equal(x.long(), y.long())]
    return torch.stack(ways).any(0).numpy()


def naive_pairs(x: Tensor, y: Tensor) -> list[list[int]]:
    return [[i, int(row.argmax())] for i, row in enumerate(naive(x, y)) if row.any()]


def naive_repeats(x: Tensor) -> list[list[int]]:
    return [[i, j] for i, j in naive_pairs(x, x) if j < i]


def table(dtype: torch.dtype, stream: Stream, rows: int = 12) -> Tensor:
    """Rows of two numbers that the type may hold only roundly, from few enough that some come twice."""
    pool = torch.tensor(PARTS, dtype=torch.float64) if dtype in FLOATS else torch.tensor(WHOLES)
    return pool[torch.from_numpy(stream.numpy().integers(0, len(pool), (rows, 2)))].to(dtype)


def copies(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The same rows in another type, by torch, by NumPy and by way of float32."""
    made = [x.to(dtype), x.float().to(dtype)]
    if torch.bfloat16 not in (x.dtype, dtype):
        own = torch.empty(0, dtype=dtype).numpy().dtype
        with np.errstate(over="ignore"):
            made.append(torch.from_numpy(x.numpy().astype(own)))
    return torch.cat(made).flip(0)


@pytest.fixture(params=["the hash", "two values", "one value"])
def any_hash(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hash says of two rows must not matter."""

    def two_values(words: np.ndarray, signs: np.uint64, exponents: np.uint64, keys: Any, out: Any) -> bool:
        out[:] = (words & ~signs).sum(1) % 2
        return False

    def one_value(words: np.ndarray, signs: np.uint64, exponents: np.uint64, keys: Any, out: Any) -> bool:
        out[:] = 7
        return False

    poor: dict[str, Callable[..., bool]] = {"two values": two_values, "one value": one_value}
    if request.param in poor:
        monkeypatch.setattr(module, "_add_hash", poor[request.param])


@pytest.fixture(params=[1, 48, 2**19])
def any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, a few, or all."""
    monkeypatch.setattr(module, "_BLOCK", request.param)


@pytest.mark.parametrize("dtype", COMPARED)
@pytest.mark.usefixtures("any_hash")
def test_pairs_are_those_of_the_slow_comparison(dtype: torch.dtype) -> None:
    seen = 0
    for other, turn in product(COMPARED, range(3)):
        stream = Stream(turn).child(str(dtype), str(other))
        x = table(dtype, stream.child("here"))
        y = torch.cat([table(other, stream.child("there")), copies(x[:6], other)])
        rows = EqualRows({"x": x, "y": y})
        assert rows.pairs("x", "y").tolist() == naive_pairs(x, y), other
        assert rows.pairs("y", "x").tolist() == naive_pairs(y, x), other
        assert rows.pairs("x", "x").tolist() == naive_repeats(x), other
        assert rows.pairs("y", "y").tolist() == naive_repeats(y), other
        seen += len(naive_pairs(x, y))
    assert seen > 30


@pytest.mark.usefixtures("any_hash", "any_block")
def test_three_tables_of_three_types_in_two_parts() -> None:
    dtypes = {"x": torch.float64, "y": torch.float32, "z": torch.float16}
    base = table(torch.float64, Stream(4))
    parts = {name: base[[0, 1, 2, 3, 1]].to(dtype) for name, dtype in dtypes.items()}
    other = torch.tensor([[1], [2], [3], [4], [2]], dtype=torch.uint8)
    tables = {
        name: SideBySide((part, other.roll(shift, 0))) for shift, (name, part) in enumerate(parts.items())
    }
    rows = EqualRows(tables)
    for here, there in product(dtypes, dtypes):
        both = naive(parts[here], parts[there]) & naive(tables[here].parts[1], tables[there].parts[1])
        first = [[i, int(row.argmax())] for i, row in enumerate(both) if row.any()]
        expected = [[i, j] for i, j in first if here != there or j < i]
        assert rows.pairs(here, there).tolist() == expected
    assert rows.pairs("x", "x").tolist() == [[4, 1]]
    assert len(rows.pairs("x", "y")) < len(EqualRows(parts).pairs("x", "y")) == 5, "the second part is seen"


def test_a_number_that_two_roads_round_apart_is_found_on_both() -> None:
    """1 + 2⁻¹¹ + 2⁻⁴⁰ is above a tie of float16, on which float32 puts it."""
    fine = torch.tensor([[1 + 2**-11 + 2**-40]], dtype=torch.float64)
    straight, through = torch.from_numpy(fine.numpy().astype(np.float16)), fine.float().half()
    assert not torch.equal(straight, through)
    both = EqualRows({"fine": fine, "coarse": torch.cat([through, straight])})
    assert both.pairs("fine", "coarse").tolist() == [[0, 0]]
    assert both.pairs("coarse", "fine").tolist() == [[0, 0], [1, 0]]
    assert both.pairs("coarse", "coarse").tolist() == []


def test_what_differs_is_not_called_equal_by_rounding_twice() -> None:
    fine = torch.tensor([[0.1], [0.1 + 1e-15]], dtype=torch.float64)
    assert EqualRows({"fine": fine}).pairs("fine", "fine").tolist() == []
    both = EqualRows({"fine": fine, "other": fine[1:], "coarse": fine[:1].float()})
    assert both.pairs("fine", "other").tolist() == [[1, 0]]
    assert both.pairs("fine", "coarse").tolist() == [[0, 0], [1, 0]], "one float32 is a copy of both"
    assert both.pairs("coarse", "fine").tolist() == [[0, 0]]
    halves = torch.tensor([[0.5]]), torch.tensor([[0]])
    assert EqualRows(dict(zip("xy", halves, strict=True))).pairs("x", "y").tolist() == [], "cut off to 0"


@pytest.mark.parametrize("dtype", FLOATS)
def test_both_zeros_are_one(dtype: torch.dtype) -> None:
    zeros = torch.tensor([[0.0, 1.0, -0.0], [-0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], dtype=dtype)
    assert EqualRows({"x": zeros}).pairs("x", "x").tolist() == [[1, 0]]
    assert torch.signbit(zeros[1, 0]), "the points themselves stay as they are"


def test_minus_infinity_is_a_number_like_others() -> None:
    ruled_out = torch.tensor([[0.0, -torch.inf], [0.0, torch.finfo(torch.float32).min], [0.0, -torch.inf]])
    rows = EqualRows({"x": ruled_out, "y": ruled_out.double()})
    assert rows.pairs("x", "x").tolist() == [[2, 0]]
    assert rows.pairs("x", "y").tolist() == [[0, 0], [1, 1], [2, 0]]


LAYOUTS = {
    "a vector": lambda x: x[:, 0],
    "images": lambda x: x.reshape(len(x), 2, 1, 3),
    "transposed": lambda x: x.T.contiguous().T,
    "every other row": lambda x: torch.stack([x, x + 50], 1).flatten(0, 1)[::2],
    "some columns": lambda x: torch.cat([x, torch.arange(len(x))[:, None].to(x)], 1)[:, :6],
    "off the boundary of a word": lambda x: torch.cat([torch.zeros(1), x.flatten()])[1:].reshape(x.shape),
    "expanded": lambda x: x[:, :1, None].expand(-1, 5, 2),
    "with a graph": lambda x: x.clone().requires_grad_(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("any_block")
def test_the_layout_in_memory_does_not_matter(layout: str) -> None:
    x = torch.from_numpy(Stream(2).numpy().integers(0, 2, (40, 6))).float()
    laid = LAYOUTS[layout](x)
    plain = laid.detach().reshape(40, -1).clone()
    rows = EqualRows({"x": laid, "y": laid[20:].clone()})
    assert rows.pairs("x", "x").tolist() == naive_repeats(plain)
    assert rows.pairs("x", "y").tolist() == naive_pairs(plain, plain[20:])


@pytest.mark.parametrize("width", [*range(1, 10), 16, 17])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_every_column_counts(dtype: torch.dtype, width: int) -> None:
    """Rows that differ in one column alone, at the end of a word and beyond it."""
    rows = torch.cat([torch.zeros(1, width), torch.eye(width), torch.zeros(1, width)]).to(dtype)
    for parts in ((rows,), (rows[:, :1], rows), (rows, rows[:, -1:])):
        assert EqualRows({"x": SideBySide(parts)}).pairs("x", "x").tolist() == [[width + 1, 0]]
        kind = ((dtype, False),) * len(parts)
        assert len(np.unique(module._Rows(parts, kind).hashes()[0])) == width + 1, "the hash sees them all"


def test_the_hash_tells_one_side_from_the_other() -> None:
    one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    sides = torch.cat([one, two]), torch.cat([two, one])
    kind = ((torch.float32, False),) * 2
    assert len(np.unique(module._Rows(sides, kind).hashes()[0])) == 2
    assert EqualRows({"x": SideBySide(sides)}).pairs("x", "x").tolist() == []


def test_tables_are_read_once_by_blocks_and_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    words = module._words

    def noted(values: Tensor) -> np.ndarray:
        read.append(values.numel())
        return words(values)

    monkeypatch.setattr(module, "_words", noted)
    monkeypatch.setattr(module, "_BLOCK", 4096)
    tables = {
        name: torch.arange(40 * n).reshape(n, 40).float() for name, n in (("x", 99), ("y", 50), ("z", 1))
    }
    rows = EqualRows(tables)
    assert [len(rows.pairs(*pair)) for pair in product("xyz", repeat=2)] == [0, 50, 1, 50, 0, 1, 1, 1, 0]
    assert sum(read) == 40 * (99 + 50 + 1)
    assert max(read) * 8 <= 4096
    assert np.shares_memory(words(tables["x"]), tables["x"].numpy()), "no copy of whole words"


def test_the_hash_tells_rows_apart() -> None:
    """A poor one leaves the answer right and takes time: few words, permuted ones, one bit in one word."""
    values = np.array(list(product(range(8), repeat=5)), dtype=np.uint64)
    onehot = np.eye(5, dtype=np.uint64)[:, None] << np.arange(4, 64, dtype=np.uint64)[:, None]
    words = np.concatenate([values, onehot.reshape(-1, 5)])
    out = np.zeros(len(words), dtype=np.uint64)
    zero = np.uint64(0)
    assert not module._add_hash(words, zero, zero, module._keys(0, 5), out)
    assert len(np.unique(out)) == len(words)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [one for one in COMPARED if one.is_floating_point])
@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_one_reading_says_whether_all_numbers_are_finite(
    odd: float, dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 96)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    info = torch.finfo(dtype)
    fine = torch.tensor(
        [0.0, -0.0, info.max, info.min, info.tiny, -info.smallest_normal, 1.0], dtype=torch.float64
    )
    fine = fine.to(dtype)
    table = fine.repeat(5, 1)
    hashes, finite = module.hashed(table)
    assert (finite, len(np.unique(hashes))) == (True, 1)
    for row, column in product(range(5), range(7)):
        wrong = table.clone()
        wrong[row, column] = odd
        assert not module.hashed(wrong)[1]
    assert module.hashed(torch.full((3, 5), -1))[1]


def test_parts_side_by_side_have_one_number_of_rows() -> None:
    with pytest.raises(ValueError, match=r"parts have \[2, 3\] rows"):
        SideBySide((torch.zeros(3, 1), torch.zeros(2, 1)))
    with pytest.raises(ValueError, match="one part or more"):
        SideBySide(())
    assert len(SideBySide((torch.zeros(3, 1), torch.zeros(3)))) == 3
