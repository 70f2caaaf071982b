"""The documentation in a real browser: every kind of page, by every way of looking at it; search; links."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import NARROW, SITE, Opened, focused, overflow, violations
from playwright.sync_api import expect

PAGES = {
    "start": "index.html",
    "tutorial": "tutorials/certify.html",
    "how to choose": "how-to-choose.html",
    "claims": "reference/claims.html",
    "chapter": "reference/chapters/1.html",
    "claim": "reference/claims/printed_softmax_is_a_probability_vector.html",
    "joint claim": "reference/claims/disagreement_transfers_a_certificate.html",
    "errata": "reference/errata.html",
    "notes": "reference/notes.html",
    "gallery": "reference/gallery.html",
    "figure": "reference/figures/certificates_over_training.html",
    "methods": "reference/methods.html",
    "reference": "reference/api/kdtheory.losses.html",
    "changelog": "changelog.html",
    "search": "search.html",
}
"""One page of each kind."""
MODES = {"light": {}, "dark": {"dark": True}, "narrow": {"size": NARROW}}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_nothing(kind: str, mode: str, opened: Opened) -> None:
    assert violations(opened(SITE / PAGES[kind], **MODES[mode])) == []


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_is_wider_than_a_small_screen(kind: str, opened: Opened) -> None:
    assert overflow(opened(SITE / PAGES[kind], size=NARROW)) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (
            "probability vector softmax printed",
            "reference/claims/printed_softmax_is_a_probability_vector.html",
        ),
        ("bounds over training epochs", "reference/figures/certificates_over_training.html"),
        ("clopper34_holdout", "reference/api/kdtheory.bounds.html"),
    ],
)
def test_the_search_finds_claims_figures_and_names(words: str, found: str, opened: Opened) -> None:
    page = opened(SITE / "search.html", f"?q={words}")
    expect(page.locator(f"#search-results a[href*='{found}']").first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("dark", [False, True])
def test_figures_stand_on_white_whatever_the_theme(dark: bool, opened: Opened) -> None:
    page = opened(SITE / PAGES["figure"], dark=dark)
    style = "(element) => { const of = getComputedStyle(element); return [of.backgroundColor, of.filter]; }"
    assert page.locator("img.drawing").evaluate(style) == ["rgb(255, 255, 255)", "none"]
    body = page.locator("body").evaluate("(element) => getComputedStyle(element).backgroundColor")
    assert (sum(map(int, body[4:-1].split(","))) < 200) == dark


def test_print_leaves_the_navigation_out(opened: Opened) -> None:
    page = opened(SITE / PAGES["claim"])
    page.emulate_media(media="print")
    expect(page.locator(".bd-sidebar-primary")).to_be_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_the_keyboard_comes_to_the_text_and_to_the_search(opened: Opened) -> None:
    page = opened(SITE / PAGES["claim"])
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to main content"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_in_viewport()
    page.keyboard.press("Control+k")
    page.keyboard.type("softmax")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("search.html"))


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[key] or "" for key in ("id", "name") if key in given}
        self.links |= {given[key] or "" for key in ("href", "src") if key in given and tag != "option"}


def test_every_link_within_the_site_has_its_target_and_none_loads_from_elsewhere() -> None:
    found: dict[Path, Links] = {}
    for path in set(SITE.rglob("*.html")) - set(SITE.glob("_static/**/*.html")):
        found[path] = Links()
        found[path].feed(path.read_text(encoding="utf-8"))
    assert len(found) > 200
    dead = []
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = found[target].anchors if target in found else None
            known = target.is_file() and (anchors is None or unquote(parts.fragment) in anchors)
            if not known and not link.startswith("#"):
                dead.append(f"{path.relative_to(SITE)}: {link}")
    assert dead == []
