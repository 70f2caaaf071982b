"""An SVG file as an element of a page: no prolog, no outside reference, and ids that are its own."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from markupsafe import Markup

__all__ = ["inline_svg"]

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
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
_SELECTOR = re.compile(r"[\w.#*][\w\s.#*>-]*")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[\w+/=\s]*")


def inline_svg(text: str, /, *, name: str, label: str) -> Markup:
    """The drawing as an inline `<svg>`, scaled to the width it is given.

    Args:
        text: the SVG file.
        name: prefixed to every id, so that the clip paths of two figures on one page stay apart.
        label: what the drawing shows, for those who do not see it.

    Raises:
        ValueError: the text is not SVG.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(f"figure {name} is not SVG ({error}); draw it again") from error
    if root.tag != f"{_SVG}svg":
        raise ValueError(f"figure {name} is not SVG (its root is {root.tag}); draw it again")
    _clean(root, name)
    width, height = root.attrib.pop("width", ""), root.attrib.pop("height", "")
    root.attrib.setdefault("viewBox", f"0 0 {_number(width)} {_number(height)}")
    root.attrib |= {"id": name, "role": "img", "aria-label": label}
    if width:
        root.set("style", f"max-width: {width}")
    return Markup(ET.tostring(root, encoding="unicode", short_empty_elements=False))


def _number(length: str) -> str:
    found = re.match(r"[\d.]+", length)
    return found.group() if found else "100"


def _clean(element: ET.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        kept = "href" if key == _HREF else key
        inner = None if kept.startswith(("{", "on")) else _own(element.tag, kept, value, name)
        if inner is not None:
            element.set(kept, inner)
    if element.tag == "style":
        element.text = _scoped(element.text or "", name)
    for child in list(element):
        child_tag = str(child.tag).removeprefix(_SVG)
        if child_tag in _KEPT:
            _clean(child, name)
        else:
            element.remove(child)


def _own(tag: str, key: str, value: str, name: str) -> str | None:
    """The attribute's value with references renamed; None where it points outside the figure."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        if value.startswith("#"):
            return f"#{name}-{value[1:]}"
        return value if tag == "image" and _PICTURE.fullmatch(value) else None
    if key == "style":
        return _declared(value, name)
    inner = _REFERENCE.sub(rf"url(#{name}-\1)", value)
    return None if _OUTSIDE.search(_REFERENCE.sub("", value)) else inner


def _declared(style: str, name: str) -> str:
    """The declarations of a style that draw, and refer to nothing outside the figure."""
    kept = []
    for declaration in style.split(";"):
        prop, _, value = (part.strip() for part in declaration.partition(":"))
        inner = _REFERENCE.sub(rf"url(#{name}-\1)", value)
        if _PROPERTY.fullmatch(prop) and _VALUE.fullmatch(inner):
            kept.append(f"{prop}: {inner}")
    return "; ".join(kept)


def _scoped(css: str, name: str) -> str:
    """The rules of the figure's own style sheet, for this figure only: on a page they would reach all."""
    rules = []
    for selectors, body in _RULE.findall(_ASIDE.sub("", css)):
        own = [one for selector in selectors.split(",") if _SELECTOR.fullmatch(one := selector.strip())]
        if own and (declared := _declared(body, name)):
            scoped = ", ".join(f"#{name} {one.replace('#', f'#{name}-')}" for one in own)
            rules.append(f"{scoped} {{{declared}}}")
    return "\n".join(rules)
