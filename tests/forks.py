"""A package in a folder where it may be broken, and processes that import again only what a change reaches.

One process imports the package and its tests as they are. A fork of it forgets the changed module, whatever
imports that, and the tests, and runs pytest: what it imports again is the wrong version.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from reach import Chosen, Map, Reached

__all__ = ["Tree", "copied", "dotted", "examined", "forked", "imported_once", "reached", "tested"]

MEMORY = 16 * 2**30
PYTEST = ["-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist",
          "-p", "no:kdtheory", "--doctest-modules", "-o",
          "doctest_optionflags=ELLIPSIS", "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip


def dotted(file: Path) -> str:
    """kdtheory/losses/softmax.py ↦ kdtheory.losses.softmax"""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


@dataclass
class Tree:
    """A package with its tests, copied to where it may be broken.

    Args:
        root: the folder.
        package: its name.
        besides: test files of a target besides those that mirror it.
    """

    root: Path
    package: str
    besides: dict[str, list[str]] = field(default_factory=dict)

    def modules(self, target: str) -> list[Path]:
        """The files of a target, relative to the root."""
        place = self.root / self.package / target
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        return [file.relative_to(self.root) for file in files if file.exists()]

    def tests(self, target: str) -> list[str]:
        """The test files of a target, and its modules, for their doctests."""
        place = self.root / "tests" / target
        files = sorted(place.rglob("test_*.py")) if place.is_dir() else []
        files += sorted(place.parent.glob(f"test_{place.name}*.py"))
        files += [self.root / name for name in self.besides.get(target, [])]
        return [*map(str, self.modules(target)), *(str(file.relative_to(self.root)) for file in files)]

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """What each module of the package imports of it, wherever it does so."""
        files = {dotted(f.relative_to(self.root)): f for f in (self.root / self.package).rglob("*.py")}
        graph: dict[str, set[str]] = {}
        for name, file in files.items():
            found: set[str] = set()
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            graph[name] = found & files.keys()
        return graph

    def reached(self, module: str) -> set[str]:
        """The module and all that import it, on any way; packages with all they hold."""
        found, waiting = set(), {module}
        while waiting:
            found |= waiting
            importers = {name for name, used in self.imports.items() if used & waiting}
            inside = {name for name in self.imports for over in waiting if name.startswith(f"{over}.")}
            waiting = (importers | inside) - found - {self.package}
        return found

    def write(self, module: Path, source: str, stamp: int) -> None:
        """The file, and a time of its own, for compiled code is kept by time and size."""
        path = self.root / module
        path.write_text(source)
        os.utime(path, (stamp, stamp))
        reached = [self.root / f"{name.replace('.', '/')}.py" for name in self.reached(dotted(module))]
        if any("njit" in file.read_text() for file in reached if file.exists()):
            # Numba's caches do not see what a function of another file became.
            for cached in (self.root / self.package).rglob("*.nbi"):
                cached.unlink()


def copied(root: Path, package: str, to: Path, besides: dict[str, list[str]]) -> Tree:
    """The package and its tests, in a folder of their own."""
    for name in (package, "tests", "docs"):
        if (root / name).exists():
            shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "reference"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        if (root / name).exists():
            shutil.copy(root / name, to / name)
    return Tree(to, package, besides)


def imported_once(tree: Tree, tests: Sequence[str]) -> None:
    """Import the tests, and with them the package of the copy, without running anything."""
    os.chdir(tree.root)
    own = Path(__file__).parent
    sys.path[:] = [str(tree.root), *(p for p in sys.path if p and Path(p) not in (own, own.parent))]
    here = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        code = pytest.main([*PYTEST, "--collect-only", *tests])
        os.dup2(here, 1)
    if code:
        raise RuntimeError(f"pytest cannot collect the tests of the copy (exit code {int(code)})")
    module = importlib.import_module(tree.package)
    if not str(module.__file__).startswith(str(tree.root)):
        raise RuntimeError(f"{tree.package} was imported from {module.__file__}, not from the copy")


def forget(tree: Tree, module: str) -> None:
    """Let the next import of the module, of all that it reaches, and of the tests be a new one."""
    gone = tree.reached(module)
    tests = str(tree.root / "tests")
    for name, loaded in list(sys.modules.items()):
        helper = name in {"conftest", "typecheck"} or name.endswith(".conftest")
        if name in gone - {tree.package} or (
            str(getattr(loaded, "__file__", "")).startswith(tests) and not helper
        ):
            del sys.modules[name]
    top = sys.modules[tree.package]
    origin = {}
    for node in ast.parse(Path(str(top.__file__)).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module in gone:
            origin |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    for name in {*origin, *(m.split(".")[1] for m in gone if m.count(".") == 1)}:
        vars(top).pop(name, None)

    def missing(name: str) -> Any:
        if name in origin:
            return getattr(importlib.import_module(origin[name][0]), origin[name][1])
        if f"{tree.package}.{name}" in gone:
            return importlib.import_module(f"{tree.package}.{name}")
        raise AttributeError(name)

    vars(top)["__getattr__"] = missing
    with suppress(ImportError):  # beartype keeps the classes that names in annotations stood for
        importlib.import_module("beartype._cache.cacheclear").clear_caches()


def forked(task: Callable[[], Any], folder: Path, seconds: float) -> Any:
    """What the task returns (plain JSON) in a process of its own; "timeout", or "died: …".

    The limit is of processor time, which no other process changes; ten times as much may pass on the clock.
    """
    answer, log = folder / "answer.json", folder / "log.txt"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            place = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(place, 1)
            os.dup2(place, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
            answer.write_text(json.dumps(task()))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(0)
    end = time.monotonic() + 10 * seconds
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    if os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) in (signal.SIGXCPU, signal.SIGKILL):
        return "timeout"
    if answer.exists():
        return json.loads(answer.read_text())
    return f"died: {(log.read_text(errors='replace').strip().splitlines() or [''])[-1][:60]}"


class First:
    """The first failure that pytest reports."""

    name = ""

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.name = self.name or f"collection of {report.nodeid}"

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.name = self.name or report.nodeid


def reached(tree: Tree, tests: Sequence[str]) -> Map:
    """What each of the tests calls; whether it holds is asked elsewhere."""
    found = Reached(tree.root, tree.package)
    pytest.main([*PYTEST, *tests], plugins=[found])
    return found.map


def tested(tree: Tree, module: Path, order: Sequence[Sequence[str]]) -> str:
    """The first test that fails on the module as it is now, wave by wave, or nothing."""
    forget(tree, dotted(module))
    first = First()
    for tests in order:
        files = dict.fromkeys(test.split("::")[0] for test in tests)
        code = pytest.main(["-x", *PYTEST, *files], plugins=[first, Chosen(tests)])
        if code not in (0, 5):
            return first.name or f"pytest's exit code {int(code)}"
    return ""


def examined(tree: Tree, module: str) -> str:
    """The first claim that comes out otherwise than declared, of those that import it or its users."""
    forget(tree, module)
    claims = importlib.import_module(f"{tree.package}.claims")
    level = 0.05 / (2 * len(claims.REGISTRY))
    users = {module} | {name for name, used in tree.imports.items() if module in used}
    for claim in claims.REGISTRY.values():
        made_by = {claim.relation.__module__, *(one.measure.__module__ for one in claim.experiments)}
        if any(name in users or tree.imports.get(name, set()) & users for name in made_by):
            found = claims.examine(claim, claims.Plan(seed=0, device="cpu"))
            verdicts = [claims.judge(part, alpha=level) for part in (found.premise, *found.controls)]
            if verdicts != [claim.expect, *[claim.control_brings] * len(found.controls)]:
                return f"claim {claim.name}"
    return ""
