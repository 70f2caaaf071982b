"""Everything that the README shows is executed."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from kdtheory.claims import REGISTRY

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_has_blocks() -> None:
    assert len(BLOCKS) == 5


def test_the_ten_lines_train_two_populations_that_learned() -> None:
    told = io.StringIO()
    names: dict = {}
    with contextlib.redirect_stdout(told):
        exec(BLOCKS[0], names)
    assert told.getvalue().count("tensor") == 4
    for population in (names["plain"], names["students"]):
        right = population.logits(names["x"][200:]).argmax(-1) == names["y"][200:]
        assert len(population) == 8
        assert float(right.float().mean()) > 0.8


def test_the_teacher_of_ones_own_is_certified() -> None:
    told = io.StringIO()
    names: dict = {}
    with contextlib.redirect_stdout(told):
        exec(BLOCKS[1], names)
    found = names["found"]
    assert found.best_line == "witness_holdout"
    assert found.best.value < 0.3
    assert "with probability at least" in told.getvalue()
    assert found.skipped["holdout"] == "no hold-out labels were given"


def test_the_convnet_of_ones_own_is_distilled_and_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = io.StringIO()
    names: dict = {}
    with contextlib.redirect_stdout(told):
        exec(BLOCKS[2], names)
    assert told.getvalue().count("with probability at least") == 2
    assert set(names["student"].history["loss"]) == {"response", "labels", "attention"}
    assert names["found"].best.value < 0.2
    page = (tmp_path / "certificates.html").read_text()
    for name, found in names["certificates"].items():
        assert f"<h2>{name}</h2>" in page
        assert all(line.replace("_", " ") in page for line in found.lines)
    assert page.count("data:image/png") == 2


def test_the_curve_of_transfer_risk_falls() -> None:
    told = io.StringIO()
    names: dict = {}
    with contextlib.redirect_stdout(told):
        exec(BLOCKS[3], names)
    assert "torch.Size([100, 100])" in told.getvalue()
    curve = names["transfer_curve"](
        names["wide"], names["x"][:800], names["teacher"], names["x"][1200:], sizes=(50, 800)
    )
    assert float(curve.risk[1]) < float(curve.risk[0]) < 0.5


def test_the_claim_of_ones_own_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdtheory.claims.core.REGISTRY", dict(REGISTRY))
    names: dict = {"__name__": "readme"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(BLOCKS[4], names)
    (finding,) = names["ledger"]
    assert finding.verdict.name == "SUPPORTED"
    assert finding.control.verdict.name == "REFUTED"
    assert finding.mutants.killed == 1


def test_every_command_in_the_table_exists() -> None:
    from kdtheory import cli

    named = set(re.findall(r"\| `kdtheory (\w+)", README))
    assert named == {command.name or command.callback.__name__ for command in cli.app.registered_commands}


def test_links_and_paths_are_there() -> None:
    root = Path(__file__).parents[1]
    for path in (
        "CITATION.cff",
        "constraints.txt",
        "Makefile",
        "kdtheory/references.bib",
        "studies",
        "figures",
    ):
        assert (root / path).exists(), path
