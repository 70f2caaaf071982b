"""Everything of the documentation that is made from the code, before Sphinx reads its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["everything", "setup"]


def everything() -> None:
    """Write all made pages, and delete those that are made no more."""
    from generate import api, claims, gallery, methods, text

    drawn = gallery.drawn_figures()
    gallery.write(drawn)
    claims.write(drawn)
    methods.write()
    api.write()
    text.sweep()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", lambda _: everything())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
