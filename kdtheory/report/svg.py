"""An SVG file as an element of a page: no prolog, no outside reference, and ids that are its own.

Words that matplotlib drew glyph by glyph are text again, as wide as they were drawn, which a page's search
finds. What else a drawing repeats is said once for the page (`Shared`): the glyphs of formulas, and styles;
and numbers have the digits that can be seen.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from markupsafe import Markup

from kdtheory.report.lettering import HREF, MOVED, SVG, spell
from kdtheory.report.shared import Shared

__all__ = ["inline_svg"]

_KEPT = {
    "svg", "g", "defs", "symbol", "use", "image", "style", "desc", "path", "rect", "circle", "ellipse",
    "line", "polyline", "polygon", "text", "tspan", "textPath", "clipPath", "mask", "marker", "pattern",
    "linearGradient", "radialGradient", "stop",
}  # fmt: skip
"""Elements that draw; scripts, links, animation (which can set links) and foreign objects do not."""
_PROPERTY = re.compile(
    r"(fill|stroke|font|text|clip|marker|stop|color|opacity|shape-rendering|image-rendering|mix-blend-mode|"
    r"letter-spacing|word-spacing|dominant-baseline|baseline-shift|paint-order|vector-effect|visibility|"
    r"display|mask|transform|white-space)(-[a-z]+)*"
)
"""The properties of a style sheet that a drawing needs; none of them moves it out of its place."""
_VALUE = re.compile(
    r"""([\w\s.,#%+'"/-]|\b(rgba?|hsla?|matrix|translate|scale|rotate|skew[XY])\(|\)|url\(#[\w.:-]+\))*"""
)
_REFERENCE = re.compile(r"url\(\s*['\"]?#([\w.:-]+)['\"]?\s*\)")
_OUTSIDE = re.compile(r"[a-z-]*\(\s*['\"]?\s*[\w+.-]*:|//|\\\\|@", re.IGNORECASE)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_ASIDE = re.compile(r"@[^;{}]*;|/\*.*?\*/", re.DOTALL)
_NAMED = re.compile(r"#([\w-]+)")
_SELECTOR = re.compile(r"[\w.#*][\w\s.#*>-]*")
_REFERRED = re.compile(r"#([\w.:-]+)")
_TEXTS = {"text", "tspan", "textPath", "style", "desc"}
_MEASURES = {"d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points", "transform"}
_LONG, _AROUND = re.compile(r"-?\b\d+\.\d{3,}\b"), re.compile(r" ?([A-Za-z]) ?")
_INHERITED = {
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap",
    "stroke-linejoin", "stroke-miterlimit", "stroke-opacity", "stroke-width",
}  # fmt: skip
_PLACED = {"href", "x", "y"}
_GLYPH, _OUTLINE = "scale(0.015625)", re.compile(r"[\w .-]*")
_LENGTH = re.compile(r"\d*\.?\d+(pt|px|in|cm|mm|em|ex|pc|%)?")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[\w+/=\s]*")


@dataclass
class _Names:
    """The names within a drawing, as they are on the page; None for those that nothing refers to."""

    own: str
    page: Shared | None
    used: set[str]
    given: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        if name not in self.given:
            self.given[name] = self.page.name() if self.page else f"{self.own}-{name}"
        return self.given[name]


def inline_svg(text: str, /, *, name: str, label: str, page: Shared | None = None) -> Markup:
    """The drawing as an inline `<svg>`, scaled to the width it is given.

    Args:
        text: the SVG file.
        name: its id; prefixed to other ids, so that the clip paths of two figures on one page stay apart.
        label: what the drawing shows, for those who do not see it.
        page: what it shares with others on a page, which has its `definitions`.

    Raises:
        ValueError: the text is not SVG.
    """
    try:
        root = ET.fromstring(text, ET.XMLParser(target=ET.TreeBuilder(insert_comments=page is not None)))
    except ET.ParseError as error:
        raise ValueError(f"figure {name} is not SVG ({error}); draw it again") from error
    if root.tag != f"{SVG}svg":
        raise ValueError(f"figure {name} is not SVG (its root is {root.tag}); draw it again")
    names = _Names(name, page, set(_REFERRED.findall(text)))
    try:
        if page is not None:
            _share_glyphs(root, names, page)
        _clean(root, names)
    except RecursionError as error:
        raise ValueError(f"figure {name} has groups within groups beyond counting; draw it again") from error
    width, height = root.attrib.pop("width", ""), root.attrib.pop("height", "")
    root.attrib.setdefault("viewBox", f"0 0 {_number(width)} {_number(height)}")
    root.attrib |= {"id": name, "role": "img", "aria-label": label}
    if _LENGTH.fullmatch(width):  # which alone is a value: more would be further declarations
        root.set("style", f"max-width: {width}")
    return Markup(_written(root, short=page is not None))


def _written(element: ET.Element, *, short: bool) -> str:
    return ET.tostring(element, encoding="unicode", short_empty_elements=short).replace(" />", "/>")


def _number(length: str) -> str:
    found = re.match(r"[\d.]+", length)
    return found.group() if found else "100"


def _share_glyphs(root: ET.Element, names: _Names, page: Shared) -> None:
    """Take the outlines of glyphs out of a drawing by matplotlib; the page has each once, and no blanks."""
    blank = set()
    for holder in root.iter(f"{SVG}defs"):
        for path in list(holder):
            known, outline = path.get("id", ""), _compact(path.get("d", ""))
            plain = set(path.attrib) == {"id", "d", "transform"} and path.get("transform") == _GLYPH
            if path.tag == f"{SVG}path" and plain and _OUTLINE.fullmatch(outline):
                names.given[known] = page.known(page.glyphs, outline)
                holder.remove(path)
            elif set(path.attrib) == {"id", "transform"} and not len(path):
                blank.add(f"#{known}")
                holder.remove(path)
    spell(root, page)
    for group in list(root.iter(f"{SVG}g")):
        for one in [one for one in group if one.tag == f"{SVG}use" and one.get(HREF) in blank]:
            group.remove(one)


def _clean(element: ET.Element, names: _Names) -> None:
    element.tag = element.tag.removeprefix(SVG)
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        kept = "href" if key == HREF else key
        inner = None if kept.startswith(("{", "on")) else _own(element.tag, kept, value, names)
        if inner is not None:
            element.set(kept, inner)
    if names.page is not None:
        _shorten(element, names.page)
    if element.tag == "style":
        element.text = _scoped(element.text or "", names)
    elif element.tag not in _TEXTS:
        element.text = None
    if not len(element):
        return
    children = [child for child in element if str(child.tag).removeprefix(SVG) in _KEPT]
    for child in children:
        _clean(child, names)
        if element.tag not in _TEXTS:
            child.tail = None
    element[:] = list(_unwrapped(children)) if names.page is not None else children
    if names.page is not None and element.tag == "g" and len(element):
        _share_style(element, names.page)
        _share_word(element, names.page)


def _share_style(group: ET.Element, page: Shared) -> None:
    """A style of all of a group's members, of what members inherit, as that of the group."""
    (shared, *others) = {one.get("class", "") for one in group}
    if not shared or others or "class" in group.attrib or len(group) < 2:
        return
    declared = page.said[shared].split(";")
    if all(one.partition(":")[0].strip() in _INHERITED for one in declared if one.strip()):
        group.set("class", shared)
        for one in group:
            del one.attrib["class"]


def _share_word(group: ET.Element, page: Shared) -> None:
    """Take the glyphs of a word out of its group, which then names the word: most stand in several places."""
    if all(one.tag == "use" and page.is_glyph(one.get("href", "")) and not len(one) for one in group):
        for one in group:
            for axis in {"x", "y"} & set(one.attrib):  # in units of a font, a hundredth of a word's height
                one.set(axis, str(round(float(one.attrib[axis]))))
        said = "".join(map(_use, group))
        group.tag, group[:] = "use", []
        group.set("href", f"#{page.known(page.words, said)}")


def _use(glyph: ET.Element) -> str:
    if not glyph.attrib.keys() <= _PLACED:
        return _written(glyph, short=True)
    said = "".join(f' {key}="{value}"' for key, value in glyph.attrib.items())
    return f"<use{said}/>"  # of letters and digits alone; most elements of a page are these


def _unwrapped(children: list[ET.Element]) -> Iterator[ET.Element]:
    """Children, in the place of groups that say nothing theirs, and without what is empty."""
    for child in children:
        if child.tag in ("g", "defs") and not len(child):
            continue
        if child.tag == "g" and not child.attrib:
            yield from child
        else:
            yield child


def _shorten(element: ET.Element, page: Shared) -> None:
    """Say an element in fewer words: its style by a class, its numbers in digits that can be seen."""
    if style := element.attrib.pop("style", ""):
        element.set("class", page.known(page.styles, style))
    for key, value in element.attrib.items():
        if key in _MEASURES:
            element.attrib[key] = _compact(value) if key == "d" else _seen(value)
    if element.tag == "use" and (moved := MOVED.fullmatch(element.get("transform", ""))):
        del element.attrib["transform"]
        element.attrib |= {
            axis: place for axis, place in zip("xy", moved.groups(), strict=True) if place != "0"
        }


def _compact(path: str) -> str:
    """The commands of a path without what they do not need."""
    return _AROUND.sub(r"\1", " ".join(_seen(path).split()))


def _seen(numbers: str) -> str:
    """Numbers to three digits or four: a tenth of a point is not seen."""
    return numbers if "." not in numbers else _LONG.sub(lambda one: _rounded(float(one[0])), numbers)


def _rounded(value: float) -> str:
    size = abs(value)
    plain = f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.4f}"
    return plain.rstrip("0").rstrip(".").replace("-0.", "-.").removeprefix("0") or "0"


