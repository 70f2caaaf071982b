"""A measurement cannot see whether it serves a premise or a control: it never branches on a setting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "kdtheory"
HOME = PACKAGE / "experiments"
TREES = {path: ast.parse(path.read_text()) for path in sorted(HOME.rglob("*.py"))}
CLAIMS = sorted((PACKAGE / "claims").rglob("*.py"))
NO_CLAIMS = {"core.py", "examination.py", "finding.py", "scaled.py", "power.py", "verdict.py"}
"""The machine of the claims, and its evidence: they compare words that are no settings."""


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def functions(tree: ast.AST) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


FUNCTIONS = {name: node for tree in TREES.values() for name, node in functions(tree).items()}


def is_experiment(node: ast.FunctionDef) -> bool:
    return any("experiment" in ast.unparse(decorator) for decorator in node.decorator_list)


def branches(node: ast.FunctionDef, settings: set[str]) -> Iterator[str]:
    """Where a function decides by one of these names, itself or in a function that it hands the name to."""
    settings = settings | {
        target.id
        for assigned in ast.walk(node)
        if isinstance(assigned, ast.Assign) and isinstance(assigned.value, ast.Name)
        for target in assigned.targets
        if isinstance(target, ast.Name) and assigned.value.id in settings
    }

    def mentions(test: ast.AST) -> bool:
        return any(isinstance(part, ast.Name) and part.id in settings for part in ast.walk(test))

    for part in ast.walk(node):
        tests: list[ast.AST] = []
        match part:
            case ast.If() | ast.IfExp() | ast.While():
                tests = [part.test]
            case ast.Match():
                tests = [part.subject]
            case ast.comprehension():
                tests = list(part.ifs)
            case ast.BoolOp():
                tests = [part]
        yield from (f"{node.name}: {ast.unparse(test)}" for test in tests if mentions(test))
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in FUNCTIONS:
            called = FUNCTIONS[part.func.id]
            if called is node or is_experiment(called):
                continue
            names = [arg.arg for arg in (*called.args.posonlyargs, *called.args.args)]
            handed = {name for name, value in zip(names, part.args, strict=False) if _is(value, settings)}
            handed |= {key.arg for key in part.keywords if key.arg and _is(key.value, settings)}
            if handed:
                yield from branches(called, handed)


def _is(value: ast.AST, settings: set[str]) -> bool:
    return isinstance(value, ast.Name) and value.id in settings


MEASUREMENTS = [
    pytest.param(node, id=f"{named(path)}:{node.name}")
    for path, tree in TREES.items()
    for node in functions(tree).values()
    if is_experiment(node)
]


@pytest.mark.parametrize("node", MEASUREMENTS)
def test_no_measurement_branches_on_a_setting(node: ast.FunctionDef) -> None:
    assert list(branches(node, {arg.arg for arg in node.args.kwonlyargs})) == []


def words_compared(tree: ast.AST) -> list[str]:
    def is_word(side: ast.AST) -> bool:
        return isinstance(side, ast.Constant) and isinstance(side.value, str)

    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Eq | ast.NotEq | ast.Is | ast.IsNot) for one in node.ops)
        and any(is_word(side) for side in (node.left, *node.comparators))
    ]


@pytest.mark.parametrize("path", [path for path in TREES if path.name != "run.py"], ids=named)
def test_no_experiment_compares_words(path: Path) -> None:
    assert words_compared(TREES[path]) == []


def test_the_branches_that_are_looked_for_are_found() -> None:
    source = """
@experiment
def measured(run, /, *, noise=1.0, law=None):
    also = noise
    if also > 0:
        return 1
    chosen = 2 if law is None else 3
    return chosen
"""
    (node,) = functions(ast.parse(source)).values()
    assert list(branches(node, {"noise", "law"})) == ["measured: also > 0", "measured: law is None"]
    assert words_compared(ast.parse("a == 'b'")) == ["a == 'b'"]
