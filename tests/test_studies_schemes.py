"""The studies of losses and schemes at their small size: tables as declared, figures that draw."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.claims import REGISTRY
from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

FOLDER = Path(__file__).parents[1] / "studies"
COLUMNS = {
    "gain_of_schemes": {
        "panel",
        "scheme",
        "n",
        "steps",
        "accuracy",
        "gain",
        "low",
        "high",
        "largest_gradient_norm",
    },
    "feature_and_relation_losses": {
        "data",
        "teacher",
        "size",
        "term",
        "factor",
        "steps",
        "measure",
        "mean",
        "gain",
        "gain_low",
        "gain_high",
        "longer",
        "longer_low",
        "longer_high",
        "weight",
        "objective",
        "fall_in_last_tenth",
    },
    "bring_your_own": {"network", "parameters", "accuracy", "line", "certificate", "term", "value"},
}


@cache
def study(name: str) -> Study:
    return load_study(name, FOLDER)


@cache
def table(name: str) -> pd.DataFrame:
    return pd.DataFrame(study(name).run(Stream(0).child("studies", name), **study(name).small))


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_have_their_columns_and_finite_numbers(name):
    rows = table(name)
    assert set(rows.columns) >= COLUMNS[name]
    assert np.isfinite(rows.select_dtypes("number")).all(axis=None)
    assert set(study(name).claims) <= set(REGISTRY)


@pytest.mark.parametrize("name", COLUMNS)
def test_draw_labels_every_panel(name):
    panels = study(name).panels
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    study(name).draw(figure.subplots(1, panels), table(name))
    figure.draw_without_rendering()
    titled = [ax for ax in figure.axes if ax.get_title(loc="left")]  # the key has a place of its own
    assert len(titled) >= panels
    assert all(ax.get_xlabel() and (ax.get_ylabel() or ax.get_yticklabels()) for ax in titled)


def test_gains_are_paired_with_the_students_of_labels():
    rows = table("gain_of_schemes")
    for (n, steps), part in rows.groupby(["n", "steps"]):
        level = part.loc[part["scheme"] == "labels", "accuracy"]
        assert len(level.unique()) <= 2, (n, steps)
    own = rows[rows["panel"].isin(["labels", "offline", "own"])].set_index(["n", "scheme"])
    for n in (25, 50):
        gap = own.loc[(n, "good teacher"), "accuracy"] - own.loc[(n, "labels"), "accuracy"]
        assert own.loc[(n, "good teacher"), "gain"] == pytest.approx(gap)
        assert own.loc[(n, "labels"), "gain"] == 0


def test_every_term_starts_at_the_cross_entropy_of_an_ignorant_student():
    rows = table("feature_and_relation_losses")
    weights = rows.loc[rows["measure"] == "accuracy"].groupby("term")["weight"]
    assert (weights.min().drop("labels") > 0).all()
    assert weights.max()["labels"] == 0  # no further term


def test_terms_are_paired_with_labels_of_their_length_and_with_half_of_it():
    rows = table("feature_and_relation_losses")
    level = rows[rows["measure"] == "accuracy"].set_index(["term", "steps"])["mean"]
    found = rows[rows["measure"] == "accuracy"].set_index(["term", "steps"])
    for term, steps in found.index:
        assert found.loc[(term, steps), "gain"] == pytest.approx(level[term, steps] - level["labels", steps])
    for term in found.index.unique("term"):
        assert found.loc[(term, 20), "longer"] == pytest.approx(level[term, 20] - level[term, 10])


def test_both_networks_have_a_holdout_line_and_the_larger_one_a_student():
    rows = table("bring_your_own")
    lines = rows.groupby("network")["line"].agg(set)
    assert "holdout" in lines["larger"] & lines["smaller"]
    assert "student_holdout" in lines["larger"] - lines["smaller"]
    sizes = rows.groupby("network")["parameters"].first()
    assert sizes["smaller"] < sizes["larger"] / 10
