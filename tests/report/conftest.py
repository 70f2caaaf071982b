"""A recorded run of toy claims, and two studies' figures with clip paths."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from toy_claims import toy_run

from kdtheory.files import write_file, write_json


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "toys"
    toy_run(place)
    return place


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("figures")
    study(place, "risk_over_n", claims=["both_halves_hold", "doubling_is_addition"])
    study(place, "benchmark_populations", claims=[])
    study(place, "a_claim_of_another_run", claims=["not_in_this_run"])
    return place


def study(figures: Path, name: str, *, claims: list[str]) -> None:
    """A study's folder as the runner of studies leaves it."""
    folder = figures / name
    drawn = Figure(figsize=(6.4, 4))
    axes = drawn.subplots()
    axes.plot([0, 1, 2], [1, 3, 2], label="students")
    axes.set_xlabel("training points N")
    axes.set_ylabel("excess risk (nats)")
    folder.mkdir()
    with mpl.rc_context({"svg.hashsalt": "same"}):
        drawn.savefig(folder / "figure.svg")
    write_file(
        folder / "table.csv", b"n,variant,risk,of\n100,one-hot,0.123456,2487e95\n1000,Bayes,2.5e-07,2487e95\n"
    )
    made = {
        "study": name,
        "claims": claims,
        "title": f"Excess risk & N in {name}",
        "description": "Read the slope.",
        "config": {"sizes": [100, 1000], "members": 400},
        "seed": 0,
        "commit": "0123456789abcdef",
        "versions": {"torch": "2.13"},
        "seconds": 12.5,
    }
    write_json(folder / "run.json", made)
