"""Drawings on one page: their names stay apart and nothing outside is referred to."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from kdtheory.report.svg import inline_svg

HOSTILE = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt"
     onload="alert(1)">
 <metadata><a href="http://purl.org/x"/></metadata>
 <style>@import url(http://a.example/x.css); *, g {stroke-linecap: butt} text {fill: url(http://a.example)}</style>
 <script>alert(2)</script>
 <defs><clipPath id="c"><rect width="9" height="9"/></clipPath></defs>
 <g clip-path="url(#c)" style="fill: url( '#c')"><use xlink:href="#c"/><image href="https://a.example/i.png"/></g>
 <image xlink:href="data:image/png;base64,AA=="/>
</svg>"""


def plotted(salt: str) -> str:
    drawn = Figure()
    drawn.subplots().plot([0, 1], [0, 1])
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        drawn.savefig(out, format="svg")
    return out.getvalue()


def test_no_outside_reference_and_no_script_is_left() -> None:
    shown = inline_svg(HOSTILE, name="figure-x", label="a <hostile> one")
    assert "http" not in shown
    assert "alert" not in shown
    assert "@import" not in shown
    assert "DOCTYPE" not in shown
    assert "data:image/png" in shown


def test_ids_and_references_are_renamed_together() -> None:
    shown = inline_svg(HOSTILE, name="figure-x", label="x")
    root = ET.fromstring(shown)
    group = root.find("g")
    assert group is not None
    assert root.find("defs/clipPath").get("id") == "figure-x-c"  # type: ignore[union-attr]
    assert group.get("clip-path") == "url(#figure-x-c)"
    assert group.get("style") == "fill: url(#figure-x-c)"
    assert group.find("use").get("href") == "#figure-x-c"  # type: ignore[union-attr]


def test_style_reaches_only_its_own_figure() -> None:
    assert "#figure-x *, #figure-x g {stroke-linecap: butt}" in inline_svg(
        HOSTILE, name="figure-x", label="x"
    )


def test_it_scales_and_is_named_for_those_who_do_not_see_it() -> None:
    root = ET.fromstring(inline_svg(HOSTILE, name="figure-x", label="a <hostile> one"))
    assert root.get("viewBox") == "0 0 72 36"
    assert root.get("width") is None
    assert root.get("style") == "max-width: 72pt"
    assert root.get("aria-label") == "a <hostile> one"


def test_two_figures_with_the_same_clip_paths_do_not_collide() -> None:
    text = plotted("same")
    both = [inline_svg(text, name=name, label="x") for name in ("figure-a", "figure-b")]
    ids = [set(re.findall(r'\bid="([^"]+)"', shown)) for shown in both]
    assert len(ids[0]) > 5
    assert ids[0].isdisjoint(ids[1])
    for shown, own in zip(both, ids, strict=True):
        assert set(re.findall(r"""(?:url\(#|href="#)([^)"]+)""", shown)) <= own


@pytest.mark.parametrize("text", ["", "not svg", "<html></html>", "<svg><g></svg>"])
def test_what_is_not_svg_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="figure-x is not SVG"):
        inline_svg(text, name="figure-x", label="x")
