"""Every example in a docstring says what it does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import kdtheory

MODULES = ["kdtheory", *(module.name for module in pkgutil.walk_packages(kdtheory.__path__, "kdtheory."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES if not name.endswith("__main__")]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) > 200
