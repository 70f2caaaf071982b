"""The studies of chapter 7 at their small size: tables as declared, figures that draw, numbers that agree."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.multiview import missed_view_probability
from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

FOLDER = Path(__file__).parents[1] / "studies"
COLUMNS = {
    "multi_view_networks": {"kind", "step", "training accuracy", "test accuracy", "view_1", "size", "missed"},
    "multi_view_arms": {"inputs", "arm", "accuracy", "low", "high", "n"},
    "multi_view_phases": {"map", "mu", "p", "n", "q", "all views, distilled", "single", "points"},
    "multi_view_in_dimension": {"world", "dim", "arm", "median", "mean_low", "one_view", "train", "closed"},
    "benchmark_multi_view": {"side", "networks", "steps", "dim", "threads", "seconds", "ratio"},
    "real_image_ensembles": {
        "data",
        "n",
        "arm",
        "accuracy",
        "gain",
        "gain_low",
        "step",
        "excess",
        "gradient",
    },
}


@cache
def study(name: str) -> Study:
    return load_study(name, FOLDER)


@cache
def table(name: str) -> pd.DataFrame:
    return pd.DataFrame(study(name).run(Stream(0).child("studies", name), **study(name).small))


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_have_their_columns_and_figures_draw(name: str) -> None:
    assert set(table(name).columns) >= COLUMNS[name]
    panels = study(name).panels
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    study(name).draw(figure.subplots(1, panels), table(name))
    figure.draw_without_rendering()
    drawn = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(drawn) == panels
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in drawn)


def test_accuracies_are_shares_and_the_ensemble_is_no_worse_where_it_should_not_be() -> None:
    arms = table("multi_view_arms")
    assert arms["accuracy"].between(0, 1).all()
    six = arms[arms["inputs"] == "multi-view, six classes"].set_index("arm")["accuracy"]
    assert six["ensemble"] > six["single"]


def test_two_phases_are_in_the_curves() -> None:
    steps = table("multi_view_networks").query("kind == 'step'").set_index("step")
    assert steps["training accuracy"].iloc[-1] > 0.99
    assert steps["test accuracy"].iloc[-1] < 0.98
    assert steps["first view"].iloc[-1] > 2.5 * steps["second view"].iloc[-1]
    early = steps.loc[100:200].mean(
        numeric_only=True
    )  # the points that lack the view are learned later than the others
    assert early["points that lack the view"] < early["points that show the view"] - 0.1
    sizes = table("multi_view_networks").query("kind == 'size'")
    closed = [missed_view_probability(int(size)) for size in sizes["size"]]
    assert sizes["closed_form"].tolist() == closed


def test_plain_networks_and_the_limit_are_counted_alike() -> None:
    """In every dimension the same arms, networks and training sets; the gap closed is that of the means."""
    rows = table("multi_view_in_dimension")
    assert (rows["sets"] == 2).all()
    for _, own in rows.groupby(["world", "dim"]):
        mean = own.set_index("arm")["mean"]
        if mean["ensemble"] > mean["single"]:
            closed = (mean["distilled"] - mean["single"]) / (mean["ensemble"] - mean["single"])
            assert own["closed"].dropna().item() == pytest.approx(closed)


def test_students_of_images_come_close_to_their_teachers() -> None:
    students = table("real_image_ensembles").query("arm in ('distilled', 'self-distilled')")
    assert (students["excess"] > 0).all()
    assert (students["excess"] < 0.5).all()  # after 200 steps
    steps = table("real_image_ensembles").groupby(["data", "n"])[["gain", "step"]]
    for _, own in steps:
        assert own["gain"].iloc[-1] == pytest.approx(own["step"].sum())
