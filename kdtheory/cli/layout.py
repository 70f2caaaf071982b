"""How the commands lay out what they say: whole names at any width, one line an item where it is piped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from kdtheory.answers import Answer
from kdtheory.cli.app import out_console

__all__ = [
    "COLOURS",
    "NUMBERS",
    "WHOLE",
    "WORDS",
    "check_apart",
    "coloured",
    "item",
    "line",
    "print_answer",
    "print_table",
    "prose",
    "rows",
]

COLOURS = {
    "SUPPORTED": "green",
    "REFUTED": "red",
    "INCONCLUSIVE": "yellow",
    "VACUOUS": "cyan",
    "BLIND": "magenta",
    "OUT_OF_SCOPE": "blue",
    "ERROR": "bold red",
}

Look = Mapping[str, Any]
WHOLE: Look = {"no_wrap": True}
NUMBERS: Look = {"no_wrap": True, "justify": "right"}
WORDS: Look = {}
"""How a column of a table is laid out: names are never folded, words are."""


_MEMBER = re.compile(r"(.+?\.npz):.+", re.IGNORECASE)


def check_apart(out: Path | None, *others: Path | None) -> None:
    """Raise where the document would be written over a file that it was made from, or another that is."""
    files = [Path(_MEMBER.sub(r"\1", str(path))) for path in others if path is not None]
    if out is not None and out.resolve() in {path.resolve() for path in files}:
        raise ValueError(f"out = {str(out)!r} is one of the files that are read or written; name another")


def coloured(verdict: str) -> str:
    """A verdict in its colour."""
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def line(*cells: str) -> None:
    """One line of cells between tabs, for what reads it from a pipe; nothing is folded or cut."""
    typer.echo("\t".join(" ".join(Text.from_markup(cell, emoji=False).plain.split()) for cell in cells))


def prose(text: str, *, indent: int = 0, style: str = "") -> None:
    """Words, folded at the width of the terminal and not where they are piped."""
    if out_console.is_terminal:
        words = Text.from_markup(text, style=style, emoji=False)
        out_console.print(Padding(words, (0, 0, 0, indent), expand=False))
    else:
        typer.echo(Text.from_markup(text, emoji=False).plain)


def item(cells: Sequence[str], below: Mapping[str, str]) -> None:
    """One item: its cells on one line, and what is said of it below, each under its name."""
    if not out_console.is_terminal:
        line(*cells, *below.values())
        return
    out_console.print("  ".join(cell for cell in cells if cell), soft_wrap=True, highlight=False)
    said = "; ".join(f"{name} {text}" if name else text for name, text in below.items() if text)
    if said:
        prose(said, indent=6, style="dim")


def rows(entries: Mapping[str, str]) -> None:
    """Named entries under each other, the names in a column of their own; empty ones are left out."""
    told = {name: text for name, text in entries.items() if text}
    if not out_console.is_terminal:
        for name, text in told.items():
            for part in filter(str.strip, text.splitlines()):
                line(name, escape(part))
        return
    grid = Table("", Column("", overflow="fold"), show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, text in told.items():
        grid.add_row(f"[bold]{name}[/]", escape(text))
    out_console.print(grid)


def print_table(
    title: str,
    columns: Mapping[str, Look],
    cells: Sequence[Sequence[str]],
    bold: int | None = None,
) -> None:
    """A table whose columns are as they say, one row of it in bold; a line a row where it is piped."""
    if not out_console.is_terminal:
        for row in cells:
            line(*row)
        return
    grid = Table(*(Column(name, **settings) for name, settings in columns.items()), title=title or None)
    for n, row in enumerate(cells):
        grid.add_row(*row, style="bold" if n == bold else None)
    out_console.print(grid)


def print_answer(answer: Answer, read: Sequence[str], *, everything: bool) -> None:
    """Print what is known, first of all; what was read; then the table by worth and what else there is."""
    prose(f"[bold]{escape(answer.sentence)}.[/]")
    for text in read:
        prose(escape(text), style="dim")
    columns = {name: NUMBERS if j == 0 else WHOLE for j, name in enumerate(answer.columns[:-1])}
    cells = [[escape(cell) for cell in row] for row in answer.rows]
    print_table("", columns | {answer.columns[-1]: WORDS}, cells)
    for heading, lines in answer.paragraphs(everything=everything):
        prose(f"{escape(heading)}:")
        for text in lines:
            prose(f"- {escape(text)}", indent=2)
    if not everything:
        prose("`--all` has the terms, the shares of δ, and what does not apply, and why", style="dim")