def _own(tag: str, key: str, value: str, names: _Names) -> str | None:
    """The attribute's value with references renamed; None where it points outside the figure."""
    if key == "id":
        return names[value] if names.page is None or value in names.used else None
    if key == "href":
        if value.startswith("#"):
            return f"#{names[value[1:]]}"
        return value if tag == "image" and _PICTURE.fullmatch(value) else None
    if key == "style":
        return _declared(value, names)
    if _OUTLINE.fullmatch(value):  # neither refers to anything nor leads out of the page
        return value
    inner = _renamed(value, names)
    return None if _OUTSIDE.search(_REFERENCE.sub("", value)) else inner


def _renamed(value: str, names: _Names) -> str:
    if "(" not in value:
        return value
    return _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value)


def _declared(style: str, names: _Names) -> str:
    """The declarations of a style that draw, and refer to nothing outside the figure."""
    return _drawing(_renamed(style, names))


@cache
def _drawing(style: str) -> str:
    kept = []
    for declaration in style.split(";"):
        prop, _, value = (part.strip() for part in declaration.partition(":"))
        if _PROPERTY.fullmatch(prop) and _VALUE.fullmatch(value):
            kept.append(f"{prop}: {value}")
    return "; ".join(kept)


def _scoped(css: str, names: _Names) -> str:
    """The rules of the figure's own style sheet, for this figure only: on a page they would reach all."""
    rules = []
    for selectors, body in _RULE.findall(_ASIDE.sub("", css)):
        own = [one for selector in selectors.split(",") if _SELECTOR.fullmatch(one := selector.strip())]
        if own and (declared := _declared(body, names)):
            within = f":where(#{names.own})"  # of no weight, so that the class of an element has more
            scoped = ", ".join(f"{within} {_NAMED.sub(lambda one: '#' + names[one[1]], one)}" for one in own)
            rules.append(f"{scoped} {{{declared}}}")
    return "\n".join(rules)
