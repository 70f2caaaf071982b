"""Headless Chromium for pages in files, and what is asked of each of them; without it nothing is skipped.

What only these tests need is imported where it is used: every run of pytest reads this file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site"
REPORT = ROOT / "build/report.html"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
Opened = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert chromium, "there is no chromium; `make test-browser` installs it, or CHROMIUM names one"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a file in a context of its own; at the end no page may have asked another host for anything."""
    asked: list[str] = []
    faults: list[str] = []
    contexts = []

    def open_file(path: Path, anchor: str = "", *, dark: bool = False, size: dict[str, int] = WIDE) -> Page:
        assert path.is_file(), f"{path} is not there; `make test-browser` builds it"
        context = browser.new_context(
            viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri() + anchor)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []


def violations(page: Page) -> list[str]:
    """What axe-core has to say against the page, one line each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"][:3]
    ]


def overflow(page: Page) -> list[str]:
    """What reaches beyond the right edge, if the page can be scrolled sideways."""
    return page.evaluate(
        """() => {
        const edge = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= edge) return [];
        return [...document.querySelectorAll("body *")]
          .filter((one) => one.getBoundingClientRect().right > edge + 1)
          .slice(0, 8).map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`);
        }"""
    )


def focused(page: Page) -> str:
    """The text, or the name, of what has the focus."""
    return page.evaluate("() => (document.activeElement.innerText || document.activeElement.id || '').trim()")
