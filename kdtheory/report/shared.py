"""What the drawings of a page have in common, said once for the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import Markup

__all__ = ["Shared"]

_ID = re.compile(r"\b(s\d+)\b")


@dataclass
class Shared:
    """What the drawings of a page share: glyphs by their outlines, words by their glyphs, styles, and ids."""

    glyphs: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    styles: dict[str, str] = field(default_factory=dict)
    advances: dict[str, float] = field(default_factory=dict)
    taken: int = 0
    said: dict[str, str] = field(default_factory=dict)

    def name(self) -> str:
        """A short id that nothing else on the page has."""
        self.taken += 1
        return f"s{self.taken}"

    def is_glyph(self, reference: str) -> bool:
        """Whether a reference, as "#s7", is to a glyph."""
        name = reference.removeprefix("#")
        return self.glyphs.get(self.said.get(name, "")) == name

    def known(self, kind: dict[str, str], said: str) -> str:
        """The id of a glyph, a word or a style."""
        if said not in kind:
            kind[said] = self.name()
            self.said[kind[said]] = said
        return kind[said]

    def definitions(self, drawings: Iterable[str], /) -> tuple[Markup, Markup]:
        """A style sheet, and an element to stand before the drawings: all that they share, once."""
        used = set(_ID.findall(" ".join(drawings)))
        words = {name: said for said, name in self.words.items() if name in used}
        used |= set(_ID.findall(" ".join(words.values())))
        rules = "".join(f".{name}{{{said}}}" for said, name in self.styles.items() if name in used)
        glyphs = (
            f'<path id="{name}" d="{said}" transform="scale(.015625)"/>'
            for said, name in self.glyphs.items()
            if name in used
        )
        groups = (f'<g id="{name}">{said}</g>' for name, said in words.items())
        hidden = '<svg width="0" height="0" style="position: absolute" aria-hidden="true"><defs>'
        inner = "".join([*glyphs, *groups])
        return Markup(rules), Markup(f"{hidden}{inner}</defs></svg>") if inner else Markup()
