"""Drawings on one page: their names stay apart and nothing outside is referred to."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from kdtheory.report.shared import Shared
from kdtheory.report.svg import inline_svg

SVG = "{http://www.w3.org/2000/svg}"
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


WAYS_IN = (  # what a browser acts on, where an SVG may hold it
    "<script>EVIL</script>",
    "<g onclick='EVIL'><set attributeName='onmouseover' to='EVIL'/></g>",
    "<a xlink:href='javascript:EVIL'><rect width='9' height='9'/></a>",
    "<a href='#c'><set attributeName='href' to='javascript:EVIL'/><text>x</text></a>",
    "<a><animate attributeName='href' values='javascript:EVIL' begin='0s' fill='freeze'/></a>",
    "<use href='#c'><animate attributeName='xlink:href' from='#c' to='http://EVIL'/></use>",
    "<rect><animateTransform to='EVIL'/><animateMotion path='EVIL'/><discard href='#EVIL'/></rect>",
    "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='http://EVIL'/></foreignObject>",
    "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><form action='EVIL'/></body></foreignObject>",
    "<handler xmlns='http://www.w3.org/2001/xml-events'>EVIL</handler>",
    "<use href='data:image/svg+xml;base64,EVIL#x'/>",
    "<image href='data:image/svg+xml;base64,EVIL'/>",
    "<image href='data:text/html,EVIL'/>",
    "<image href=' javascript:EVIL'/>",
    "<feImage href='http://EVIL'/>",
    "<filter id='f'><feImage xlink:href='http://EVIL'/></filter>",
    "<video src='EVIL'/><audio src='EVIL'/><embed src='EVIL'/><object data='EVIL'/>",
    "<link xmlns='http://www.w3.org/1999/xhtml' rel='stylesheet' href='http://EVIL'/>",
    "<style>@import 'http://EVIL';</style>",
    "<style>@font-face {font-family: x; src: url(http://EVIL)}</style>",
    "<style>rect {fill: u\\72l(http://EVIL)}</style>",
    "<style>rect {fill: image-set('http://EVIL' 1x)}</style>",
    "<style>rect {cursor: url(http://EVIL), auto}</style>",
    "<style>~ * {fill: red; content: 'EVIL'} EVIL, + p {display: none</style>",
    "<style>&lt;/style>&lt;script>EVIL&lt;/script></style>",
    "<rect style='position: fixed; EVIL: 0; width: 100vw'/>",
    "<rect style='fill: url(http://EVIL)'/>",
    "<rect fill='url(http://EVIL)' mask='url(&quot;//EVIL&quot;)'/>",
    "<rect xml:base='http://EVIL'/>",
    "<g xmlns:x='http://x' x:onload='EVIL'/>",
    "<metadata>EVIL</metadata><title>EVIL</title><view id='v' viewTarget='EVIL'/>",
)


@pytest.mark.parametrize("way", WAYS_IN)
def test_what_is_embedded_only_draws(way: str) -> None:
    head = HOSTILE[HOSTILE.index("<svg") : HOSTILE.index("<metadata>")].replace("alert(1)", "EVIL")
    shown = inline_svg(f"{head}{way}<path id='c' d='M 0 0'/></svg>", name="figure-x", label="x")
    assert "EVIL" not in shown
    assert '<path id="figure-x-c" d="M 0 0">' in shown
    page = Shared()
    shown = inline_svg(f"{head}{way}<path id='c' d='M 0 0'/></svg>", name="figure-x", label="x", page=page)
    assert "EVIL" not in "".join([shown, *page.definitions([shown])])


def test_what_matplotlib_draws_is_kept() -> None:
    """Every element and every property of a drawing with lines, areas, markers, images and text."""
    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], "o--", alpha=0.5, label="$x^2$")
    axes.fill_between([0, 1], [0, 1], [1, 2], hatch="//")
    axes.imshow([[0, 1], [1, 0]])
    axes.legend()
    for fonttype in ("path", "none"):
        out = io.StringIO()
        with mpl.rc_context({"svg.fonttype": fonttype}):
            drawn.savefig(out, format="svg")
        before = ET.fromstring(out.getvalue())
        after = ET.fromstring(inline_svg(out.getvalue(), name="figure-x", label="x"))
        for metadata in before.findall("{http://www.w3.org/2000/svg}metadata"):
            before.remove(metadata)
        pairs = list(zip(before.iter(), after.iter(), strict=True))
        assert len(pairs) > 30
        for one, kept in pairs[1:]:
            assert one.tag.rpartition("}")[2] == kept.tag
            assert {key.rpartition("}")[2] for key in one.attrib} == set(kept.attrib) - {"type"} | (
                set(one.attrib) & {"type"}
            )
            properties = [declared.split(":")[0].strip() for declared in one.get("style", "").split(";")]
            assert all(f"{prop}:" in kept.get("style", "") for prop in properties if prop)


def plotted(salt: str, *, title: str = "", xlabel: str = "", **looks: Any) -> str:
    drawn = Figure()
    ax = drawn.subplots()
    ax.plot([0, 1], [0, 1])
    ax.set_title(title, **looks)
    ax.set_xlabel(xlabel)
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        drawn.savefig(out, format="svg")
    return out.getvalue()


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_what_is_shared_is_said_once_and_nothing_is_lost() -> None:
    """Two drawings of a plot: outlines, formulas and styles are those of the page, and none is lacking."""
    page, drawn = Shared(), plotted("same", title="$x_1 = y$")
    both = [inline_svg(drawn, name=f"figure-{n}", label="x", page=page) for n in range(2)]
    style, shapes = page.definitions(both)
    alone = inline_svg(drawn, name="figure-x", label="x")
    assert 3 * len(both[0]) < len(alone)
    ids = re.findall(r'\bid="([^"]+)"', "".join([*both, shapes]))
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"""(?:url\(#|href="#)([^)"]+)""", "".join([*both, shapes]))) <= set(ids)
    classes = set(re.findall(r'class="([^"]+)"', "".join(both)))
    assert classes == set(re.findall(r"\.(s\d+)\{", style))
    declared = {one for one in re.findall(r'style="([^"]+)"', alone) if "max-width" not in one}
    assert declared == set(re.findall(r"\{([^}]*)\}", style))
    outlines = {path.split()[0] for path in re.findall(r'd="([^"]+)" transform="scale', shapes)}
    assert len(outlines) > 3
    assert page.definitions([]) == ("", "")


def test_a_formula_is_the_glyphs_that_it_was() -> None:
    page = Shared()
    drawn = plotted("same", title=r"$\gamma_{10}$")
    shown = inline_svg(drawn, name="figure-x", label="x", page=page)
    words = {word.get("id"): word for word in ET.fromstring(page.definitions([shown])[1]).iter("g")}
    used = [use.get("href", "")[1:] for use in ET.fromstring(shown).iter("use")]
    (now,) = [list(words[name]) for name in used if name in words]
    (then,) = [
        group.findall(f"{SVG}use")
        for group in ET.fromstring(drawn).iter(f"{SVG}g")
        if any("scale(0.7)" in use.get("transform", "") for use in group.findall(f"{SVG}use"))
    ]
    assert len(now) == len(then) == 3
    for one, use in zip(now[1:], then[1:], strict=True):
        assert numbers(one.get("transform", "")) == pytest.approx(numbers(use.get("transform", "")), abs=0.05)
    assert not any("γ" in (one.text or "") for one in ET.fromstring(shown).iter("text"))


def test_words_are_text_where_they_were_and_as_wide() -> None:
    """Its last two letters are one, so that its width is known; two dashes a comment does not hold."""
    drawn = plotted("same", title="a & <b>  ββ", weight="bold", rotation=90, xlabel="two--dashes")
    shown = ET.fromstring(inline_svg(drawn, name="x", label="x", page=Shared()))
    said = {one.text: one for one in shown.iter("text")}
    assert set(said) == {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0", "a & <b>  ββ"}
    (group,) = [
        group for group in ET.fromstring(drawn).iter(f"{SVG}g") if "rotate" in group.get("transform", "")
    ]
    x, y, _, size, _ = numbers(group.get("transform", ""))
    starts = [numbers(use.get("transform", "translate(0 0)"))[0] for use in group.findall(f"{SVG}use")]
    title = said["a & <b>  ββ"]
    assert numbers(title.get("transform", "")) == pytest.approx([x, y, -90], abs=0.06)
    assert float(title.get("font-size", "")) == pytest.approx(100 * size)
    assert title.get("font-weight") == "bold"
    wide = size * (starts[-1] + starts[-1] - starts[-2])
    assert float(title.get("textLength", "")) == pytest.approx(wide, abs=0.06)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("M 48.126831 178.6 \nL -0.004567 -1.2349 \nz", "M48.1 178.6L-.0046 -1.23z"),
        ("M 1 2 L 3 4", "M1 2L3 4"),
    ],
)
def test_paths_have_the_digits_that_can_be_seen(before: str, after: str) -> None:
    text = f'<svg xmlns="http://www.w3.org/2000/svg"><path d="{before}"/></svg>'
    assert f'd="{after}"' in inline_svg(text, name="x", label="x", page=Shared())


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
    assert ":where(#figure-x) *, :where(#figure-x) g {stroke-linecap: butt}" in inline_svg(
        HOSTILE, name="figure-x", label="x"
    )


def test_it_scales_and_is_named_for_those_who_do_not_see_it() -> None:
    root = ET.fromstring(inline_svg(HOSTILE, name="figure-x", label="a <hostile> one"))
    assert root.get("viewBox") == "0 0 72 36"
    assert root.get("width") is None
    assert root.get("style") == "max-width: 72pt"
    assert root.get("aria-label") == "a <hostile> one"


def test_a_width_is_a_length_and_says_nothing_more() -> None:
    for width, style in (
        ("72.5pt", "max-width: 72.5pt"),
        ("9pt; position: fixed", None),
        ("calc(1px)", None),
    ):
        root = ET.fromstring(inline_svg(f"<svg xmlns='{SVG[1:-1]}' width='{width}'/>", name="f", label="x"))
        assert root.get("style") == style


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
    deep = f"<svg xmlns='{SVG[1:-1]}'>{'<g>' * 5000}{'</g>' * 5000}</svg>"
    for page in (None, Shared()):
        with pytest.raises(ValueError, match="figure x has groups within groups"):
            inline_svg(deep, name="x", label="x", page=page)
