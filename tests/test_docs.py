"""Every block of code in the documentation is executed, and the reference leaves no public name out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from blocks import blocks, compare, execute

from kdtheory.claims import REGISTRY

ROOT = Path(__file__).parents[1]
PAGES = [path for path in sorted(ROOT.glob("docs/**/*.md")) if "reference" not in path.parts]


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_every_block_of_a_page_runs_and_prints_what_is_shown(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdtheory.claims.core.REGISTRY", dict(REGISTRY))
    execute(ROOT / page, tmp_path)


@pytest.mark.parametrize("name", ["judge", "certify", "study", "mathematics"])
def test_tutorials_have_blocks(name: str) -> None:
    assert len(blocks((ROOT / f"docs/tutorials/{name}.md").read_text())) >= 2


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("a 0.500\n", "a 0.517"),
        ("600 of them", "601 of them"),
        ("one ... two", "one two three"),
        ("one\ntwo", "one"),
        ("1.25e-07", "1.35e-07"),
        ("tensor(0.34)", "tensor(0.36)"),
    ],
)
def test_another_output_is_noticed(shown: str, told: str) -> None:
    with pytest.raises(AssertionError, match="and prints"):
        compare(shown, told, "here")


@pytest.mark.parametrize(
    ("shown", "told"),
    [("a 0.500\n", "a 0.509"[:6]), ("one ... two", "one three two"), ("... two", "one two"), ("...", "")],
)
def test_the_same_output_passes(shown: str, told: str) -> None:
    compare(shown, told, "here")


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that makes pages, as conf.py imports it."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "generate"]:
        del sys.modules[name]


def test_the_reference_has_every_public_name_once(generate: None) -> None:
    from generate.api import homes, pages

    documented = [name for names in pages().values() for name in names]
    assert len(documented) == len(set(documented))
    assert set(documented) == set(homes().values())
    for source in ROOT.glob("kdtheory/**/*.py"):
        module = ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        listed = re.search(r"^__all__ = \[(.*?)\]", source.read_text(), re.DOTALL | re.MULTILINE)
        if listed and not any(part.startswith("_") for part in module.split(".")):
            for name in re.findall(r'"(\w+)"', listed[1]):
                assert f"{module}.{name}" in homes(), f"{module}.{name}"


def test_the_table_of_methods_names_the_assumptions_of_every_bound(generate: None) -> None:
    from generate.methods import _bounds

    from kdtheory import bounds

    rows = {re.search(r"~[\w.]*?(\w+)`", row[0])[1]: row for row in _bounds()}
    assert {name for name in bounds.__all__ if "holdout" in name and "tail" not in name} <= set(rows)
    for name, (_, guarantee, assumptions) in rows.items():
        assert guarantee, name
        assert assumptions != "none: it is never a certificate" or name in NEEDS_NO_WORD, name


NEEDS_NO_WORD = {"hsu21_as_printed"}
"""Bounds whose assumptions are all in what they are given."""
