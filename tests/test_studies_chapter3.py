"""The studies of chapter 3 at their small size: tables as declared, figures that draw, numbers that agree."""

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
NAMES = ("collapse_of_self_distillation", "compression_of_a_teacher", "optimal_mixing_weight")
# Two-sided, 4.5 standard errors: once in 10^5 comparisons by chance; the tables have 95 % half-widths.
HALF_WIDTHS = 4.5 / 1.96


@cache
def study(name: str) -> Study:
    return load_study(name, FOLDER)


@cache
def table(name: str) -> pd.DataFrame:
    return pd.DataFrame(study(name).run(Stream(0).child("studies", name), **study(name).small))


@pytest.mark.parametrize("name", NAMES)
def test_draw_labels_every_panel_and_claims_exist(name: str) -> None:
    panels = study(name).panels
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    study(name).draw(figure.subplots(1, panels), table(name))
    figure.draw_without_rendering()
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left") for ax in figure.axes)
    assert set(study(name).claims) <= set(REGISTRY)


def test_best_ridge_weights_agree_with_the_closed_form() -> None:
    rows = table("optimal_mixing_weight")
    noise = rows[rows["sweep"] == "noise"]
    half = (noise["high"] - noise["low"]) / 2
    assert ((noise["measured"] - noise["exact"]).abs() <= HALF_WIDTHS * half + 1e-9).all()
    assert noise.groupby("penalty")["exact"].apply(lambda line: line.is_monotonic_increasing).all()


def test_nothing_is_gained_at_the_best_penalty_only() -> None:
    rows = table("optimal_mixing_weight")
    penalty = rows[rows["sweep"] == "penalty"]
    for _, line in penalty.groupby("std"):
        falling = line["slope"] < 0
        crossing = falling.to_numpy().nonzero()[0][-1]
        near = line.iloc[crossing : crossing + 2]
        assert np.isclose(line["gain_share"].min(), near["gain_share"].min())
        assert near["gain_share"].min() < 0.01 < line["gain_share"].max()
        assert ((line["exact"] > 0) == falling).all()


def test_a_student_of_labels_alone_is_its_teacher() -> None:
    rows = table("optimal_mixing_weight")
    same = rows[(rows["sweep"] == "digits") & (rows["weight"] == 0)]
    assert (same["measured"] == 0).all()
    assert (rows["gradient_norm"].dropna() < 1e-2).all()


def test_rounds_shrink_the_kernel_and_its_nets_alike() -> None:
    rows = table("collapse_of_self_distillation")
    spectrum = rows[rows["model"] == "spectrum"].pivot_table(
        index="direction", columns="round", values="kept"
    )
    assert (spectrum.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)  # less is left every round
    assert (spectrum.diff(axis=0).iloc[1:] <= 1e-12).all(axis=None)  # less of smaller eigenvalues
    norms = rows[rows["model"] != "spectrum"].pivot_table(index="round", columns="model", values="norm")
    assert (norms["kernel"].dropna().diff().iloc[1:] < 0).all()
    assert norms["nets keeping labels"].iloc[-1] > norms["nets"].iloc[-1]


def test_compression_is_counted_and_the_teacher_is_the_largest() -> None:
    rows = table("compression_of_a_teacher")
    small = rows[rows["method"] != "teacher"]
    assert (small["bits_share"] < 1).all()
    assert set(small["training"]) == {"none", "labels", "distilled", "gain"}
    sizes = small.groupby(["method", "share"])["bits"].nunique()
    assert (sizes == 1).all()
    parts = small.pivot_table(index=["method", "share"], columns="training", values="accuracy")
    assert np.allclose(parts["distilled"] - parts["labels"], parts["gain"])
