"""The studies of chapter 5 at their small size: tables as declared, figures that draw, numbers that agree."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

FOLDER = Path(__file__).parents[1] / "studies"
COLUMNS = {
    "bound_terms_over_temperature": {"form", "gamma", "term", "value", "teacher_error", "student_error"},
    "certificates_of_a_teacher": {"line", "term", "value", "delta", "kind", "needed", "bits"},
    "certificates_over_training": {"epochs", "line", "value", "delta"},
    "coverage_of_bounds": {"line", "delta", "draws", "violations", "frequency", "low", "high"},
    "self_certification_against_holdout": {"n", "sample", "way", "bound", "error"},
}


@cache
def study(name: str) -> Study:
    return load_study(name, FOLDER)


@cache
def table(name: str) -> pd.DataFrame:
    small = dict(study(name).small)
    return pd.DataFrame(study(name).run(Stream(0).child("studies", name), data=None, **small))


@pytest.mark.slow
@pytest.mark.parametrize("name", COLUMNS)
def test_tables_have_their_columns_and_figures_draw(name: str) -> None:
    assert set(table(name).columns) >= COLUMNS[name]
    panels = study(name).panels
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    study(name).draw(figure.subplots(1, panels), table(name))
    figure.canvas.draw()


@pytest.mark.slow
def test_all_lines_share_one_delta_and_the_witnesses_say_something() -> None:
    rows = table("certificates_of_a_teacher")
    totals = rows[rows["term"] == "total"].set_index("line")
    beside = ["holdout", "witness_holdout, chosen"]
    assert totals.drop(beside)["delta"].sum() == pytest.approx(0.05)
    assert 32 * totals["delta"][beside[1]] == pytest.approx(totals["delta"]["witness_holdout"])
    assert totals["value"][beside[1]] > totals["value"]["witness_holdout"]
    for name in ("witness_holdout", "witness_coded", "witness_stochastic"):
        assert totals["value"][name] < 1
    assert totals["numbers_that_differ"]["witness_coded"] > 0
    assert totals["value"]["spectral_norms"] > 100 * totals["value"]["distillation"]


@pytest.mark.slow
def test_no_certificate_is_violated_more_often_than_its_delta() -> None:
    rows = table("coverage_of_bounds")
    honest = rows[rows["line"] != "training error as a hold-out"]
    assert (honest["low"] <= honest["delta"]).all()
    pretended = rows[rows["line"] == "training error as a hold-out"]
    assert (pretended["low"] > pretended["delta"]).all()


def test_the_benchmark_of_rademacher_complexities_estimates_what_it_times() -> None:
    small = study("benchmark_rademacher")
    rows = pd.DataFrame(small.run(Stream(0), **small.small))
    assert (rows[["sampled_s", "product_s", "ratio"]] > 0).all(axis=None)
    assert rows["complexity"].between(rows["low"], rows["high"]).all()
    # ‖Σ ε_i x_i‖₂/n of n = 100 Gaussian points has a mean of about √(width/n).
    linear = rows[rows["class"] == "linear maps"]
    assert linear["complexity"].to_numpy() == pytest.approx((linear["width"] / 100) ** 0.5, rel=0.05)
    ax = Figure().subplots()
    small.draw(ax, rows)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_the_benchmark_of_certificates_measures_both_sides_where_it_has_them() -> None:
    small = study("benchmark_certify")
    (row,) = small.run(Stream(0), **small.small)
    sides = ["", "earlier_"] if row["earlier"] == small.small["commit"] else [""]
    for side in sides:
        assert row[f"{side}seconds"] > 0
        assert row[f"{side}memory_mb"] >= 0
        assert 0.2 < row[f"{side}bound"] < 1
    alone = row | {"earlier": "none"} | {key: None for key in row if key.startswith("earlier_")}
    for rows in (pd.DataFrame([row]), pd.DataFrame([alone])):
        axes = Figure().subplots(1, small.panels)
        small.draw(axes, rows)
        assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)
