"""A digest of all that a function rests on: its module, what that imports here, the packages below.

Two runs with the same digest run the same code. A module counts where the function's module imports it,
directly or through others, and where it is of this package, of the function's own, or of the folder of a
module by itself; of all other packages the versions of those that compute count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdtheory._content import content_digest

__all__ = ["code_digest", "source_digest"]

_BELOW = ("torch", "numpy", "scipy", "numba", "scikit-learn")
_HERE = __name__.partition(".")[0]


def code_digest(*functions: Callable[..., Any]) -> str:
    """SHA-256 over the sources that functions rest on, and the versions below them.

    A function of a module without a file, as in a notebook, rests on its own bytecode and defaults, on what
    it closes over, on the functions, classes and values of its module that it names, directly or through
    these, and on this package.

    >>> from kdtheory.streams import Stream
    >>> [code_digest(other) == code_digest(Stream.child) for other in (Stream.numpy, code_digest)]
    [True, False]
    """
    return hashlib.sha256(f"{_versions()} {source_digest(*functions)}".encode()).hexdigest()


def source_digest(*functions: Callable[..., Any]) -> str:
    """SHA-256 over the sources that functions rest on, whatever they run on."""
    digest = hashlib.sha256()
    sources: dict[str, Path] = {}
    for function in functions:
        own = function.__module__
        if _file(own) is None:
            digest.update(content_digest(function).encode())
        sources |= _reached(own if _file(own) else _HERE, {_HERE, own.partition(".")[0], *_beside(own)})
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name].read_bytes())
    return digest.hexdigest()


def _beside(module: str) -> set[str]:
    """The modules and packages in the folder of a module that is a file by itself: it may import them."""
    file = None if "." in module else _file(module)
    if file is None:
        return set()
    return {path.stem for path in file.parent.glob("*.py")} | {
        path.parent.name for path in file.parent.glob("*/*.py")
    }


@cache
def _versions() -> str:
    return " ".join([platform.python_version(), *(f"{name}=={version(name)}" for name in _BELOW)])


def _reached(start: str, packages: set[str]) -> dict[str, Path]:
    """The files of a module and of all that it imports of some packages, directly or through others."""
    names = [start]
    found: dict[str, Path] = {}
    while names:
        name = names.pop()
        if name in found or name.partition(".")[0] not in packages:
            continue
        if (file := _file(name)) is not None:
            found[name] = file
            names.extend(_imported(name, file, file.stat().st_mtime_ns))
    return found


@cache
def _imported(name: str, file: Path, _changed: int) -> tuple[str, ...]:
    """The imports of a module, and those that could be modules; read from its source, so that none is run."""
    parent = name if file.name == "__init__.py" else name.rpartition(".")[0]

    def names() -> Iterator[str]:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                try:
                    source = importlib.util.resolve_name(
                        "." * node.level + (node.module or ""), parent or None
                    )
                except ImportError:  # tried, by what may be a module of a package or a file by itself
                    continue
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)

    return tuple(names())


def _file(name: str) -> Path | None:
    """The source file of a module; None of what is none."""
    module = sys.modules.get(name)
    origin = _origin(name) if module is None else getattr(module, "__file__", None)
    return Path(origin) if origin and origin.endswith(".py") else None


@cache
def _origin(name: str) -> str | None:
    """Where a module that is not loaded would come from; whether its package is loaded plays no part."""
    spec = _spec(name)
    return spec.origin if spec and spec.has_location else None


def _spec(name: str) -> ModuleSpec | None:
    """What is known of a module without importing it, or the packages that it is in."""
    parent = name.rpartition(".")[0]
    if not parent or hasattr(sys.modules.get(parent), "__path__"):
        return importlib.util.find_spec(name)
    above = None if parent in sys.modules else _spec(parent)
    if above is None or above.submodule_search_locations is None:
        return None
    with suppress(KeyError):  # a namespace in a namespace, which asks for what is loaded
        return PathFinder.find_spec(name, list(above.submodule_search_locations))
    return None
