"""Formulas as MathML, by what typesets those of the report: no script, no font and no other host."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from kdtheory.report.formula import formulas, mathml


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext()).replace('display="block"', 'display="inline"', 1))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    opening = writer.starttag(
        node, "div", CLASS="formula", tabindex="0", role="group", **{"aria-label": "Formula"}
    )
    writer.body.append(f"{opening}{formulas(node.astext())}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
