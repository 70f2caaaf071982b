"""The command that begins a claim, a study or a world of one's own: new."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kdtheory._near import near
from kdtheory.cli.app import app
from kdtheory.cli.layout import prose
from kdtheory.cli.names import chosen_entries
from kdtheory.files import write_file

KINDS = {
    "claim": "run it by `kdtheory verify {path} --mutants` or `pytest {path}`",
    "study": "run it by `kdtheory study {path}`",
    "world": "test it by `pytest {path}`",
}


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Its name, which the file has too.")],
    out: Annotated[Path, typer.Option(help="The folder to write it into.")] = Path(),
) -> None:
    """Write a claim, a study or a world that runs, to begin from."""
    if kind not in KINDS:
        there = f"; choose one of {', '.join(KINDS)}"
        raise ValueError(f"kind = {kind!r}{near(kind, KINDS, otherwise=there)}")
    if not name.isidentifier() or keyword.iskeyword(name) or name.lower() != name or name.startswith("_"):
        raise ValueError(f"name = {name!r} is no name of a function; write it in lower case: my_{kind}")
    if kind == "claim" and name in {entry["name"] for entry in chosen_entries([])}:
        raise ValueError(f"name = {name!r} is taken by a claim; see `kdtheory show {name}`")
    path = out / f"{name}.py"
    if path.exists():
        raise ValueError(f"{path} is there already; choose another name or --out")
    skeleton = resources.files("kdtheory.cli").joinpath("skeletons", f"{kind}.txt")
    text = skeleton.read_text(encoding="utf-8")
    titled = "".join(part.capitalize() for part in name.split("_"))
    if (spec := importlib.util.find_spec(name)) is not None and spec.origin:  # none: a folder
        raise ValueError(
            f"name = {name!r} is that of a module, which would be imported instead; choose another"
        )
    if {"claim": name, "world": titled}.get(kind) in _imports(text):
        raise ValueError(f"name = {name!r} is that of something the {kind} imports; choose another")
    write_file(path, text.replace("NAME", name).replace("CLASS", titled).encode())
    prose(escape(f"written to {path}; {KINDS[kind].format(path=shlex.quote(str(path)))}"))


def _imports(text: str) -> set[str]:
    """The names that a script imports."""
    statements = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name for one in statements for alias in one.names}
