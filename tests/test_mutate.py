"""The script that tries wrong versions, on a package of one module: one is noticed, one is not."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mutations import mutations

SCRIPT = Path(__file__).parent / "mutate.py"
MODULE = '''"""Two areas: 3 by 2 is 6."""

__all__ = ["rectangle", "square"]


def square(side: float, /) -> float:
    """side² (never 7 − side)."""
    if side < 0:
        raise ValueError(f"side = {side + 1 - 1} must be at least {0}")
    return side * side


def rectangle(width: float, height: float, block: int = 7) -> float:
    return width * height
'''
TESTS = "from toy.areas import square\n\ndef test_square() -> None:\n    assert square(3.0) == 9.0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in (("toy/__init__.py", ""), ("toy/areas.py", MODULE), ("tests/test_areas.py", TESTS)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tests/mutants.toml").write_text(
        '[[named]]\nmodule = "toy/areas.py"\nwas = "return side * side"\nbecomes = "return side + side"\n'
        '[[explained]]\nmodule = "toy/areas.py"\nwas = "if side < 0:"\nbecomes = "if (side <= 0):"\n'
        'because = "Of side 0 nothing is asked."\n'
    )
    return tmp_path


def test_docstrings_messages_and_portions_are_left_alone() -> None:
    found = mutations("toy/areas.py", MODULE)
    assert {made.line for made in found} == {8, 10, 14}
    assert {made.becomes for made in found if made.line == 8} >= {
        "if (side <= 0):",
        "if (side > 0):",
        "if side < 1:",
    }
    for made in found:
        wrong = made.applied(MODULE)
        assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(MODULE))
        assert wrong.splitlines()[made.line - 1].strip() == made.becomes


def test_a_wrong_version_is_noticed_by_a_test_and_survives_without(root: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        "--root",
        str(root),
        "--package",
        "toy",
        "--sample",
        "99",
        "--check",
    ]
    before = (root / "toy/areas.py").read_text()
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1, run.stdout + run.stderr  # below 95 %
    assert (root / "toy/areas.py").read_text() == before
    with (root / "tests/mutants.csv").open(newline="") as file:
        assert "survived" in next(file)
        rows = list(csv.DictReader(file))
    named = [row for row in rows if row["operator"] == "named"]
    assert [(row["outcome"], row["by"]) for row in named] == [("noticed", "tests/test_areas.py::test_square")]
    assert {row["outcome"] for row in rows if row["was"].startswith("return width")} == {"survived"}
    # A test that was missing: only what had survived is tried again.
    with (root / "tests/test_areas.py").open("a") as file:
        file.write("\ndef test_rectangle() -> None:\n    from toy.areas import rectangle\n")
        file.write("    assert rectangle(2.0, 3.0) == 6.0\n    assert square(0.5) == 0.25\n")
    again = subprocess.run([*command, "--only", "toy/areas"], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "test_rectangle" in again.stdout
    assert "test_square" not in again.stdout


def test_every_line_that_is_named_is_there_once() -> None:
    root = Path(__file__).parents[1]
    listed = tomllib.loads((root / "tests/mutants.toml").read_text())
    gone = [
        (one["module"], one["was"])
        for one in (*listed["named"], *listed["explained"])
        if (root / one["module"]).read_text().count(one["was"]) != 1
    ]
    assert gone == []
