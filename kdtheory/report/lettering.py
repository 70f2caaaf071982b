"""Words that matplotlib drew glyph by glyph, as text again, as wide as they were drawn."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

from kdtheory.report.shared import Shared

__all__ = ["HREF", "MOVED", "SVG", "spell"]

SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
MOVED = re.compile(r"translate\(([-.\d]+) ([-.\d]+)\)")
_FONT = re.compile(r"#DejaVuSans(?:-(Bold|Oblique))?-[0-9a-f]+")
_LOOKS = {"": {}, "Bold": {"font-weight": "bold"}, "Oblique": {"font-style": "italic"}}
_SCALED = re.compile(r"(translate\([^()]*\)(?: rotate\([^()]*\))?) scale\(([\d.]+) -\2\)")
_EM, _ADVANCE = 100.0, 60.0
"""The height of a font in the units of its glyphs, and the width of one that is not known."""


def spell(root: ET.Element, page: Shared) -> None:
    """Words in the place of their glyphs, where matplotlib's comment before them has a letter for each."""
    for holder in root.iter(f"{SVG}g"):
        for comment, group in pairwise(list(holder)):
            if not isinstance(comment.tag, str) and group.tag == f"{SVG}g":
                said = html.unescape((comment.text or "")[1:-1])
                placed = _SCALED.fullmatch(group.get("transform", ""))
                glyphs = [_glyph(one) for one in group if one.tag != f"{SVG}defs"]
                if placed and glyphs and len(glyphs) == len(said):
                    _write_out(group, said, placed, glyphs, page)


def _glyph(use: ET.Element) -> tuple[str, float, str] | None:
    """A glyph's name, where it stands on the line, and the face of its font; None where it is no letter."""
    moved = MOVED.fullmatch(use.get("transform", "translate(0 0)"))
    face = _FONT.fullmatch(use.get(HREF, ""))
    if use.tag != f"{SVG}use" or moved is None or face is None or moved[2] != "0":
        return None
    return face[0], float(moved[1]), face[1] or ""


def _write_out(
    group: ET.Element,
    said: str,
    placed: re.Match[str],
    glyphs: list[tuple[str, float, str] | None],
    page: Shared,
) -> None:
    letters = [one for one in glyphs if one is not None]
    if len(letters) < len(glyphs) or len({face for *_, face in letters}) > 1:
        return
    for (name, start, _), (_, end, _) in pairwise(letters):
        page.advances.setdefault(name, end - start)
    last, start, face = letters[-1]
    size = float(placed[2])
    width = (start + page.advances.get(last, _ADVANCE)) * size
    style = group.attrib.get("style")
    group.tag, group[:], group.text = f"{SVG}text", [], said
    group.attrib = {"transform": placed[1], "font-size": f"{_EM * size:g}", "textLength": f"{width:.1f}"}
    group.attrib |= _LOOKS[face] | ({"style": style} if style else {})
