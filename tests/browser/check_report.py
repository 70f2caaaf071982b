"""The report in a real browser: filter, sort, links, search, dark, small screens, print, keyboard, axe."""

from __future__ import annotations

import re

import pytest
from conftest import NARROW, REPORT, Opened, focused, overflow, violations
from playwright.sync_api import Page, expect

MODES = {
    "light": {},
    "dark": {"dark": True},
    "narrow": {"size": NARROW},
    "narrow dark": {"size": NARROW, "dark": True},
}


def names(page: Page) -> list[str]:
    """The claims of the ledger that are shown, in the order of the page."""
    rows = page.locator("#claims tbody tr:visible td.claim")
    return [cell.get_attribute("data-value") or "" for cell in rows.all()]


def test_it_is_interactive_within_a_second(opened: Opened) -> None:
    page = opened(REPORT)
    measured = page.context.new_cdp_session(page)
    measured.send(
        "Performance.enable", {"timeDomain": "threadTicks"}
    )  # processor time: others may be at work
    page.reload()
    metrics = measured.send("Performance.getMetrics")["metrics"]
    assert {one["name"]: one["value"] for one in metrics}["TaskDuration"] < 1


def test_the_filter_leaves_what_fits_and_says_how_many(opened: Opened) -> None:
    page = opened(REPORT)
    everything = names(page)
    assert len(everything) > 5
    page.get_by_label("Search").fill("softmax vector")
    assert names(page) == ["printed_softmax_is_a_probability_vector"]
    expect(page.locator("#shown")).to_contain_text(f"1 of {len(everything)} claims")
    page.get_by_label("Search").fill("no such words anywhere")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.locator("#filter-chapter").select_option("1")
    assert names(page)
    assert len(names(page)) < len(everything)
    page.locator("#filter-chapter").select_option("")
    page.locator("#filter-verdict").select_option("REFUTED")
    assert len(names(page)) == page.locator("#claims tbody tr[data-verdict=REFUTED]").count()


def test_the_search_finds_figures_too(opened: Opened) -> None:
    page = opened(REPORT)
    shown = page.locator("#figures li:visible")
    everything = shown.count()
    assert everything > 0
    title = shown.first.locator("a").inner_text()
    page.get_by_label("Search").fill(title)
    assert 1 <= shown.count() < max(2, everything)
    expect(page.locator("#shown")).to_contain_text(re.compile(r"\d+ of \d+ figures"))
    shown.first.locator("a").click()
    anchor = page.evaluate("() => location.hash.slice(1)")
    expect(page.locator(f"[id='{anchor}'] svg").first).to_be_in_viewport()


@pytest.mark.parametrize("words", [r"\frac", "∑", "φ"])
def test_the_search_finds_formulas(words: str, opened: Opened) -> None:
    page = opened(REPORT)
    page.get_by_label("Search").fill(words)
    told = (
        "(row) => document.getElementById(row.cells[1].dataset.value).querySelector('.formula').textContent"
    )
    rows = page.locator("#claims tbody tr:visible")
    assert rows.count() > 0
    assert words.startswith("\\") or any(words in row.evaluate(told) for row in rows.all())


def test_what_is_chosen_is_in_the_address(opened: Opened) -> None:
    """It is there again when the address is opened, with the link to a claim, and after a step back."""
    page = opened(REPORT)
    everything, figures = names(page), page.locator("#figures li:visible").count()
    page.get_by_label("Search").fill("softmax & <b>")
    assert names(page) == []
    page.get_by_label("Search").fill("softmax")
    chapter = page.locator("#claims tbody tr:visible").first.get_attribute("data-chapter")
    page.locator("#filter-chapter").select_option(chapter)
    page.locator("#filter-verdict").select_option("REFUTED")
    chosen = names(page)
    assert 0 < len(chosen) < len(everything)
    assert page.locator("#figures li:visible").count() <= figures
    query = f"?search=softmax&chapter={chapter}&verdict=REFUTED"
    assert page.url.endswith(query)
    page.locator("#claims tbody tr:visible a").first.click()
    assert page.url.endswith(f"{query}#{chosen[0]}")
    page.go_back()
    assert names(page) == chosen
    fresh = opened(REPORT, f"{query}#{chosen[0]}")
    assert names(fresh) == chosen
    expect(fresh.locator(f"#{chosen[0]} > summary")).to_be_in_viewport()
    page.get_by_label("Search").fill("")
    page.locator("#filter-chapter").select_option("")
    page.locator("#filter-verdict").select_option("")
    assert page.url.endswith(".html")
    assert names(opened(REPORT, "?chapter=99&verdict=NONE")) == everything


