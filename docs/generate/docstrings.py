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
_LETTER = re.compile(r"\w")
_WITH_TYPE, _COLON = ("attribute", "data", "property"), "\ue000"
"""Of these, what stands before a colon in the first line is read as a type: meanwhile it is another sign."""
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
    told = ""
    for n, piece in enumerate(pieces):
        if n % 2:
            told += f"``{piece}``" + ("\\ " if _LETTER.match(pieces[n + 1]) else "")
        else:
            told += _SPECIAL.sub(r"\\\1\2", piece)
    return told


def _process(_app: Sphinx, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    if name.startswith("kdtheory"):
        lines[:] = escaped(lines)
        if what in _WITH_TYPE and lines:
            lines[0] = lines[0].replace(":", _COLON)


def _put_back(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    if what in _WITH_TYPE:
        lines[:] = [line.replace(_COLON, ":") for line in lines]


def _sign(*event: Any) -> tuple[str, str] | None:
    """A signature with three dots for a default that is a long table, or made anew for each call."""
    signature, returned = event[-2:]
    short = _LONG_DEFAULT.sub("=...", signature or "").replace("<factory>", "...")
    return None if short == (signature or "") else (short, returned)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before the sections are read
    app.connect("autodoc-process-docstring", _put_back, priority=900)
    app.connect("autodoc-process-signature", _sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
