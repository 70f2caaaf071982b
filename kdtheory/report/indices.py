"""Indices and exponents within words, as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["indexed"]

_GROUP = r"\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
_INDEX = re.compile(
    rf"(?<=[^\s_^])(?:_(?:{_GROUP}|(\|\w\||[*∞]|[^\W_](?![A-Za-z0-9])))|\^(?:{_GROUP}|([*∞]|[A-Za-z0-9]+|[^\W_])))"
)
_NAME = re.compile(r"(?<![A-Za-z])(?!max$|min$|sup$|inf$)[a-z][A-Za-z]+$")


def indexed(text: str, /, *, escape: Callable[[str], str] = str) -> str:
    """Words in which p_t is p<sub>t</sub>, and e^{−n} is e<sup>−n</sup>; names as top_k stay.

    Args:
        text: without markup.
        escape: what is done to all other text.

    >>> indexed("z_s ≤ e^{−x_i}, and top_k")
    'z<sub>s</sub> ≤ e<sup>−x<sub>i</sub></sup>, and top_k'
    """
    parts, at = [], 0
    for found in _INDEX.finditer(text):
        grouped, bare, *high = found.groups()
        if bare and bare.isascii() and found.start() > at and _NAME.search(text[: found.start()]):
            continue
        tag, within = ("sup", high[0] or high[1]) if found[0][0] == "^" else ("sub", grouped or bare)
        inner = indexed(within, escape=escape)
        parts += [escape(text[at : found.start()]), f"<{tag}>{inner}</{tag}>"]
        at = found.end()
    return "".join([*parts, escape(text[at:])])
