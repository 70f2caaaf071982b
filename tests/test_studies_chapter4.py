"""The studies of chapter 4 at their small size: tables as declared, figures that draw, numbers that agree."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from kdtheory.experiments import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.risk import calibration_error
from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

FOLDER = Path(__file__).parents[1] / "studies"
COLUMNS = {
    "variance_of_risk": {"world", "risk", "n", "expected", "measured", "low", "high", "trials"},
    "bias_variance_of_teachers": {
        *("sweep", "temperature", "mixture", "n", "variance", "squared_bias", "mean_squared_error", "bound"),
        *("one_hot", "measured", "low", "high", "teacher_accuracy", "teacher_excess_risk"),
    },
    "excess_risk_of_students": {
        *("world", "labels", "n", "members", "excess_risk", "low", "high", "median_excess_risk", "converged"),
        *("largest_gradient_norm", "weight_decay_times_n", "teacher_accuracy", "teacher_excess_risk"),
        *("teacher_calibration_error",),
    },
}
# Two-sided, 4.5 standard errors of a Student mean over 200 trials: once in 10^5 comparisons by chance.
STANDARD_ERRORS = 4.5


@cache
def study(name: str) -> Study:
    return load_study(name, FOLDER)


@cache
def table(name: str) -> pd.DataFrame:
    return pd.DataFrame(study(name).run(Stream(0).child("studies", name), **study(name).small))


def private(name: str, function: str):
    """A function of the study's own, to be held against a rival."""
    return study(name).run.__globals__[function]


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_have_their_columns_and_finite_numbers(name):
    rows = table(name)
    assert COLUMNS[name] <= set(rows.columns)
    numbers = rows.select_dtypes("number")
    # Drawn labels have no teacher whose accuracy could be stated.
    absent = rows.get("labels", pd.Series("", rows.index)) == "one-hot"
    teachers = [column for column in numbers if column.startswith("teacher_")]
    assert np.isfinite(numbers.drop(columns=teachers)).all(axis=None)
    assert np.isfinite(numbers.loc[~absent, teachers]).all(axis=None)


@pytest.mark.parametrize("name", COLUMNS)
def test_draw_labels_every_panel(name):
    panels = study(name).panels
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    study(name).draw(figure.subplots(1, panels), table(name))
    figure.draw_without_rendering()
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left") for ax in figure.axes)
    assert figure.legends


@pytest.mark.parametrize("name", ["variance_of_risk", "bias_variance_of_teachers"])
def test_same_stream_gives_the_same_rows(name):
    again = study(name).run(Stream(0).child("studies", name), **study(name).small)
    pd.testing.assert_frame_equal(pd.DataFrame(again), table(name), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "truth"),
    [("variance_of_risk", "expected"), ("bias_variance_of_teachers", "mean_squared_error")],
)
def test_measured_agrees_with_exact(name, truth):
    rows = table(name)
    assert ((rows["measured"] - rows[truth]).abs() <= STANDARD_ERRORS * rows["standard_error"]).all()
    assert ((rows["low"] < rows["measured"]) & (rows["measured"] < rows["high"])).all()


def test_gap_is_what_the_variances_differ_by():
    expected = table("variance_of_risk").pivot_table(index=["world", "n"], columns="risk", values="expected")
    assert np.allclose(expected["one-hot"] - expected["Bayes-distilled"], expected["gap"], rtol=1e-9)
    assert (expected["gap"] > 0).all()


def test_variance_falls_as_one_over_n():
    rows = table("variance_of_risk")
    scaled = (rows["n"] * rows["expected"]).groupby([rows["world"], rows["risk"]])
    assert np.allclose(scaled.max(), scaled.min(), rtol=1e-9)


def test_teacher_error_is_bounded_and_bayes_has_no_bias():
    rows = table("bias_variance_of_teachers")
    assert np.allclose(rows["variance"] + rows["squared_bias"], rows["mean_squared_error"], rtol=1e-9)
    assert (rows["mean_squared_error"] <= rows["bound"] * (1 + 1e-9)).all()
    bayes = rows[(rows["temperature"] == 1) & (rows["mixture"] == 0)]
    assert (bayes["squared_bias"] < 1e-25).all()
    assert (bayes["variance"] < bayes["one_hot"]).all()
    mixtures = rows[rows["sweep"] == "mixture"].sort_values("mixture")
    assert mixtures["squared_bias"].is_monotonic_increasing


def test_bayes_students_have_the_least_excess_risk_and_all_converge():
    rows = table("excess_risk_of_students")
    mean = rows.pivot_table(index=["world", "n"], columns="labels", values="excess_risk")
    assert (mean["Bayes"] < mean["one-hot"]).all()
    assert (mean > 0).all(axis=None)
    assert (rows["converged"] == 1).all()


def test_over_confident_teacher_is_more_accurate_and_worse_calibrated():
    columns = ["teacher_accuracy", "teacher_calibration_error"]
    teacher = table("excess_risk_of_students").pivot_table(index="world", columns="labels", values=columns)
    accuracy, error = (teacher[column] for column in columns)
    assert (accuracy["over-confident"] > accuracy["calibrated"]).all()
    assert np.allclose(accuracy["over-confident"], accuracy["Bayes"])
    assert (error["over-confident"] > 10 * error["calibrated"]).all()


def test_cluster_means_are_calibrated():
    world = relabelled_world(Run(Stream(0)))
    means = private("excess_risk_of_students", "_cluster_means")(world)
    assert float(calibration_error(means, world.probs, world.weights)) < 1e-12
    assert float((means - world.probs).abs().sum(-1).mean()) > 0.05


def test_teacher_without_the_first_feature_is_the_mean_over_it():
    arena = private("excess_risk_of_students", "_linear_arena")(5, Stream(3))
    teacher = arena.teachers["calibrated"](arena.judged)
    draws = arena.judged.inputs.repeat(20_000, 1, 1)
    draws[..., 0] = torch.randn(20_000, 1, dtype=torch.float64, generator=Stream(4).torch())
    seen = arena.world.posterior(draws)
    error = seen.std(0) / 20_000**0.5
    assert ((seen.mean(0) - teacher).abs() <= STANDARD_ERRORS * error).all()
