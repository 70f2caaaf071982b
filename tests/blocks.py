"""Blocks of code in Markdown, executed from top to bottom, and what they print compared with what is shown.

A page is one session in an empty folder. A `python` block shares its names with those before it; each line of
an `sh` block that calls kdtheory is run, and so is each line behind a `$` in a `console` block, whose other
lines are what it prints. A `text` block is what the block right above it prints; three dots stand for
anything.

Whole numbers are compared as they stand. Others may differ by two per cent or by one in the last digit shown:
networks trained on another processor are other networks, if nearly the same.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```([\w{}]*)[^\n]*\n(.*?)^```\s*?$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"[-−]?\d+\.\d+(?:[eE][-+]?\d+)?")
_ALLOWED = 0.02
SHOWN = ("bibtex", "toml", "yaml", "ini", "none")
"""Kinds of blocks that are files or drawings, to be read and not to be run."""


@dataclass(frozen=True)
class Block:
    """A block of code, and what it prints as far as that is shown."""

    kind: str
    code: str
    line: int
    shown: str | None = None


def blocks(text: str) -> list[Block]:
    """The blocks of a page, each with the `text` block right below it."""
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(text):
        kind, code = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if kind == "text" and found and not text[end : match.start()].strip():
            found[-1] = Block(found[-1].kind, found[-1].code, found[-1].line, code)
        elif not kind.startswith("{"):
            found.append(Block(kind, code, line))
        end = match.end()
    return found


def execute(page: Path, folder: Path) -> int:
    """Run every block of a page in a folder; how many there are.

    Raises:
        AssertionError: a block fails, prints something else than is shown, or is of a kind that nobody runs.
    """
    names: dict = {"__name__": page.stem}
    some = blocks(page.read_text(encoding="utf-8"))
    for block in some:
        where = f"{page.name}, line {block.line}"
        if block.kind == "python":
            compare(block.shown, _python(block.code, where, names), where)
        elif block.kind == "sh":
            told = "".join(_command(line, folder, where) for line in block.code.splitlines())
            compare(block.shown, told, where)
        elif block.kind == "console":
            for command, shown in _session(block.code):
                compare(shown, _command(command, folder, where), where)
        else:
            assert block.kind in SHOWN, f"{where}: a block of kind {block.kind!r} is not run"
    return len(some)


def _python(code: str, where: str, names: dict) -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(code, where, "exec"), names)
    return told.getvalue()


def _session(text: str) -> Iterator[tuple[str, str]]:
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = piece.partition("\n")
        yield command, shown


def _command(line: str, folder: Path, where: str) -> str:
    """What a command prints: kdtheory is run, a target of make has to be there, others are left alone."""
    words = shlex.split(line, comments=True)
    if not words:
        return ""
    if words[0] == "make":
        targets = (Path(__file__).parents[1] / "Makefile").read_text()
        assert re.search(rf"^{words[1]}:", targets, re.MULTILINE), f"{where}: make has no {words[1]}"
        return ""
    if words[0] in ("pip", "git", "pytest", "python", "pre-commit"):
        return ""
    assert words[0] == "kdtheory", f"{where}: nobody runs {words[0]}"
    told = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, f"{where}: {line} ends with {told.returncode}: {told.stderr}"
    return told.stdout


def compare(shown: str | None, told: str, where: str) -> None:
    """Raise unless what was told is what is shown."""
    if shown is None:
        return
    words, place = told.split(), 0
    pieces = [piece.split() for piece in re.split(r"(?:(?<=\s)|^)\.\.\.(?=\s|$)", shown)]
    for number, piece in enumerate(pieces):
        places = [place] if number == 0 else range(place, len(words) - len(piece) + 1)
        if number and number == len(pieces) - 1:
            places = [max(place, len(words) - len(piece))]
        place = next((at for at in places if _same(piece, words[at : at + len(piece)])), -1) + len(piece)
        assert place >= len(piece), f"{where} shows\n{shown}\nand prints\n{told}"
    assert len(pieces) > 1 or place == len(words), f"{where} shows\n{shown}\nand prints\n{told}"


def _same(shown: list[str], told: list[str]) -> bool:
    return len(shown) == len(told) and all(map(_same_word, shown, told))


def _same_word(shown: str, told: str) -> bool:
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", told):
        return False
    return all(map(_near, _NUMBER.findall(shown), _NUMBER.findall(told)))


def _near(shown: str, told: str) -> bool:
    last = 10.0 ** -len(re.split("[eE]", shown)[0].partition(".")[2])
    left, right = float(shown.replace("−", "-")), float(told.replace("−", "-"))
    return abs(left - right) <= max(_ALLOWED * abs(left), 1.01 * last if "e" not in shown.lower() else 0)
