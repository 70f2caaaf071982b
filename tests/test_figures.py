"""Every figure can be read where it is 16 cm wide: large enough letters, none cut off or over each other.

Nor does a key lie over what is measured.

Figures are drawn anew from their committed tables, so that this is a test of how they are drawn.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kdtheory.plots import SMALLEST, WIDTH, panels, text_sizes
from kdtheory.study import drawn
from kdtheory.study_script import load_study

ROOT = Path(__file__).parents[1]
BROKEN = {"--": "dashed", ":": "dotted"}
NAMES = sorted(path.stem for path in (ROOT / "studies").glob("[a-z]*.py"))


def ticks(ax: Axes) -> list[Text]:
    """The labels of ticks that are in view."""
    found: list[Text] = []
    for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if low <= tick.get_loc() <= high:
                found += [label for label in (tick.label1, tick.label2) if label.get_visible()]
    return found


def texts(figure: Figure) -> list[Text]:
    """What is to be read on a figure."""
    found: list[Text] = list(figure.texts)
    for legend in figure.legends:
        found += legend.get_texts()
    for ax in figure.axes:
        found += [ax.title, *(child for child in ax.get_children() if isinstance(child, Text))]
        if ax.axison:
            found += [ax.xaxis.label, ax.yaxis.label, *ticks(ax)]
        if ax.get_legend() is not None:
            found += ax.get_legend().get_texts()
    unique = {id(text): text for text in found if text.get_visible() and text.get_text().strip()}
    return list(unique.values())


def faults(figure: Figure) -> list[str]:
    """What cannot be read: too small, cut off, or over each other."""
    small = [f"{size:.1f} pt: {text!r}" for text, size in text_sizes(figure) if size < SMALLEST]
    placed = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    whole = figure.bbox.padded(1)
    cut = [f"cut off: {text!r}" for text, box in placed if not inside(box, whole)]
    over = [f"{a!r} over {b!r}" for (a, one), (b, other) in combinations(placed, 2) if covers(one, other)]
    return small + cut + over + hidden(figure) + unexplained(figure)


def unexplained(figure: Figure) -> list[str]:
    """Styles of lines that no key has, no text names, and beside whose lines no text stands."""
    keys = [*figure.legends, *(key for ax in figure.axes if (key := ax.get_legend()) is not None)]
    told = {
        handle.get_linestyle() for key in keys for handle in key.legend_handles if isinstance(handle, Line2D)
    }
    words = " ".join(text.get_text() for text in texts(figure))
    found = set()
    for ax in figure.axes:
        noted = {place for text in ax.texts for place in text.get_position()}
        for line in ax.lines:
            style, (x, y) = (
                line.get_linestyle(),
                (set(map(float, data)) for data in line.get_data(orig=False)),
            )
            noticed = any(len(level) == 1 and level <= noted for level in (x, y))
            if style in BROKEN and style not in told and BROKEN[style] not in words and not noticed:
                found.add(f"what is {BROKEN[style]} is not said")
    return sorted(found)


def hidden(figure: Figure) -> list[str]:
    """Marks that a panel's own key lies over."""
    found = []
    for ax in figure.axes:
        if (key := ax.get_legend()) is not None:
            box = key.get_window_extent()
            marks = [
                line.get_transform().transform(line.get_xydata())
                for line in ax.lines
                if line.get_marker() not in ("None", "none", "", " ", None)
            ]
            marks += [one.get_offset_transform().transform(one.get_offsets()) for one in scattered(ax)]
            count = sum(box.contains(*place) for places in marks for place in places)
            if count:
                found.append(f"{count} marks under the key of {ax.get_title(loc='left')!r}")
    return found


def scattered(ax: Axes) -> list[PathCollection]:
    return [one for one in ax.collections if isinstance(one, PathCollection)]


def inside(box: Bbox, whole: Bbox) -> bool:
    return bool(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1)


def covers(one: Bbox, other: Bbox) -> bool:
    """Whether two texts have more than a tenth of the smaller one in common."""
    both = Bbox.intersection(one, other)
    if both is None:
        return False
    return both.width * both.height > 0.1 * min(one.width * one.height, other.width * other.height)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_can_be_read(name: str) -> None:
    figure = drawn(load_study(name, ROOT / "studies"), pd.read_csv(ROOT / "figures" / name / "table.csv"))
    assert figure.get_figwidth() == WIDTH
    assert faults(figure) == []


@pytest.mark.parametrize("name", NAMES)
def test_captions_lie_beside_the_figures(name: str) -> None:
    study = load_study(name, ROOT / "studies")
    caption = (ROOT / "figures" / name / "caption.md").read_text()
    assert caption == f"**{study.title}**\n\n{study.description}\n"


def test_faults_are_seen() -> None:
    figure, axes = panels(3)
    assert len(axes) == 3
    assert not figure.axes[3].axison
    axes[0].set_title("a title of a panel that is much longer than half of the width of a figure")
    axes[1].set_xlabel("too small", fontsize=6.9)
    axes[2].text(0.5, 0.5, "one")
    axes[2].text(0.51, 0.5, "another")
    axes[2].text(0.5, 0.9, "said at such length that it ends beyond the figure" * 3, in_layout=False)
    found = "\n".join(faults(figure))
    assert "6.9 pt: 'too small'" in found
    assert "'one' over 'another'" in found
    assert "cut off: 'said at such length" in found
    figure, ax = panels(1, size=(2 * WIDTH, 4))
    ax.set_xlabel("twice as wide", fontsize=13)
    assert "6.5 pt: 'twice as wide'" in faults(figure)
    figure, ax = panels(1)
    ax.plot([0, 1], [0, 1], "o", label="measured")
    ax.scatter([1], [0])
    ax.set_title("panel", loc="left")
    ax.legend(loc="lower left")
    assert "1 marks under the key of 'panel'" in faults(figure)
    ax.axhline(0.5, linestyle=":")
    assert "what is dotted is not said" in faults(figure)
    ax.text(0, 0.5, "half")
    assert unexplained(figure) == []
