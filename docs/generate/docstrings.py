"""Docstrings are plain text with `names` between backticks; reStructuredText would read more into them."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SPECIAL = re.compile(r"([\\*|])|(?<=\w)(_)(?!\w)")
_NAMES_IN_TWO_LINES = re.compile(r"^( *(?:\w+, )*\w+,)\n +(?=(?:\w+, )*\w+: )", re.MULTILINE)
"""Arguments that are described together, which napoleon wants in one line."""
_TOUCHING = re.compile(r"(``[^`]+``)(?=\w)")
_LONG_DEFAULT = re.compile(r"=\s*\([^()]{200,}\)")


def escaped(lines: list[str]) -> list[str]:
    """The lines with what reStructuredText would read as mark-up escaped, outside of code and examples."""
    told: list[str] = []
    for example, group in groupby(lines, key=_InExample()):
        some = list(group)
        told += some if example else _plain("\n".join(some)).split("\n")
    return told


class _InExample:
    """Whether a line belongs to an example: it begins at a prompt and ends at an empty line."""

    inside = False

    def __call__(self, line: str) -> bool:
        self.inside = bool(line.strip()) and (self.inside or line.lstrip().startswith(">>>"))
        return self.inside


def in_one_line(text: str) -> str:
    """The text with the names of arguments that are described together in one line."""
    return _NAMES_IN_TWO_LINES.sub(r"\1 ", text)


def _plain(text: str) -> str:
    pieces = in_one_line(text).replace("``", "`").split("`")
    if len(pieces) % 2 == 0:
        return _SPECIAL.sub(r"\\\1\2", text).replace("`", r"\`")
    marked = [
        _SPECIAL.sub(r"\\\1\2", piece) if n % 2 == 0 else f"``{piece}``" for n, piece in enumerate(pieces)
    ]
    return _TOUCHING.sub(r"\1\\ ", "".join(marked))


def _process(_app: Sphinx, _what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    if name.startswith("kdtheory"):
        lines[:] = escaped(lines)


def _sign(*event: Any) -> tuple[str, str] | None:
    """A signature whose default is a long table, with three dots for the table."""
    signature, returned = event[-2:]
    short = _LONG_DEFAULT.sub("=...", signature or "")
    return None if short == (signature or "") else (short, returned)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before the sections are read
    app.connect("autodoc-process-signature", _sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
