"""Plain text as Markdown that shows it as it stands, and pages that are written only where they change."""

from __future__ import annotations

import re
from pathlib import Path

from kdtheory.report.indices import indexed

MADE = Path(__file__).parents[1] / "reference"
"""Where every page that is made from the code goes."""

_SPECIAL = re.compile(r"([\\*_<>\[\]|#$~{}])")
_written: set[Path] = set()


def prose(text: str) -> str:
    """Text in which only `names` between backticks and indices (z_s) are marked up, in one line."""
    words = " ".join(text.split())
    pieces = words.split("`")
    if len(pieces) % 2 == 0:
        return _literal(words).replace("`", r"\`")
    return "".join(
        f"`{piece}`" if n % 2 else indexed(piece, escape=_literal) for n, piece in enumerate(pieces)
    )


def _literal(text: str) -> str:
    """Text with every sign that means something in Markdown behind a backslash."""
    return _SPECIAL.sub(r"\\\1", text)


def paragraphs(text: str) -> str:
    """Paragraphs of such text."""
    return "\n\n".join(prose(paragraph) for paragraph in text.split("\n\n") if paragraph.strip())


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; its cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(name: str, text: str) -> None:
    """Write a made page unless it is there already."""
    path = MADE / name
    _written.add(path)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def picture(name: str) -> Path:
    """Where a made picture or file goes."""
    path = MADE / name
    _written.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sweep() -> None:
    """Delete what an earlier build made and this one did not."""
    for path in MADE.rglob("*"):
        if path.is_file() and path not in _written:
            path.unlink()
