"""Tables of numbers in text files: which separator, which decimal mark, whether line 1 is a point.

A first line of names is no point, and a first line of numbers may be names too: pandas writes 0, 1, …, k − 1
above columns that have none. Where the file itself does not tell the two apart it is refused, with the cure.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import math
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["TextTable", "is_number", "read_text_table"]

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_MISSING = {"", "nan", "-nan", "na", "n/a", "null", "none", "<na>", "#na", "#n/a", "1.#ind", "1.#qnan"}
_WHOLE = re.compile(r"[+-]?\d+")
_WHOLE_VALUED = re.compile(r"[+-]?\d+(\.0*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_WRITTEN_OTHERWISE = re.compile(r"[^a-zA-Z_#]*\d[^a-zA-Z_#]*|0[xX][0-9a-fA-F]+")
_HALF = re.compile(r"[+-]?0\d+|-0")
_EXCEL = re.compile(r"sep=(.)")
_NO_COMMENT = re.compile(r"#(n/?a|ref!|value!|div/0!|num!|name\?|null!)", re.IGNORECASE)
_LINES_SEEN = 50
_BLANKS = r"\s+"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas", _BLANKS: "blanks"}
_NO_TEXT = {
    b"\x1f\x8b": "a gzip file; unpack it",
    b"PK\x03\x04": "a zip file; unpack it, or save the sheet as CSV",
    b"PAR1": "a Parquet file; rename it to .parquet",
    b"\x93NUMPY": "an array of NumPy; rename it to .npy",
}


@dataclass(frozen=True)
class TextTable:
    """A table, and what was understood of its file.

    Args:
        frame: the columns; their names are 0, 1, … where the file has none. Words stand as they are.
        names: of the columns as the file has them, one perhaps twice; None where it has none.
        doubtful: why the first line may be names or a point; None where it is clear.
        said: how the file was read, as phrases.
    """

    frame: pd.DataFrame
    names: tuple[str, ...] | None
    doubtful: str | None
    said: tuple[str, ...]


def read_text_table(content: bytes, /, *, header: bool | None = None) -> TextTable:
    """The table of a text file, by commas, semicolons, tabs, bars or blanks; a byte-order mark is no cell.

    Lines that begin with # are no rows, unless it begins an error of a spreadsheet's; the last one above the
    table has its names where it fits. A separator at the end of every line is left out.

    Args:
        content: the file, UTF-8 (UTF-16 with its mark).
        header: whether the first line holds names; None looks at it.

    Raises:
        ValueError: it is empty, no text, its lines differ in their number of cells, its commas may stand
            inside numbers or between them, a number is beyond float64, its names come again, or an empty line
            in its only column may be a hole.
    """
    every = _decoded(content).splitlines()
    lines = [line for line in every if line.strip()]
    excel = _EXCEL.fullmatch(lines[0].strip()) if lines else None
    rows_of_text = [line for line in lines[bool(excel) :] if not _is_comment(line)]
    if not rows_of_text:
        raise ValueError("it is empty")
    separator = excel[1] if excel else _separator(rows_of_text[:_LINES_SEEN])
    names = _names_in_comments(lines, rows_of_text[0], separator)
    ended = _ends_with_separator(rows_of_text[:_LINES_SEEN], separator)
    if ended:
        rows_of_text = [line.rstrip(" ").removesuffix(separator) for line in rows_of_text]
    table = [names, *rows_of_text] if names is not None else rows_of_text
    _check_widths(table, separator)
    rows = [_cells(line, separator) for line in table[:_LINES_SEEN]]
    if len(rows[0]) == 1:
        _check_no_hole(every)
    decimal = _decimal_mark(rows, _later_commas(table, separator), separator)
    named, doubtful = (header, None) if header is not None else _first_line(rows)
    if named and not doubtful:
        _check_names_once(table, rows[0], sure=header is None)
    said = [f"cells parted by {_SEPARATORS.get(separator, separator)}"] if separator != "," else []
    said += ["decimal commas"] if decimal == "," else []
    said += ["comments left out"] if len(lines) - bool(excel) > len(rows_of_text) else []
    said += ["separators at the ends of lines left out"] if ended else []
    said += ["first line read as names of columns"] if named else []
    frame = _frame(table, separator, decimal, named)
    names_there = tuple(cell or str(name) for cell, name in zip(rows[0], frame.columns, strict=True))
    return TextTable(frame, names_there if named else None, doubtful, tuple(said))


def _check_no_hole(lines: list[str]) -> None:
    """An empty line between others is no row of a wide table, but a missing value of a single column."""
    filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    for number, after in itertools.pairwise(filled):
        if after > number + 1:
            raise ValueError(
                f"line {number + 1} is empty, and it has one column; write the value that is missing there, "
                "or leave the line out"
            )


def is_number(cell: str, /) -> bool:
    """Whether a cell is a number or a hole, in the notations that are read."""
    return bool(_NUMBER.fullmatch(cell)) or cell.lower() in _MISSING


def _decoded(content: bytes) -> str:
    for magic, what in _NO_TEXT.items():
        if content.startswith(magic):
            raise ValueError(f"it is {what}")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is no UTF-8 text; save it as CSV in UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds zero bytes, as no text does; write it again")
    return text


def _frame(lines: list[str], separator: str, decimal: str, named: bool) -> pd.DataFrame:
    """Numbers where a column has nothing else; words as they are, where even 'None' is a word."""

    def read(**settings: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            io.StringIO("\n".join(lines)),
            sep=separator,
            header=0 if named else None,
            decimal=decimal,
            index_col=False,
            skipinitialspace=True,
            **settings,
        )
        return frame

    frame = read()
    words = [name for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    endless = frame.select_dtypes(float).abs() == math.inf
    if not words and not bool(endless.to_numpy().any()):
        return frame
    texts = read(dtype=str, keep_default_na=False)
    for name in endless:
        for cell in texts[name][endless[name]]:
            if any(mark.isdigit() for mark in cell):
                raise ValueError(
                    f"it holds {cell[:20]}, beyond what float64 has; write -inf where that is meant"
                )
    columns = {
        place: texts.iloc[:, place].str.strip() if name in words else frame.iloc[:, place]
        for place, name in enumerate(frame.columns)
    }
    result = pd.DataFrame(columns)
    result.columns = frame.columns
    return result


def _separator(lines: list[str]) -> str:
    """The mark in every line by which all cells below the first line are numbers; else the likeliest."""
    marks = [mark for mark in (";", "\t", "|", ",") if all(mark in line for line in lines)]
    if all(len(line.split()) > 1 for line in lines):
        marks.append(_BLANKS)
    for mark in marks:
        if all(is_number(cell) for line in lines[1:] or lines for cell in _cells(line, mark)):
            return mark
    if marks == [_BLANKS] and not all(any(map(is_number, line.split())) for line in lines[1:] or lines):
        return ","  # words with blanks in them
    return marks[0] if marks else ","


def _cells(line: str, separator: str) -> list[str]:
    if separator == _BLANKS:
        line, separator = " ".join(line.split()), " "
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _names_in_comments(lines: list[str], first: str, separator: str) -> str | None:
    """The last comment above the table, where it has as many cells, and words."""
    above = lines[: lines.index(first)]
    if not above or not above[-1].lstrip().startswith("#"):
        return None
    names = above[-1].lstrip().lstrip("#").strip()
    cells = _cells(names, separator) if names else []
    fits = len(cells) == len(_cells(first, separator)) and any(not is_number(cell) for cell in cells)
    below = all(is_number(cell) for cell in _cells(first, separator))
    return names if fits and below else None


def _ends_with_separator(lines: list[str], separator: str) -> bool:
    if separator == _BLANKS:
        return False
    rows = [_cells(line, separator) for line in lines]
    below = rows[1:] or rows
    widths = {len(row) for row in below}
    if widths == {1} or len(widths) > 1 or any(row[-1] for row in below):
        return False
    return len(rows[0]) == widths.pop() - 1 or not rows[0][-1]


def _check_widths(lines: list[str], separator: str) -> None:
    wanted = len(_cells(lines[0], separator))
    quick = separator != _BLANKS and not any('"' in line for line in lines)
    for place, line in enumerate(lines):
        width = line.count(separator) + 1 if quick else len(_cells(line, separator))
        if width != wanted:
            counts = f"line 1 has {wanted} cells and line {place + 1} has {width}"
            raise ValueError(f"{counts}; give one table, without an index (index=False)")


def _is_comment(line: str) -> bool:
    line = line.lstrip()
    return line.startswith("#") and not _NO_COMMENT.match(line)


def _check_names_once(lines: list[str], names: list[str], *, sure: bool) -> None:
    """Files that were written one after the other have their names again in between."""
    again = [place for place, line in enumerate(lines) if place and line == lines[0]]
    if again and (sure or not all(is_number(cell) for cell in names)):
        raise ValueError(f"line {again[0] + 1} has the names of columns again; leave it out")


def _later_commas(lines: list[str], separator: str) -> list[list[str]]:
    """Some rows with commas of those that were not looked at, where commas do not part cells."""
    if separator == ",":
        return []
    later = itertools.islice((line for line in lines[_LINES_SEEN:] if "," in line), _LINES_SEEN)
    return [_cells(line, separator) for line in later]


def _decimal_mark(rows: list[list[str]], later: list[list[str]], separator: str) -> str:
    below = [cell for row in [*(rows[1:] or rows), *later] for cell in row]
    commas = [cell for cell in below if _DECIMAL_COMMA.fullmatch(cell)]
    if commas and all(_THOUSANDS.fullmatch(cell) for cell in commas):
        cure = "write decimal points, and nothing between thousands"
        raise ValueError(f"the comma of {commas[0]} may be a decimal mark or part thousands; {cure}")
    points = [cell for cell in below if "." in cell and _NUMBER.fullmatch(cell)]
    if commas and points:
        raise ValueError(
            f"{commas[0]} has a decimal comma and {points[0]} a decimal point; write one of them"
        )
    halves = [cell for cell in below if _HALF.fullmatch(cell)]
    if separator == "," and len(rows[0]) > 1 and halves and all(_WHOLE.fullmatch(cell) for cell in below):
        cure = "part the cells by semicolons"
        raise ValueError(f"cells such as {halves[0]} are halves of numbers with decimal commas; {cure}")
    return "," if commas else "."


def _first_line(rows: list[list[str]]) -> tuple[bool, str | None]:
    """Whether the first line holds names, and why it may be the other thing."""
    first, rest = rows[0], rows[1:]
    if not first[0] and len(first) > 1:
        raise ValueError("its first cell is empty, as above an index; write it without one (index=False)")
    if any(not is_number(cell) for cell in first):
        return _first_line_of_words(first, rest)
    if not all(_WHOLE_VALUED.fullmatch(cell) for cell in first):
        return False, None
    numbered = [float(cell) for cell in first]
    shown = ", ".join(first[:4]) + (", …" if len(first) > 4 else "")
    run = [numbered[0] + step for step in range(len(first))]
    fractions = bool(rest) and not any(_WHOLE.fullmatch(cell) for row in rest for cell in row)
    written_whole = all("." not in cell for cell in first)
    if len(first) > 1 and numbered == run and numbered[0] in (0, 1) and fractions and written_whole:
        return True, None
    shuffled = sorted(numbered) == [min(numbered) + step for step in range(len(first))]
    like_names = (shuffled and min(numbered) in (0, 1)) or (len(first) > 1 and numbered == run)
    if like_names or (fractions and written_whole and len(first) > 1):
        return False, f"its first line ({shown}) may be names of columns or numbers of the table"
    return False, None


def _first_line_of_words(first: list[str], rest: list[list[str]]) -> tuple[bool, str | None]:
    words = [cell for cell in first if not is_number(cell)]
    numbers = [cell for cell in first if _NUMBER.fullmatch(cell) and not _WHOLE.fullmatch(cell)]
    if numbers:
        raise ValueError(f"its first line mixes words ({words[0]!r}) and numbers ({numbers[0]!r})")
    if len(first) == 1 and rest and not any(_NUMBER.fullmatch(row[0]) for row in rest):
        return False, f"its first line ({first[0]}) may be the name of the column or a label"
    if all(_WRITTEN_OTHERWISE.fullmatch(cell) for cell in words):
        return True, f"its first line ({', '.join(first[:4])}) may be numbers that are written otherwise"
    below = [all(_WHOLE.fullmatch(cell) for cell in row) for row in rest]
    fractions = not any(_WHOLE.fullmatch(cell) for row in rest[1:] for cell in row)
    if len(first) > 1 and rest[1:] and below[0] and fractions:
        return True, f"its second line ({', '.join(rest[0][:4])}) may be names too, to be left out"
    return True, None
