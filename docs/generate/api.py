"""The API reference: every public name of every public module, once, where it is shortest to import."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import kdtheory
from generate.docstrings import escaped
from generate.text import page, prose
from kdtheory.claims import REGISTRY

_LEVELS = 2
"""A page is for a module right below the package; its submodules' names stand on it too."""


@lru_cache(maxsize=1)
def homes() -> dict[str, str]:
    """Every public name with its module ↦ the name under which the reference has it.

    A name is public where a module has it in `__all__` and no part of the module's name begins with an
    underscore.
    """
    modules = [
        kdtheory.__name__,
        *(found.name for found in pkgutil.walk_packages(kdtheory.__path__, "kdtheory.")),
    ]
    same: dict[tuple[int, str], list[str]] = defaultdict(list)
    for module in modules:
        if any(part.startswith("_") for part in module.split(".")):
            continue
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", ()):
            same[id(getattr(loaded, name)), name].append(f"{module}.{name}")
    return {name: _shortest(names) for names in same.values() for name in names}


def _shortest(names: list[str]) -> str:
    """The name by the subpackage of a topic; that of the whole package only where there is no other."""
    return min(names, key=lambda name: (name.count(".") == 1, name.count("."), name))


def pages() -> dict[str, list[str]]:
    """Module right below the package ↦ the names on its page, its own before those of its submodules."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(homes().values()), key=lambda name: (name.count("."), name)):
        found[".".join(name.split(".")[:_LEVELS])].append(name)
    return dict(sorted(found.items()))


def link(function: Callable[..., Any]) -> str:
    """A function as a link to its place in the reference; empty where it has none."""
    known = homes().get(f"{function.__module__}.{function.__qualname__}")
    return f"{{py:obj}}`~{known}`" if known else ""


def write() -> None:
    """The pages, and their index."""
    tried = _tried()
    for module, names in pages().items():
        page(f"api/{module}.rst", _module(module, names, tried))
    page("api.md", _index(list(pages())))


def _tried() -> dict[str, list[str]]:
    """Name in the reference ↦ the claims that must notice a wrong version of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for claim in REGISTRY.values():
        for mutant in claim.mutants:
            known = homes().get(f"{mutant.target.__module__}.{mutant.target.__qualname__}")
            if known:
                found[known].add(claim.name)
    return {name: sorted(claims) for name, claims in found.items()}


def _module(module: str, names: list[str], tried: dict[str, list[str]]) -> str:
    """One page in reStructuredText, which autodoc writes."""
    parts = [f"{module}\n{'=' * len(module)}\n\n.. automodule:: {module}\n   :no-members:\n"]
    inner = ""
    for name in names:
        within = name.rpartition(".")[0]
        if within not in (module, inner):
            inner = within
            parts.append(
                f"{inner}\n{'-' * len(inner)}\n\n.. automodule:: {inner}\n   :no-members:\n   :no-index:\n"
            )
        parts.append(_documented(name))
        if name in tried:
            links = ", ".join(
                f":doc:`{claim.replace('_', ' ')} <../claims/{claim}>`" for claim in tried[name]
            )
            parts.append(f".. container:: tested\n\n   Put to the test by {links}.\n")
    return "\n".join(parts)


def _documented(name: str) -> str:
    module, _, own = name.rpartition(".")
    found = getattr(importlib.import_module(module), own)
    if inspect.isclass(found):
        kind = "autoexception" if issubclass(found, BaseException) else "autoclass"
        return f".. {kind}:: {name}\n   :members:\n"
    if (callable(found) and hasattr(found, "__wrapped__")) or inspect.isroutine(found):
        return f".. autofunction:: {name}\n"
    return _constant(name, found)


def _constant(name: str, value: object) -> str:
    """A constant, with what stands below it where it is defined."""
    from sphinx.pycode import ModuleAnalyzer

    own = name.rpartition(".")[2]
    places = [place.rpartition(".")[0] for place, home in homes().items() if home == name]
    said = (ModuleAnalyzer.for_module(place).find_attr_docs().get(("", own)) for place in places)
    lines = "".join(f"   {line}\n" for line in escaped(next(filter(None, said), [])))
    return f".. py:data:: {name}\n   :type: {type(value).__name__}\n\n{lines}"


def _index(modules: list[str]) -> str:
    rows = []
    for module in modules:
        first = (importlib.import_module(module).__doc__ or "").partition("\n\n")[0]
        rows.append(f"- [`{module}`](api/{module}.rst): {prose(first)}")
    tree = "\n".join(f"api/{module}" for module in modules)
    return (
        "# Reference\n\nEvery public name, once, in the module from which it is shortest to import. The "
        "names of `kdtheory` itself are those of everyday use, imported when they are asked for.\n\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
