"""Everything that the README and the page for contributors show is executed, and prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from blocks import blocks, execute

from kdtheory.claims import REGISTRY

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_block_runs_and_prints_what_is_shown(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdtheory.claims.core.REGISTRY", dict(REGISTRY))
    assert execute(ROOT / page, tmp_path) >= 2


def test_the_readme_is_short_and_shows_what_its_blocks_print() -> None:
    assert README.count("\n") < 200
    python = [block for block in blocks(README) if block.kind == "python"]
    assert len(python) == 2
    assert all(block.shown for block in python)


def test_no_student_is_tested_on_points_whose_labels_its_teacher_learned_from() -> None:
    (distil, certify) = [block.code for block in blocks(README) if block.kind == "python"]
    learned, tested = (
        int(re.search(r"x\[:(\d+)\], y\[:\1\], loss=label_loss, members=1", distil)[1]),
        "x[1000:]",
    )
    assert tested in distil
    assert tested in certify
    assert f"x[{learned}:]" == tested


def test_every_command_in_the_table_exists() -> None:
    from kdtheory import cli

    table = README[README.index("## Commands") :]
    named = set(re.findall(r"\| `kdtheory (\w+)", table))
    assert named == {command.name or command.callback.__name__ for command in cli.app.registered_commands}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    for link in [*links, "CITATION.cff", "constraints.txt", "Makefile", "kdtheory/references.bib"]:
        assert (ROOT / link).exists(), link
