"""The words of a result for whoever acts on it: one sentence, a table by worth, what would tighten it.

Limits are rounded upwards: what is printed is never less than what was proved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from html import escape

__all__ = ["AHEAD", "RESTS", "Answer", "confidence", "hundredfold", "percent", "probability", "upwards"]

AHEAD = "What would make the limit smaller"
RESTS = "What it rests on"
"""Headings of what comes below a table."""

_WIDTH = 80
_DIGITS = 6
_DOWN = Context(rounding=ROUND_FLOOR)


@dataclass(frozen=True)
class Answer:
    """A sentence, the table below it, and what to do next.

    Args:
        sentence: what is known.
        columns: of the table; the last one is words.
        rows: by worth.
        told: heading ↦ what comes below the table, as what would make the limit smaller.
        rest: heading ↦ what else there is, for who asks for all.

    >>> Answer("One is known", ("at most", "line"), (("1 %", "one"),)).text().splitlines()
    ['One is known.', '', 'at most  line', '1 %      one']
    """

    sentence: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def paragraphs(self, *, everything: bool = False) -> list[tuple[str, tuple[str, ...]]]:
        """Headings and lines below the table."""
        shown = [*self.told.items(), *(self.rest.items() if everything else ())]
        return [(heading, lines) for heading, lines in shown if lines]

    def text(self, *, everything: bool = False) -> str:
        """As plain text, 80 columns wide."""
        parts = [textwrap.fill(f"{self.sentence}.", _WIDTH)]
        parts += [_table(self.columns, self.rows)] * bool(self.rows)
        parts += [_listed(*one) for one in self.paragraphs(everything=everything)]
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()

    def html(self) -> str:
        """As HTML, for a notebook."""
        cells = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows]
        names = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        told = [
            f"<p>{escape(heading)}</p><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
            for heading, lines in self.paragraphs()
        ]
        table = f"<table><tr>{names}</tr>{''.join(cells)}</table>" if self.rows else ""
        return f"<p><b>{escape(self.sentence)}.</b></p>{table}{''.join(told)}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells under their names, the last column folded."""
    widths = [max(len(row[j]) for row in (columns, *rows)) + 2 for j in range(len(columns) - 1)]
    lines = []
    for row in (columns, *rows):
        head = "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True))
        indent = " " * len(head)
        lines.append(textwrap.fill(row[-1], _WIDTH, initial_indent=head, subsequent_indent=indent))
    return "\n".join(lines)


def _listed(heading: str, lines: Sequence[str]) -> str:
    folded = [
        textwrap.fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join([f"{heading}:", *folded])


def percent(limit: float, /) -> str:
    """A limit of a probability in percent, with three digits, rounded upwards.

    >>> percent(0.04807), percent(0.5), percent(1.7e14), percent(-0.0)
    ('4.81 %', '50 %', 'more than 100 %', '0 %')
    """
    if not limit <= 1:
        return "more than 100 %"
    exact = Decimal(repr(float(limit) + 0.0)) * 100  # −0 is 0
    digits = Decimal(1).scaleb(exact.adjusted() - 2) if exact else Decimal(1)
    return f"{exact.quantize(min(digits, Decimal(1)), ROUND_CEILING).normalize():f} %"


def hundredfold(given: float, /) -> str:
    """100 times a number that was given, no digit rounded.

    >>> hundredfold(0.03), hundredfold(-0.0123456789), hundredfold(1e-9)
    ('3', '-1.23456789', '0.0000001')
    """
    return f"{(Decimal(repr(float(given) + 0.0)) * 100).normalize():f}"


def upwards(limit: float, /) -> str:
    """A limit with six digits, rounded upwards.

    >>> upwards(0.1234561), upwards(0.3), upwards(-0.1234569), upwards(1.7e14)
    ('0.123457', '0.3', '-0.123456', '1.7e+14')
    """
    exact = Decimal(repr(float(limit) + 0.0))
    if not exact or not exact.is_finite():
        return f"{float(exact):g}"
    step = Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1)
    return f"{float(exact.quantize(step, ROUND_CEILING)):.{_DIGITS}g}"


def probability(delta: float, /) -> str:
    """1 − δ, rounded downwards.

    >>> probability(0.05), probability(1 / 60), probability(1e-9), probability(1 - 1e-9)
    ('0.95', '0.9833333', '0.999999999', '0')
    """
    return f"{abs(_DOWN.subtract(Decimal(1), Decimal(upwards(delta)))).normalize():f}"


def confidence(delta: float, /) -> str:
    """1 − δ in percent, rounded downwards.

    >>> confidence(0.05), confidence(1e-6)
    ('95 %', '99.9999 %')
    """
    return f"{_DOWN.subtract(Decimal(100), 100 * Decimal(repr(float(delta)))).normalize():f} %"
