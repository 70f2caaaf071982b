"""A formula in LaTeX as display MathML, or as the LaTeX itself where it does not convert."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from latex2mathml.converter import convert
from markupsafe import Markup, escape

__all__ = ["mathml", "typeset"]

# LaTeX that the converter lacks, in words that it has.
_REWORDED = (
    (re.compile(r"\\arg(?![A-Za-z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\(begin|end)\{aligned\}"), r"\\\1{align*}"),
)
_CHILDREN = {
    "mfrac": 2,
    "mroot": 2,
    "msub": 2,
    "msup": 2,
    "mover": 2,
    "munder": 2,
    "msubsup": 3,
    "munderover": 3,
}


_ACTS = re.compile(r"on.*|(.*\W)?(href|src|style|class|id|actiontype)", re.IGNORECASE)
"""Attributes that link, load, run, or reach beyond the formula."""


def typeset(latex: str, /) -> Markup:
    """The formula as display MathML; as `<code>` where it does not convert."""
    try:
        return Markup(mathml(latex))
    except ValueError:
        return Markup('<code class="latex">{}</code>').format(escape(latex))


def mathml(latex: str, /) -> str:
    """The formula as a MathML element without a namespace, for a page in HTML.

    The converter lets unknown commands, unmatched braces and missing arguments through in silence and does
    not escape text; what it returns is therefore checked here.

    Raises:
        ValueError: the formula does not convert; the message says what is wrong with it.

    >>> mathml("a^2")
    '<math display="block"><mrow><msup><mi>a</mi><mn>2</mn></msup></mrow></math>'
    """
    reworded = latex
    for lacking, known in _REWORDED:
        reworded = lacking.sub(known, reworded)
    try:
        tree = ET.fromstring(convert(reworded, display="block"))
    except Exception as error:  # the converter has no error class of its own
        raise ValueError(f"formula {latex!r} does not convert ({type(error).__name__})") from error
    for element in tree.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
        if reason := _fault(element):
            raise ValueError(f"formula {latex!r} does not convert: {reason}")
    return ET.tostring(tree, encoding="unicode", short_empty_elements=False)


def _fault(element: ET.Element) -> str | None:
    text = element.text or ""
    if not element.tag.startswith("m"):
        return f"<{element.tag}> is no MathML"
    if acts := [name for name in element.attrib if _ACTS.fullmatch(name)]:
        return f"{acts[0]} does not typeset"
    if element.tag == "mi" and any(sign in text for sign in "\\{}"):
        return f"{text.strip()!r} is not known"
    wanted = _CHILDREN.get(element.tag)
    if wanted is not None and len(element) != wanted:
        return f"{element.tag} takes {wanted} arguments and has {len(element)}"
    return None
