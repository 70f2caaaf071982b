"""Near misses: which of the names there are was meant by one that is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["near", "nearest"]

_PART = 3
"""So many letters at least are a part of a name that may be meant by it."""


def nearest(value: Any, choices: Iterable[str], /, *, count: int = 1, cutoff: float = 0.65) -> list[str]:
    """The choices that are most like a text, the likest first; none of what is no text.

    Those that begin with the text, if there are such; those that have it within them where none is like it.

    >>> nearest("Houldout", ["holdout", "train"]), nearest("hinton", ["hint_loss", "hinton2015distilling"])
    (['holdout'], ['hinton2015distilling'])
    """
    known = list(choices)
    if not isinstance(value, str):
        return []
    folded = {name.lower(): name for name in reversed(known)}
    names, text = [name.lower() for name in known], value.lower()
    begun = [name for name in names if len(text) >= _PART and name.startswith(text)]
    found = begun or difflib.get_close_matches(text, names, count, cutoff)
    found = found or [name for name in names if len(text) >= _PART and text in name]
    return [folded[name] for name in dict.fromkeys(found)][:count]


def near(value: Any, choices: Iterable[str], /, *, count: int = 1, otherwise: str = "") -> str:
    """How a refusal goes on: which is meant; `otherwise` where nothing is close.

    >>> near("houldout", ["holdout", "train"]), near("x", ["holdout"], otherwise="; see `--list`")
    ("; did you mean 'holdout'?", '; see `--list`')
    """
    close = nearest(value, choices, count=count)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else otherwise
