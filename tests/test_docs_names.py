"""What the prose of the documentation names is there: commands, options, targets, files, public names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from kdtheory import cli
from kdtheory.claims import REGISTRY

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in typer.main.get_command(cli.app).commands.items()
}
OF_OTHERS = {
    *(
        "ValueError",
        "True",
        "False",
        "TMPDIR",
        "DataLoader",
        "Trainer",
        "bokeh",
        "gradient_accumulation_steps",
    ),
    *("OMP_NUM_THREADS", "dask", "state_dict"),
    *("Args", "Raises", "Returns", "CLAIMS", "CONFIG", "SMALL", "by_lightning"),
}
"""Words of Python, of other projects, of a study's script and of a page itself."""
MADE = ("dist/", "build/", "docs/reference/", "figures/temperature_curve/")


def _prose() -> Iterator[tuple[str, str]]:
    """Page and code, for each piece of code within a line."""
    for page in PAGES:
        if "reference" not in page.parts:
            text = re.sub(r"^```.*?^```\s*?$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
            yield from ((page.name, " ".join(code.split())) for code in re.findall(r"`([^`]+)`", text))


def _names() -> set[str]:
    """Modules of the package, their functions, classes and constants, arguments and attributes."""
    found = {"kdtheory"}
    for source in ROOT.glob("kdtheory/**/*.py"):
        found.update(part.removesuffix(".py") for part in source.relative_to(ROOT).parts)
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return {name for name in found if not name.startswith("_")}


def _known(code: str, names: set[str]) -> bool:
    first, *rest = code.split()
    if first == "kdtheory":
        command, *rest = rest
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        named = [word for word in rest if re.fullmatch("[a-z]+(_[a-z]+)+", word)]
        there = REGISTRY if command != "study" else {one.stem for one in ROOT.glob("studies/*.py")}
        known = given <= OPTIONS.get(command, set()) and all(name in there for name in named)
        return command == "--version" or (command in OPTIONS and known)
    if first == "make":
        return bool(re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    if first.startswith("--"):
        return any(first in options for options in OPTIONS.values()) or first in ("--help", "--version")
    if re.fullmatch(r"[\w.]+/[\w./]*", code):
        return code.startswith(MADE) or (ROOT / code).exists()
    word = re.match(r"[A-Za-z_][\w.]*", code)
    if (
        word is None
        or rest
        or re.search(r"\.(cff|csv|json|md|png|py|svg)$", code)
        or first in ("git", "pytest")
    ):
        return True
    return word[0] in OF_OTHERS or all(part in names for part in word[0].split("."))


def test_what_the_prose_names_is_there() -> None:
    names, named = _names(), list(_prose())
    assert len(named) > 200
    assert [(page, code) for page, code in named if not _known(code, names)] == []


@pytest.mark.parametrize(
    "code",
    ["hint", "kdtheory verify --chapters 1", "kdtheory prove", "make tests", "--job", "tests/test_no.py"],
)
def test_what_is_not_there_is_noticed(code: str) -> None:
    assert not _known(code, {"hint_loss"})
