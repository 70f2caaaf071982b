"""The navigation at the side, whose folded sections the theme leaves without a name for screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _with_names(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    made = context.get("generate_toctree_html")
    if made is None:
        return

    def named(kind: str, *args: Any, **settings: Any) -> Any:
        tree = made(kind, *args, **settings)
        for summary in tree.select("summary") if hasattr(tree, "select") else ():
            above = summary.find_parent("li")
            link = above.find("a") if above else None
            summary["aria-label"] = f"Pages below {link.get_text(strip=True)}" if link else "Pages below"
        return tree

    context["generate_toctree_html"] = named


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", _with_names, priority=900)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
