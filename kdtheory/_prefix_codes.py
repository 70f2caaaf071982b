"""Whole numbers and rows of symbols as bits: Elias's gamma code, and arithmetic coding with an estimate.

The estimate is Krichevsky's and Trofimov's (1981), so that no table is sent. The coder keeps 64 bits of
the interval's width, and ends a block of 2^15 bits or less by the dyadic interval of 2 bits more that lies
inside: no block is the beginning of another.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["decode_symbols", "encode_symbols", "gamma", "ungamma"]

_BLOCK_BITS = 2**15
_PRECISION = 64
_SPARE = _PRECISION - 2


class _Estimate:
    """Krichevsky–Trofimov: twice the odd counts, 2c + 1 of 2t + A, kept as whole numbers."""

    def __init__(self, alphabet: int) -> None:
        self.doubled = [1] * alphabet
        self.total = alphabet

    def interval(self, symbol: int) -> tuple[int, int]:
        """The total below the symbol, and the symbol's own share."""
        return sum(self.doubled[:symbol]), self.doubled[symbol]

    def symbol_at(self, target: int) -> int:
        symbol = 0
        while target >= self.doubled[symbol]:
            target -= self.doubled[symbol]
            symbol += 1
        return symbol

    def see(self, symbol: int) -> None:
        self.doubled[symbol] += 2
        self.total += 2


def encode_symbols(rows: list[list[int]], alphabet: int) -> Iterator[str]:
    """Narrow [low, low + width)/2^bits symbol by symbol, and send bits − 62 bits of a point inside."""
    low, width, bits = 0, 1 << _PRECISION, _PRECISION
    for row in rows:
        estimate = _Estimate(alphabet)
        for symbol in row:
            below, share = estimate.interval(symbol)
            unit = width // estimate.total
            low, width = low + unit * below, unit * share
            shift = max(0, _PRECISION - width.bit_length())
            low, width, bits = low << shift, width << shift, bits + shift
            estimate.see(symbol)
            if bits > _BLOCK_BITS:
                yield _ended(low, bits)
                low, width, bits = 0, 1 << _PRECISION, _PRECISION
    yield _ended(low, bits)


def _ended(low: int, bits: int) -> str:
    """The dyadic interval of width 2^62 at or next above `low`: inside, for the width is at least 2^63."""
    return format(-(-low >> _SPARE), f"0{bits - _SPARE}b")


def decode_symbols(message: str, sizes: list[int], alphabet: int) -> tuple[list[list[int]], str]:
    """The encoder's steps again; `above` is how far the message lies above `low`, to as many bits."""
    start, rows = 0, []
    above, width, bits = _window(message, start, _PRECISION), 1 << _PRECISION, _PRECISION
    for size in sizes:
        estimate, row = _Estimate(alphabet), []
        for _ in range(size):
            unit = width // estimate.total
            row.append(estimate.symbol_at(min(above // unit, estimate.total - 1)))
            below, share = estimate.interval(row[-1])
            above, width = above - unit * below, unit * share
            shift = max(0, _PRECISION - width.bit_length())
            above = (above << shift) + _window(message, start + bits, shift)
            width, bits = width << shift, bits + shift
            estimate.see(row[-1])
            if bits > _BLOCK_BITS:
                start += bits - _SPARE
                above, width, bits = _window(message, start, _PRECISION), 1 << _PRECISION, _PRECISION
        rows.append(row)
    end = start + bits - _SPARE
    if len(message) < end:
        raise ValueError(f"message ends {end - len(message)} bits too early")
    return rows, message[end:]


def _window(message: str, start: int, length: int) -> int:
    """So many bits from a place on; past the end zeros, which no symbol depends on."""
    return int(message[start : start + length].ljust(length, "0"), 2) if length else 0


def gamma(number: int) -> str:
    """Elias's gamma code: as many zeros as digits follow the leading one."""
    digits = format(number, "b")
    return "0" * (len(digits) - 1) + digits


def ungamma(message: str) -> tuple[int, str]:
    zeros = len(message) - len(message.lstrip("0"))
    digits = message[zeros : 2 * zeros + 1]
    if len(digits) < zeros + 1:
        raise ValueError("message ends within its first number")
    return int(digits, 2), message[2 * zeros + 1 :]
