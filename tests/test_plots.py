"""What the helpers of figures draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from kdtheory.certify import certify_logits
from kdtheory.plots import (
    PALETTE,
    band,
    counts_axis,
    draw_certificates,
    legend_above,
    panel_letter,
    points,
)

X, Y = [1.0, 2.0, 4.0], [3.0, 2.0, 1.0]
LOW, HIGH = [2.0, 1.5, 0.5], [4.0, 2.5, 1.5]


@pytest.fixture
def ax() -> Axes:
    return Figure(layout="constrained").subplots()


def test_palette_is_eight_different_colors():
    assert len(set(PALETTE.values())) == len(PALETTE) == 8


def test_points_span_their_intervals(ax):
    points(ax, X, Y, LOW, HIGH, color=PALETTE["blue"], label="measured")
    segments = ax.collections[0].get_segments()
    assert np.array_equal([segment[:, 1] for segment in segments], np.transpose([LOW, HIGH]))
    assert np.array_equal(ax.lines[0].get_ydata(), Y)
    assert ax.lines[0].get_color() == PALETTE["blue"]


def test_band_lies_between_low_and_high(ax):
    band(ax, X, Y, LOW, HIGH, color=PALETTE["green"])
    corners = ax.collections[0].get_paths()[0].vertices
    assert {(x, y) for x, y in zip(X * 2, LOW + HIGH, strict=True)} <= {tuple(corner) for corner in corners}
    assert to_hex(ax.collections[0].get_facecolor()[0]) == PALETTE["green"].lower()


def test_counts_axis_has_one_tick_for_each_count(ax):
    ax.plot([16, 4096], [1, 2])
    counts_axis(ax, [16, 256, 4096, 16], label="N")
    ax.figure.draw_without_rendering()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["16", "256", "4,096"]
    assert not any(tick.get_text() for tick in ax.get_xticklabels(minor=True))
    assert ax.get_xscale() == "log"


def test_legend_above_covers_no_axes(ax):
    ax.plot(X, Y, label="a line")
    panel_letter(ax, "a", "a panel")
    legend_above(ax, columns=1)
    ax.figure.draw_without_rendering()
    legend = ax.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["a line"]
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())


def test_certificates_are_drawn_where_their_values_are(ax):
    said = torch.eye(2).repeat(100, 1) + torch.arange(200.0)[:, None] / 1000
    found = certify_logits(
        said,
        torch.tensor([0, 1] * 99 + [1, 0]),
        student_logits=said / 9,
        teacher_unlabelled=said + 1,
        student_unlabelled=said / 9 + 1,
        fixed_in_advance=True,
    )
    draw_certificates(ax, found.to_frame())
    ax.figure.draw_without_rendering()
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [mark.get_xdata()[0] for mark in marks] == [bound.value for bound in found.bounds]
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [
        not bound.certificate for bound in found.bounds
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        name.replace("_", " ") + ("" if bound.certificate else ", heuristic")
        for name, bound in found.lines.items()
    ]
    low, high = ax.get_xlim()
    assert low < min(bound.value for bound in found.bounds)
    assert high > max(1, *(bound.value for bound in found.bounds))
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [found.lines["holdout"].value]
    assert ax.patches[0].get_x() == 1
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize("value", [0.03, 2.0, 1e19])
def test_words_beside_certificates_stay_within_the_figure_and_off_the_axes(value):
    figure = Figure(figsize=(6.4, 3), layout="constrained")
    ax = figure.subplots()
    row = {"line": "spectral_norms", "kind": "heuristic", "term": "student's complexity", "value": value}
    draw_certificates(ax, pd.DataFrame([row, row | {"term": "total"}]))
    figure.draw_without_rendering()
    note = next(text for text in ax.texts if "mostly" in text.get_text()).get_window_extent()
    assert ax.get_window_extent().x1 < note.x0
    assert note.x1 <= figure.bbox.x1
