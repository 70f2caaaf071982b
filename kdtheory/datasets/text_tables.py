"""Tables of numbers in text files: which separator, which decimal mark, whether line 1 is a point.

A first line of names is no point, and a first line of numbers may be names too: pandas writes 0, 1, …, k − 1
above columns that have none. Where the file itself does not tell the two apart it is refused, with the cure.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

import pandas as pd

__all__ = ["TextTable", "read_text_table"]

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)|", re.IGNORECASE)
_WHOLE = re.compile(r"\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_LINES_SEEN = 50
_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", r"\s+": "blanks"}


@dataclass(frozen=True)
class TextTable:
    """A table, and what was understood of its file.

    Args:
        frame: the columns; their names are 0, 1, … where the file has none.
        named: whether the first line was read as names.
        doubtful: why the first line may be names or a point; None where it is clear.
        said: how the file was read, as phrases.
    """

    frame: pd.DataFrame
    named: bool
    doubtful: str | None
    said: tuple[str, ...]


def read_text_table(content: bytes, /, *, header: bool | None = None) -> TextTable:
    """The table of a text file, by commas, semicolons, tabs or blanks; a byte-order mark is no cell.

    Args:
        content: the file, UTF-8.
        header: whether the first line holds names; None looks at it.

    Raises:
        ValueError: it is empty, not UTF-8, or its lines differ in their number of cells.
    """
    text = content.decode("utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()][:_LINES_SEEN]
    if not lines:
        raise ValueError("it is empty")
    separator = _separator(lines)
    rows = [_cells(line, separator) for line in lines]
    _check_widths(rows)
    decimal = "," if _has_decimal_commas(rows, separator) else "."
    named, doubtful = (header, None) if header is not None else _first_line(rows)
    frame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0 if named else None,
        decimal=decimal,
        index_col=False,
        skipinitialspace=True,
        engine="c" if separator != r"\s+" else "python",
    )
    said = [f"cells parted by {_SEPARATORS[separator]}"] if separator != "," else []
    said += ["decimal commas"] if decimal == "," else []
    said += ["first line read as names of columns"] if named else []
    return TextTable(frame, named, doubtful, tuple(said))


def _separator(lines: list[str]) -> str:
    """Of the marks that stand in every line the one that is least likely to stand inside a number."""
    for mark in (";", "\t", ","):
        if all(mark in line for line in lines):
            return mark
    return r"\s+" if all(len(line.split()) > 1 for line in lines) and '"' not in lines[0] else ","


def _cells(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _check_widths(rows: list[list[str]]) -> None:
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            counts = f"line 1 has {len(rows[0])} cells and line {place + 1} has {len(row)}"
            raise ValueError(f"{counts}; give one table, without an index (index=False)")


def _has_decimal_commas(rows: list[list[str]], separator: str) -> bool:
    cells = [cell for row in rows[1:] or rows for cell in row]
    return separator != "," and any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def _first_line(rows: list[list[str]]) -> tuple[bool, str | None]:
    """Whether the first line holds names, and why it may be the other thing."""
    first, rest = rows[0], rows[1:]
    if not first[0]:
        raise ValueError("its first cell is empty, as above an index; write it without one (index=False)")
    words = [cell for cell in first if not _NUMBER.fullmatch(cell)]
    if words:
        numbers = [cell for cell in first if cell and _NUMBER.fullmatch(cell) and not _WHOLE.fullmatch(cell)]
        if numbers:
            raise ValueError(f"its first line mixes words ({words[0]!r}) and numbers ({numbers[0]!r})")
        return True, None
    if not rest or not all(_WHOLE.fullmatch(cell) for cell in first):
        return False, None
    numbered = [int(cell) for cell in first]
    in_order = numbered == list(range(numbered[0], numbered[0] + len(first))) and numbered[0] in (0, 1)
    fractions = not any(_WHOLE.fullmatch(cell) for row in rest for cell in row)
    if len(first) > 1 and in_order and fractions:
        return True, None
    if in_order or (fractions and len(first) > 1):
        shown = ", ".join(first[:4]) + (", …" if len(first) > 4 else "")
        return False, f"its first line ({shown}) may be names of columns or numbers of the table"
    return False, None
