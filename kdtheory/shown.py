"""How results show themselves: frames that are whole at the width of a terminal, HTML of notebooks, bars.

A `Frame` has every column; shown, it has as many of the first as fit, none of them cut, and names the
others. What a picture needs of matplotlib is pandas' own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from kdtheory.doors import gate

__all__ = ["Frame", "bars", "in_html"]


class Frame(pd.DataFrame):
    """A table whose text has whole rows: the first columns that fit, then the names of the others.

    >>> Frame({"a": [1], "b": ["x" * 80], "c": [2.0]})
       a
    0  1
    (further columns: b, c)
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return Frame

    def __repr__(self) -> str:
        width, names = pd.get_option("display.width") or 80, list(self.columns)
        plain = pd.DataFrame(self)
        if plain.columns.nlevels > 1 or len(plain) > (pd.get_option("display.max_rows") or len(plain)):
            return repr(plain)
        kept = len(names)
        while kept > 1 and _width(plain.iloc[:, :kept]) > width:
            kept -= 1
        told = _text(plain.iloc[:, :kept])
        if kept == len(names):
            return told
        return f"{told}\n" + textwrap.fill(f"(further columns: {', '.join(map(str, names[kept:]))})", width)


def _text(frame: pd.DataFrame) -> str:
    return str(frame.to_string(max_colwidth=None) if len(frame) else repr(frame))


def _width(frame: pd.DataFrame) -> int:
    return max(map(len, _text(frame).splitlines()))


@gate
def in_html(statement: str, *frames: pd.DataFrame) -> str:
    """A statement above its tables, as a notebook shows it."""
    tables = "".join(frame.to_html(index=frame.index.name is not None) for frame in frames)
    return (f"<p>{escape(statement)}</p>" if statement else "") + tables


@gate
def bars(terms: Mapping[str, Mapping[str, float]], /, *, label: str, most: float = 1.0) -> Any:
    """One bar for each name, made of its terms end to end; the axes.

    Args:
        terms: name ↦ term ↦ value.
        label: of the axis.
        most: what is far above it is cut there, so that the others can be seen.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not terms:
        raise ValueError("there is no line to draw; ask for one or more")
    table = pd.DataFrame({name: pd.Series(parts, dtype=float) for name, parts in terms.items()}).T
    table.index = table.index.astype(str).str.replace("_", " ")
    ax = table.plot.barh(stacked=True, xlabel=label)
    ax.invert_yaxis()
    if table.clip(lower=0).sum(axis=1).max() > 1.2 * most:
        ax.set_xlim(right=1.2 * most)
    return ax
