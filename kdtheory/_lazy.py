"""Packages that import what they name when it is first asked for (PEP 562).

The one table of a package's names is what it imports for type checkers, under `if TYPE_CHECKING:`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["fetch", "lazily"]


class _Lazy(ModuleType):
    """A package whose names are fetched once, by `from home import name`; its submodules count as names."""

    @cached_property
    def _homes(self) -> dict[str, str]:
        tree = ast.parse(Path(str(self.__file__)).read_bytes())
        listed = [node for branch in tree.body if isinstance(branch, ast.If) for node in branch.body]
        return {
            alias.name: str(node.module)
            for node in listed
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def __getattr__(self, name: str) -> Any:
        if name in self._homes:
            home = importlib.import_module(self._homes[name])
            value = vars(self)[name] = getattr(home, name)
            return value
        path = f"{self.__name__}.{name}"
        if name.startswith("__") or importlib.util.find_spec(path) is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return importlib.import_module(path)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self._homes:
            return  # a submodule that was imported does not hide the public name that it shares
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def lazily(package: str, /) -> None:
    """Make a package, named by its `__name__`, import its names when they are asked for."""
    sys.modules[package].__class__ = _Lazy


def fetch(name: str, /) -> None:
    """Have every lazy package that was imported and lists the name fetch it now."""
    for module in list(sys.modules.values()):
        if isinstance(module, _Lazy) and name in module._homes:
            getattr(module, name)