def test_headers_sort_both_ways(opened: Opened) -> None:
    page = opened(REPORT)
    header = page.locator("#claims th.claim")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert names(page) == sorted(names(page))
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert names(page) == sorted(names(page), reverse=True)
    page.locator("#claims th.seconds button").click()
    cells = page.locator("#claims tbody td.seconds").all()
    seconds = [float(cell.get_attribute("data-value") or "nan") for cell in cells]
    assert seconds == sorted(seconds)


def test_a_permalink_opens_its_claim(opened: Opened) -> None:
    name = "printed_softmax_is_a_probability_vector"
    page = opened(REPORT, f"#{name}")
    expect(page.locator(f"details#{name}")).to_have_attribute("open", "")
    expect(page.locator(f"#{name} > summary")).to_be_in_viewport()
    page.get_by_role("button", name="Close all").click()
    page.locator(f"#claims a[href='#{name}']").click()
    expect(page.locator(f"#{name} .statement")).to_be_in_viewport()
    assert page.url.endswith(f"#{name}")


def laid_out(page: Page) -> Page:
    """The page with everything open and in its place, also what is far from the part that is seen."""
    page.add_style_tag(content="details.claim, figure { content-visibility: visible !important; }")
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing(mode: str, opened: Opened) -> None:
    page = laid_out(opened(REPORT, **MODES[mode]))
    assert violations(page) == []


@pytest.mark.parametrize("mode", ["narrow", "narrow dark"])
def test_nothing_is_wider_than_a_small_screen(mode: str, opened: Opened) -> None:
    page = laid_out(opened(REPORT, **MODES[mode]))
    assert overflow(page) == []


def test_in_the_dark_the_page_is_dark_and_figures_are_framed(opened: Opened) -> None:
    page = opened(REPORT, dark=True)
    luminance = "(element) => getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number)"
    assert max(page.locator("body").evaluate(luminance)[:3]) < 64
    canvas = page.locator(".canvas").first
    assert min(canvas.evaluate(luminance)[:3]) > 200
    padding, border = canvas.evaluate(
        "(element) => [getComputedStyle(element).paddingLeft, getComputedStyle(element).borderLeftWidth]"
    )
    assert float(padding[:-2]) >= 8
    assert float(border[:-2]) >= 1


def test_print_opens_everything_and_leaves_out_the_controls(opened: Opened) -> None:
    page = opened(REPORT)
    page.get_by_role("button", name="Close all").click()
    page.emulate_media(media="print")
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert page.locator("details.claim:not([open])").count() == 0
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator(".skip")).to_be_hidden()


def test_the_keyboard_alone_is_enough(opened: Opened) -> None:
    page = opened(REPORT)
    page.keyboard.press("Tab")
    assert focused(page) == "To the ledger"
    page.keyboard.press("Enter")
    expect(page.locator("#ledger")).to_be_in_viewport()
    page.keyboard.press("Tab")
    assert focused(page) == "filter-text"
    page.keyboard.type("softmax vector")
    assert len(names(page)) == 1
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page) == "Section"
    page.keyboard.press("Enter")
    assert page.locator("#claims th.section").get_attribute("aria-sort") == "descending"
    while focused(page) != "Seconds":
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#printed_softmax_is_a_probability_vector > summary")).to_be_in_viewport()
