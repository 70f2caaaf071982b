"""The study of other codes' measures: what is compared, a wrong factor noticed, what the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

NAME = "measures_of_codes"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def study() -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KDTHEORY_CODES", raising=False)
        return load_study(NAME, ROOT / "studies")


def table_of(study: Study, **config: object) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KDTHEORY_CODES", raising=False)
        return pd.DataFrame(study.run(Stream(0).child("studies", NAME), **{**study.small, **config}))


@pytest.fixture(scope="module")
def small(study: Study) -> pd.DataFrame:
    return table_of(study)


def explained(rows: pd.DataFrame) -> pd.Series:
    """A row agrees as it is, or once converted, or says why nothing converts it."""
    no_conversion = rows["value_converted"].isna() & (rows["convention"].fillna("") != "")
    return rows["agrees"].eq(True) | rows["agrees_converted"].eq(True) | no_conversion


def test_codes_that_are_here_are_compared_and_the_others_left_empty(small: pd.DataFrame) -> None:
    absent = small["code"] == "netcal"
    assert small.loc[absent, ["version", "theirs", "ours", "agrees"]].isna().all(axis=None)
    here = small[~absent]
    assert here["theirs"].notna().all()
    assert explained(here).all()
    assert set(here["area"]) == {"losses", "pruning", "low rank"}
    converted = here[here["value_converted"].notna()]
    assert len(converted) > 20
    assert converted["agrees_converted"].all()
    with_factor = here[here["factor"].notna()]
    ratio = with_factor["theirs"] / with_factor["ours"]
    assert ratio.to_numpy(float) == pytest.approx(with_factor["factor"].to_numpy(float), rel=1e-6)


def test_a_wrong_factor_is_noticed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    names = study.run.__globals__["_cases"].__globals__
    entries = names["_AREAS"]["losses"]
    hint = next(entry for entry in entries if (entry.code, entry.name) == ("repdistiller", "hint"))
    wrong = replace(hint, factor=lambda given: 1.00001 * hint.factor(given))
    monkeypatch.setitem(names, "_AREAS", {"losses": (wrong,)})
    (row,) = study.run(Stream(0), codes=("repdistiller",), dtypes=("float64",))
    assert row["agrees_converted"] is False
    assert row["value_converted"] == pytest.approx(1e-5, rel=0.1)


def test_panels_are_labelled(study: Study, small: pd.DataFrame) -> None:
    figure = Figure(figsize=study.size, layout="constrained")
    study.draw(figure.subplots(1, study.panels), small)
    figure.draw_without_rendering()
    assert all(ax.get_xlabel() and ax.get_title(loc="left") for ax in figure.axes)
    named = [label.get_text() for ax in figure.axes for label in ax.get_yticklabels()]
    assert {"repdistiller", "torch", "netcal", "hint", "svd_lowrank"} <= set(named)


def test_the_table_explains_every_difference_at_the_pinned_versions(study: Study) -> None:
    rows = pd.read_csv(ROOT / "figures" / NAME / "table.csv")
    assert set(rows["code"]) == set(study.config["codes"])
    assert rows["version"].notna().all()
    assert explained(rows).all()
    for code, pins in study.run.__globals__["_PINS"].items():
        found = set(rows.loc[rows["code"] == code, "version"].astype(str))
        assert found == {pins[0].partition("==")[2]}
    compared = rows[rows["value"].notna()]
    assert np.isfinite(compared["value"]).all()
    assert compared.loc[compared["area"] == "losses", "gradient"].notna().all()
