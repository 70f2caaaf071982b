"""Near misses: which of the names there are was meant by one that is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["near", "nearest"]


def nearest(value: Any, choices: Iterable[str], /, *, count: int = 1, cutoff: float = 0.65) -> list[str]:
    """The choices that are most like a text, the likest first; none of what is no text.

    >>> nearest("Houldout", ["holdout", "train"])
    ['holdout']
    """
    known = list(choices)
    if not isinstance(value, str):
        return []
    folded = {name.lower(): name for name in reversed(known)}
    found = difflib.get_close_matches(value.lower(), [name.lower() for name in known], count, cutoff)
    return [folded[name] for name in dict.fromkeys(found)]


def near(value: Any, choices: Iterable[str], /, *, count: int = 1, otherwise: str = "") -> str:
    """How a refusal goes on: which is meant; `otherwise` where nothing is close.

    >>> near("houldout", ["holdout", "train"]), near("x", ["holdout"], otherwise="; see `--list`")
    ("; did you mean 'holdout'?", '; see `--list`')
    """
    close = nearest(value, choices, count=count)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else otherwise
