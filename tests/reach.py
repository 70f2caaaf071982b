"""Which tests call which functions: a map made once, by which a wrong version meets its own tests first.

A test reaches a function of the package where it calls it, itself or through others, on any thread. What is
kept between tests (fixtures, caches) is counted for the first test that asks for it, so that the map is an
order and no more: the tests of the same files come last, before it is said that none notices.
"""

from __future__ import annotations

import ast
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

__all__ = ["Chosen", "Reached", "function_at", "waves"]

AT_ONCE = 3.0
"""Seconds of tests in a first wave."""

Map = dict[str, tuple[float, list[str]]]
"""Of each test the seconds it takes and the functions it calls, as `package/module.py:Class.method`."""


@dataclass
class Reached:
    """A plugin of pytest that makes the map.

    Args:
        folder: the root of the tree.
        package: whose functions count.
    """

    folder: Path
    package: str
    map: Map = field(default_factory=dict)
    called: set[tuple[str, str]] = field(default_factory=set)

    def _calls(self, frame: FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.inside):
            self.called.add((code.co_filename, code.co_qualname))

    def __post_init__(self) -> None:
        self.inside = f"{self.folder / self.package}/"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.called, start = set(), time.process_time()
        threading.settrace(self._calls)
        sys.settrace(self._calls)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            names = {
                f"{Path(file).relative_to(self.folder)}:{_outermost(name)}" for file, name in self.called
            }
            self.map[item.nodeid] = time.process_time() - start, sorted(names)


@dataclass
class Chosen:
    """A plugin of pytest that runs these tests and no others, in their order."""

    tests: Sequence[str]

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        place = {name: number for number, name in enumerate(self.tests)}
        items[:] = sorted((i for i in items if i.nodeid in place), key=lambda item: place[item.nodeid])


def function_at(source: str, line: int) -> str:
    """The name of the outermost function, or method, that has the line in it; nothing outside of all."""
    node: ast.AST = ast.parse(source)
    names: list[str] = []
    while not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        inside = [n for n in getattr(node, "body", []) if isinstance(n, kinds)]
        inside = [n for n in inside if n.lineno <= line <= (n.end_lineno or line)]
        if not inside:
            return ""
        node = inside[0]
        names.append(inside[0].name)
    return ".".join(names)


def waves(reached: Map, module: str, function: str) -> list[list[str]]:
    """Tests of a line in the order in which they are asked: the fastest that call its function, the others
    that do, and all others of the same files.

    Where none calls it, those that call anything of the module count, and else all.
    """
    seconds = {test: taken for test, (taken, _) in reached.items()}
    exact = [test for test, (_, names) in reached.items() if f"{module}:{function}" in names]
    near = [t for t, (_, names) in reached.items() if any(n.startswith(f"{module}:") for n in names)]
    found = sorted(exact or near or reached, key=seconds.__getitem__)
    first, taken = [], 0.0
    for test in found:
        taken += seconds[test]
        if first and (taken > AT_ONCE or len({_file(t) for t in [*first, test]}) > 2):
            break
        first.append(test)
    files = {_file(test) for test in found}
    rest = [test for test in found if test not in first]
    others = [test for test in reached if _file(test) in files and test not in found]
    return [wave for wave in (first, *(_by_file(tests) for tests in (rest, others))) if wave]


def _by_file(tests: Sequence[str]) -> list[str]:
    """Fixtures of a file are made once: its tests stay together, the file of the fastest first."""
    order = list(dict.fromkeys(_file(test) for test in tests))
    return sorted(tests, key=lambda test: order.index(_file(test)))


def _file(test: str) -> str:
    return test.split("::")[0]


def _outermost(name: str) -> str:
    return name.split(".<locals>")[0]
