"""Formulas in LaTeX as MathML, or as the LaTeX itself where they do not convert."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from markupsafe import Markup, escape

from kdtheory.catalogue import catalogue

__all__ = ["formulas", "mathml", "typeset"]

# LaTeX that the converter lacks, in words that it has.
_REWORDED = (
    (re.compile(r"\\arg(?![A-Za-z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\(begin|end)\{aligned\}"), r"\\\1{align*}"),
)
# Delimiters that the converter leaves as they were written behind \bigl and its like.
_DELIMITERS = {r"\{": "{", r"\}": "}", r"\|": "‖", r"\lbrace": "{", r"\rbrace": "}"} | {
    rf"\{name}": sign
    for name, sign in zip(("langle", "rangle", "lceil", "rceil", "lfloor", "rfloor"), "⟨⟩⌈⌉⌊⌋", strict=True)
}
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
    """The parts of the formula as display MathML; the formula as `<code>` where one does not convert."""
    try:
        return Markup(catalogue()["formulas"].get(latex) or formulas(latex))
    except ValueError:
        return Markup('<code class="latex">{}</code>').format(escape(latex))


def formulas(latex: str, /) -> str:
    r"""A MathML element for each part of a formula between \quad or \qquad, where a narrow page may break it.

    Raises:
        ValueError: the formula does not convert.

    >>> formulas(r"a = b,\qquad b = c").count("<math")
    2
    """
    return "".join(mathml(part) for part in _parts(latex))


def _parts(latex: str) -> list[str]:
    """What stands between wide spaces that are in no group, environment or pair of delimiters."""
    depth, begun, parts = 0, 0, []
    for token in _TOKEN.finditer(latex):
        if token["space"]:
            if depth == 0:
                parts.append(latex[begun : token.start()])
                begun = token.end()
        else:
            depth += 1 if token["open"] else -1
    return [part for part in (*parts, latex[begun:]) if part.strip()] or [latex]


_TOKEN = re.compile(
    r"(?P<space>\\q?quad(?![A-Za-z]))|(?P<open>\\begin\{\w+\*?\}|(?<!\\)\{|\\left(?![A-Za-z]))"
    r"|\\end\{\w+\*?\}|(?<!\\)\}|\\right(?![A-Za-z])"
)


def mathml(latex: str, /) -> str:
    """The formula as a MathML element without a namespace, for a page in HTML.

    The converter lets unknown commands, unmatched braces and missing arguments through in silence and does
    not escape text; what it returns is therefore checked here.

    Raises:
        ValueError: the formula does not convert; the message says what is wrong with it.

    >>> mathml("a^2")
    '<math display="block"><mrow><msup><mi>a</mi><mn>2</mn></msup></mrow></math>'
    """
    from latex2mathml.converter import convert  # not needed for what the catalogue has

    reworded = latex
    for lacking, known in _REWORDED:
        reworded = lacking.sub(known, reworded)
    try:
        tree = ET.fromstring(convert(reworded, display="block"))
    except Exception as error:  # the converter has no error class of its own
        raise ValueError(f"formula {latex!r} does not convert ({type(error).__name__})") from error
    for element in tree.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
        if element.tag == "mo" and element.text:
            element.text = _DELIMITERS.get(element.text, element.text)
        if reason := _fault(element):
            raise ValueError(f"formula {latex!r} does not convert: {reason}")
    return ET.tostring(tree, encoding="unicode", short_empty_elements=False)


def _fault(element: ET.Element) -> str | None:
    text = element.text or ""
    if not element.tag.startswith("m"):
        return f"<{element.tag}> is no MathML"
    if acts := [name for name in element.attrib if _ACTS.fullmatch(name)]:
        return f"{acts[0]} does not typeset"
    if (element.tag == "mi" and any(sign in text for sign in "\\{}")) or "\\" in text:
        return f"{text.strip()!r} is not known"
    wanted = _CHILDREN.get(element.tag)
    if wanted is not None and len(element) != wanted:
        return f"{element.tag} takes {wanted} arguments and has {len(element)}"
    return None
