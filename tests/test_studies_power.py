"""The study of what claims would notice: a row for each part, a figure that draws, no name that is gone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.claims import REGISTRY, Examination, Plan
from kdtheory.claims.evidence import Failure, OutOfScope
from kdtheory.claims.examined import Examined
from kdtheory.claims.power import Power
from kdtheory.files import read_json, write_json
from kdtheory.ledger import collate
from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

NAME = "power_of_claims"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(NAME, Path(__file__).parents[1] / "studies")


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return pd.DataFrame(study.run(Stream(0).child("studies", NAME), data=None, **study.small))


def test_every_part_has_its_row_with_what_breaks_it(rows: pd.DataFrame) -> None:
    closed, relations = (rows[rows.claim == name] for name in rows.claim.unique())
    assert closed.part.tolist() == [""]
    assert relations.part.tolist()[0] == "distances: zero"
    assert (rows.verdict == "SUPPORTED").all()
    assert closed.broken_by_controls.item() == "λ is read as the weight of the labels"
    assert closed.broken_by_mutants.item().count(";") == 2


def test_the_closed_form_of_the_gradient_notices_a_percent(rows: pd.DataFrame) -> None:
    closed = rows.iloc[0]
    assert (closed.notices_more, closed.notices_less, closed.scaled.split(".")[-1]) == (
        "1%",
        "1%",
        "kd_gradient",
    )


def test_the_figure_counts_each_claim_once(study: Study, rows: pd.DataFrame) -> None:
    ax = Figure().subplots()
    study.draw(ax, rows)
    shown = [text.get_text() for text in ax.texts if text.get_text() != "·"]
    assert sum(map(int, shown)) == rows.claim.nunique()
    counts = ax.images[0].get_array()
    assert (counts[0, 0], counts.sum()) == (1, 2)


def test_what_is_declared_counts_by_its_worse_direction(study: Study, rows: pd.DataFrame) -> None:
    """A claim that names both directions stands at the error that it notices in both."""
    one = rows.iloc[:1].assign(notices_more="1%", notices_less="50%")
    for declared, column in ((True, 6), (False, 0)):
        ax = Figure().subplots()
        study.draw(ax, one.assign(declared=declared))
        assert ax.images[0].get_array()[0].tolist().index(1) == column


def test_what_has_no_scale_is_not_told_as_unnoticed(study: Study) -> None:
    claim, scope = REGISTRY["kd_gradient_is_the_closed_form"], OutOfScope(assumption="a", because="b")
    failed = Power("f", False, {way: {1.0: Failure(error="no scale")} for way in ("more", "less")})
    found = Examination(scope, tuple(scope for _ in claim.controls), None, failed)
    (finding,) = collate([Examined.of(claim, found, seconds=0.0)], Plan())
    (row,) = study.run.__globals__["_rows"](finding)
    assert (row["notices_more"], row["notices_less"]) == ("not measured", "not measured")
    ax = Figure().subplots()
    study.draw(ax, pd.DataFrame([row]))
    assert ax.images[0].get_array()[0].tolist().index(1) == 9


def test_every_claim_notices_a_quarter_or_says_why_not() -> None:
    table = pd.read_csv(Path(__file__).parents[1] / "figures" / NAME / "table.csv")
    claims = table[table.claim.isin(REGISTRY)].drop_duplicates("claim")
    assert len(claims) > 150
    tried = claims[["notices_more", "notices_less"]].apply(lambda column: column.map(notices_a_quarter))
    assert claims[~tried.all(axis=1) & claims.loose.isna()].claim.tolist() == []


def notices_a_quarter(told: object) -> bool:
    """Whether an error of 25 % is noticed; true of a direction that the claim does not try."""
    return not isinstance(told, str) or (told.endswith("%") and float(told.rstrip("%")) <= 25)


def test_what_comes_last_is_in_the_ledger(study: Study) -> None:
    assert set(study.run.__globals__["LAST"]) <= set(REGISTRY)


def test_a_stopped_run_tells_what_is_there_and_goes_on(
    study: Study, rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = study.run.__globals__
    examined, ran = names["examined"], []

    def stopped(claims, plan, *, jobs):
        for record in examined(claims[:1], plan, jobs=jobs):
            ran.append(record.name)
            yield record
        if len(claims) > 1:
            raise KeyboardInterrupt

    monkeypatch.setitem(names, "examined", stopped)
    settings = study.small | {"records": str(tmp_path / "power")}
    stream = Stream(0).child("studies", NAME)
    first = pd.DataFrame(study.run(stream, data=None, **settings))
    assert first.verdict.tolist() == ["SUPPORTED", "not run"]
    study.draw(Figure().subplots(), first)
    second = pd.DataFrame(study.run(stream, data=None, **settings))
    assert ran == [*study.small["claims"]]
    pd.testing.assert_frame_equal(second, rows)
    for place in (tmp_path / "power" / "claims").iterdir():
        write_json(place, read_json(place) | {"code": "of other code"})
    again = pd.DataFrame(study.run(stream, data=None, **settings))
    assert ran == [*study.small["claims"], study.small["claims"][0]]
    assert again.verdict.tolist() == ["SUPPORTED", "not run"]
