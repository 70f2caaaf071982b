"""The study of verdicts over seeds: what it counts, what it keeps, and what it does not take for its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.claims import Claim, Plan
from kdtheory.files import read_json, write_json
from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

FOLDER = Path(__file__).parents[1] / "studies"
QUICK, FULL = 2, 1
"""Seeds of the small configuration."""


class Counted:
    """`examined`, with the examinations counted; the one at `fatal` is interrupted."""

    def __init__(self, examined: Any, *, fatal: int = -1) -> None:
        self.examined, self.fatal, self.calls = examined, fatal, 0

    def __call__(self, claims: Sequence[Claim], plan: Plan, *, jobs: int) -> Any:
        for claim in claims:
            if self.calls == self.fatal:
                raise KeyboardInterrupt
            self.calls += 1
            yield from self.examined([claim], plan, jobs=jobs)


@pytest.fixture
def study() -> Study:
    return load_study("seeds_of_claims", FOLDER)


def counted(study: Study, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Counted:
    names = study.run.__globals__
    wrapped = Counted(names["examined"], **settings)
    monkeypatch.setitem(names, "examined", wrapped)
    return wrapped


def table(study: Study, folder: Path | None, seed: int = 0) -> pd.DataFrame:
    config = {**study.small, "records": folder and str(folder)}
    return pd.DataFrame(study.run(Stream(seed), **config))


def test_every_verdict_is_counted_and_drawn(study: Study) -> None:
    rows = table(study, None)
    assert rows["claim"].tolist() == list(study.small["claims"])  # in the order of the sections
    assert (rows["quick_claim"] == f"SUPPORTED {QUICK}").all()
    assert (rows["quick_control"] == f"REFUTED {QUICK}").all()
    assert (rows["full_claim"] == f"SUPPORTED {FULL}").all()
    assert (rows["otherwise"] == 0).all()
    assert (rows["library"] == "as now").all()
    figure = Figure(figsize=study.size, layout="constrained")
    study.draw(figure.subplots(study.lines, study.panels // study.lines).ravel(), rows)
    figure.draw_without_rendering()
    titled = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(titled) == study.panels
    assert all(ax.get_xlabel() and (ax.get_ylabel() or ax.get_yticklabels()) for ax in titled)


def test_what_came_out_otherwise_is_told_with_its_seed(study: Study, tmp_path: Path) -> None:
    table(study, tmp_path)
    name = study.small["claims"][0]
    place = tmp_path / "quick" / "1" / f"{name}.json"
    told = read_json(place)
    told["record"]["evidence"] = told["record"]["controls"][0]["evidence"]
    write_json(place, told)
    row = table(study, tmp_path).set_index("claim").loc[name]
    assert (row["otherwise"], row["quick_claim_otherwise_at"]) == (1, "1")
    assert row["quick_claim"] == "SUPPORTED 1, REFUTED 1"


def test_a_run_that_was_stopped_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = table(study, None)
    counted(study, monkeypatch, fatal=3)
    part = table(study, tmp_path)
    assert part[["quick_seeds", "full_seeds"]].to_numpy().sum() == 3
    study = load_study("seeds_of_claims", FOLDER)
    rest = counted(study, monkeypatch)
    again = table(study, tmp_path)
    assert rest.calls == len(whole) * (QUICK + FULL) - 3
    seconds = ["quick_seconds", "full_seconds"]
    pd.testing.assert_frame_equal(again.drop(columns=seconds), whole.drop(columns=seconds))


def test_findings_of_other_code_are_measured_again_or_marked(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(study, tmp_path)
    first, second = study.small["claims"]
    for name, key in ((first, "module"), (second, "package")):
        place = tmp_path / "quick" / "0" / f"{name}.json"
        write_json(place, {**read_json(place), key: "of other code", "commit": "0123456789"})
    again = counted(study, monkeypatch)
    rows = table(study, tmp_path).set_index("claim")
    assert again.calls == 1
    assert rows["library"].to_dict() == {first: "as now", second: "earlier"}
    assert "0123456 1" in rows.loc[second, "commits"]


def test_seeds_count_from_that_of_the_study(study: Study, tmp_path: Path) -> None:
    table(study, tmp_path, seed=7)
    assert {path.name for path in (tmp_path / "quick").iterdir()} == {"7", "8"}
