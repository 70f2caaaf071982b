"""A folder for each command, with logits in it for those that ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdtheory.cli.app import err_console, out_console


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdtheory.progress._PAUSE", 1e6)  # no lines in between, however slow the machine
    for console in (out_console, err_console):
        monkeypatch.setattr(console, "width", 200)
    return tmp_path


@pytest.fixture
def logits(folder: Path) -> None:
    """A good teacher, a student like it, on 400 labelled and 500 unlabelled points."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 400)
    teacher, others = generator.normal(size=(400, 5)), generator.normal(size=(500, 5))
    teacher[np.arange(400), labels] += 5
    for name, array in {"y": labels, "t": teacher, "s": teacher / 2, "tu": others, "su": others / 2}.items():
        np.save(folder / f"{name}.npy", array)
