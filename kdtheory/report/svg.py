"""An SVG file as an element of a page: no prolog, no outside reference, and ids that are its own."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from markupsafe import Markup

__all__ = ["inline_svg"]

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DROPPED = {"metadata", "script", "foreignObject", "title"}
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"\s]+)['\"]?\s*\)")
_OUTSIDE = re.compile(r"url\((?!\s*['\"]?(?:#|data:))[^)]*\)|@import[^;]*;?")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


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
        inner = None if kept.startswith(("{", "on")) else _own(kept, value, name)
        if inner is not None:
            element.set(kept, inner)
    if element.tag == "style":
        element.text = _scoped(element.text or "", name)
    for child in list(element):
        local = str(child.tag).removeprefix(_SVG)
        if local in _DROPPED or local.startswith("{"):
            element.remove(child)
        else:
            _clean(child, name)


def _own(key: str, value: str, name: str) -> str | None:
    """The attribute's value with references renamed; None where it points outside the figure."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        if value.startswith("#"):
            return f"#{name}-{value[1:]}"
        return value if value.startswith("data:image/") else None
    return _REFERENCE.sub(rf"url(#{name}-\1)", _OUTSIDE.sub("none", value))


def _scoped(css: str, name: str) -> str:
    """The rules of the figure's own style sheet, for this figure only: on a page they would reach all."""
    rules = []
    for selectors, body in _RULE.findall(_OUTSIDE.sub("", css)):
        scoped = ", ".join(f"#{name} {selector.strip()}" for selector in selectors.split(","))
        rules.append(f"{scoped} {{{body.strip()}}}")
    return "\n".join(rules)
