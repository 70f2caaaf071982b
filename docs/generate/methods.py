"""Method × guarantee × assumption: every function that returns a `Bound`, and every line of `certify`."""

from __future__ import annotations

import importlib
import inspect
import re

from generate.api import homes
from generate.docstrings import in_one_line
from generate.text import page, prose, table
from kdtheory.bounds import Bound
from kdtheory.catalogue import catalogue
from kdtheory.certify import ASSUMPTIONS, LINES, PARTS, SHIPPED
from kdtheory.certify.lines import Line
from kdtheory.certify.word import Word

_PREMISE = re.compile(r"^    ((?:\w+, )*\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""An argument in the docstring of a function, with what is said of it."""

_MATHEMATICS = ("kdtheory.bounds.", "kdtheory.stochastic.")
"""Where bounds are; elsewhere functions of a case put these together, as lines of `certify` and `compare`."""


def write() -> None:
    """The page of both tables."""
    page(
        "methods.md",
        "\n\n".join(
            [
                "# Method, guarantee, assumption",
                "What each way to an upper limit promises, and what it takes your word for. A bound is a "
                "*certificate* where every assumption is met, and a *heuristic* otherwise; which of the "
                "two it is stands with it. All hold for finite samples: none rests on a limit theorem.",
                "## Every function that returns a bound",
                "The assumptions are flags without a default: `True` or `False` has to be said.",
                table(["method", "guarantee, with probability at least 1 − δ", "assumptions"], _bounds()),
                "## Every line of `certify`",
                "A line takes part where what it needs is there, and gets a share of δ that is fixed "
                f"beforehand (parts of version {PARTS}). What it rests on holds by your word; `unmet` names "
                f"what does not ({', '.join(f'`{name}`' for name in ASSUMPTIONS)}).",
                table(["line", "guarantee", "needs", "rests on"], [_line(one) for one in (*LINES, *SHIPPED)]),
            ]
        ),
    )


def bounds() -> dict[str, object]:
    """Every function of the mathematics that returns a `Bound`, by its name in the reference."""
    found = {}
    for name in sorted(set(homes().values())):
        if not name.startswith(_MATHEMATICS):
            continue
        module, _, own = name.rpartition(".")
        made = getattr(importlib.import_module(module), own)
        if inspect.isroutine(made) and _returns(made) in ("Bound", Bound):
            found[name] = made
    return found


def _returns(function: object) -> object:
    return inspect.signature(inspect.unwrap(function)).return_annotation  # type: ignore[arg-type]


def _bounds() -> list[list[str]]:
    rows = []
    for name, function in bounds().items():
        told = inspect.getdoc(function) or ""
        papers = catalogue()["functions"].get(name.rpartition(".")[2], ())
        keys = "".join(f"<br>{prose(key)}" for key in papers)
        rows.append([f"{{py:obj}}`~{name}`{keys}", prose(told.partition("\n\n")[0]), _flags(function, told)])
    return rows


def _flags(function: object, told: str) -> str:
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()  # type: ignore[arg-type]
    flags = [one.name for one in parameters if one.annotation in ("bool", bool)]
    said = {name: text for names, text in _PREMISE.findall(in_one_line(told)) for name in names.split(", ")}
    sentences = [prose(said[flag].removeprefix("whether ").rstrip(".")) for flag in flags if flag in said]
    return "<br>".join(dict.fromkeys(sentences)) or "none: it is never a certificate"


def _line(line: Line) -> list[str]:
    return [f"`{line.name}`", _guarantee(line), ", ".join(line.needs), "<br>".join(map(prose, _rests(line)))]


def _guarantee(line: Line) -> str:
    if line.follows_from:
        return f"certificate, with the share of `{line.follows_from}`"
    if line.part is None:
        return "heuristic only"
    return (
        f"certificate, {line.part:g} parts of δ" if line.part else "certificate, where `shares` asks for it"
    )


def _rests(line: Line) -> list[str]:
    names = ["independent", *line.rests]
    names += ["holdout_unseen"] * bool({"holdout", "labelled"} & set(line.tests))
    names += ["unlabelled_unseen", "one_law"] * ("unlabelled" in line.tests)
    return list(Word(True).sentences(names))
