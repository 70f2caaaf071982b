"""The page, read back: every record is on it, nothing outside is asked for, and nothing was decided anew."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from toy_claims import toy_run, toys

from kdtheory.claims import REGISTRY, Verdict
from kdtheory.files import read_json, write_json
from kdtheory.report import report
from kdtheory.report.numerals import reworded

NAMES = (
    "doubling_is_addition",
    "cross_entropy_reaches_zero",
    "both_halves_hold",
    "nothing_runs",
    "many_classes_are_needed",
    "squares_are_small",
)
VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """All elements with their attributes, the text by claim, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.text: Counter[str] = Counter()
        self.claims: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag, attrs in self.open:
            if tag == "details" and "claim" in (attrs.get("class") or "").split():
                name = attrs["id"] or ""
                self.claims[name] = " ".join(f"{self.claims.get(name, '')} {data}".split())


@pytest.fixture(scope="module")
def html(run: Path, figures: Path) -> str:
    return report(run, figures)


def test_a_page_is_made_from_records_without_what_made_them(run: Path, figures: Path) -> None:
    code = (
        f"import sys\nfrom pathlib import Path\nfrom kdtheory.report import report\n"
        f"report(Path({str(run)!r}), Path({str(figures)!r}))\n"
        "print([name for name in ('torch', 'pandas', 'scipy.stats', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def row(html: str, name: str) -> str:
    found = re.search(rf'<tr role="row"[^>]*data-text="[^"]*\b{name}\b.*?</tr>', html, re.DOTALL)
    assert found
    return found.group()


def test_the_toys_leave_no_trace_in_the_registry() -> None:
    assert {toy.name for toy in toys()} == set(NAMES)
    assert not set(NAMES) & set(REGISTRY)


def test_the_page_is_well_formed_with_unique_ids_and_no_dead_link(page: Page) -> None:
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert max(Counter(ids).values()) == 1
    anchors = {attrs["href"] for _, attrs in page.elements if (attrs.get("href") or "").startswith("#")}
    assert {f"#{name}" for name in NAMES} <= anchors
    assert {str(anchor)[1:] for anchor in anchors} <= set(ids)


def test_nothing_outside_the_page_is_asked_for(page: Page, html: str) -> None:
    for tag, attrs in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(key) or "#").startswith(("#", "data:")), (tag, attrs)
    assert not re.search(r"@import|url\((?!#|data:)|fetch\(|XMLHttpRequest", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_has_its_row_and_its_section(name: str, html: str, page: Page, run: Path) -> None:
    ledger = read_json(run / "ledger.json")
    record = read_json(run / "claims" / f"{name}.json")
    finding = next(found for found in ledger["findings"] if found["name"] == name)
    shown, line = page.claims[name], row(html, name)
    assert Verdict[finding["verdict"]].value in shown
    assert "Hinton, Vinyals and Dean 2015" in shown
    assert "Distilling the Knowledge" in shown
    for control in record["controls"]:
        assert control["because"] in shown
        assert reworded(control["evidence"]["key_figure"]) in shown
    assert reworded(record["evidence"]["key_figure"]) in shown
    assert f'data-verdict="{finding["verdict"]}"' in line
    assert f"pill {finding['control']['verdict']}" in line
    assert f"{finding['mutants']['killed']} of {finding['mutants']['total']}" in line
    assert ("not as expected" in line) is not finding["as_expected"]
    assert ("not as declared" in line) is not finding["control"]["as_expected"]
    for sentence in record["assumes"]:
        assert sentence in shown


def test_verdicts_cover_the_cases(run: Path) -> None:
    found = {finding["name"]: finding["verdict"] for finding in read_json(run / "ledger.json")["findings"]}
    expected = ("SUPPORTED", "REFUTED", "SUPPORTED", "ERROR", "OUT_OF_SCOPE", "BLIND")
    assert found == dict(zip(NAMES, expected, strict=True))


def test_sections_are_in_the_order_of_their_numbers(html: str) -> None:
    assert re.findall(r'class="section">([\d.]+)</td>', html) == ["1.2", "1.10", "4.1", "4.2", "4.3", "4.10"]


def test_the_head_tells_how_the_run_was_judged(html: str) -> None:
    head = " ".join(re.sub(r"<[^>]+>", " ", html[html.index("<header>") : html.index("<main>")]).split())
    assert "3 of 6 claims came out as expected." in head
    assert "✓ supported 2 ✗ refuted 1 ◌ blind 1 – out of scope 1 ! error 1" in head
    assert "α = 0.05, shared (Holm) by 3 sampled decisions, on premises and on controls" in head
    assert "Mutation score 3 of 7 mutants noticed" in head
    assert "Seed 3 Tier quick" in head
    assert "Data handwritten digits 0123456789ab" in head


def test_text_from_records_is_escaped(html: str) -> None:
    assert "1 &lt;broken&gt; check" in html
    assert "written &lt;as&gt; a sum" in html
    assert "Excess risk &amp; N" in html
    assert not re.search(r"<(broken|as)\b", html)


def test_formulas_are_typeset_or_shown_as_latex(page: Page, html: str) -> None:
    assert sum(tag == "math" for tag, _ in page.elements) == 6
    assert r'<code class="latex">\nosuchcommand{x} = 1</code>' in html
    assert "<code>twice(x)</code> = x + x &lt; ∞" in html


def test_joint_evidence_is_nested_with_its_notes(page: Page) -> None:
    shown = page.claims["both_halves_hold"]
    assert "the mean rises mean inequality" in shown
    assert "doubling is exact identity" in shown
    assert "by n · 100 2.5×10⁻⁷" in shown
    assert "horizons 10, 100, 1,000" in shown
    assert "p-value if the claim were false" in shown


def test_exact_evidence_shows_no_p_value_and_an_erratum_its_counterexample(page: Page) -> None:
    shown = page.claims["cross_entropy_reaches_zero"]
    assert "p-value" not in shown
    assert "counterexample · lhs 0.6 counterexample · rhs 0.5" in shown
    assert (
        "Control, the charitable reading: the floor is the entropy Declared supported, obtained ✓ supported"
        in shown
    )


def test_settings_show_what_the_control_changes(page: Page) -> None:
    assert "keyword premise control factor 2.0 3.0 shift 0.0 the same" in page.claims["doubling_is_addition"]


def test_every_control_is_shown_and_what_breaks_each_part(page: Page) -> None:
    shown = page.claims["both_halves_hold"]
    assert "Control: the gap is turned round Declared refuted, obtained ✗ refuted" in shown
    assert "Control: the gap is twice as far off Declared refuted, obtained ✗ refuted" in shown
    assert "keyword premise control control gap 1.0 -1.0 -2.0" in shown
    broken = "the control the gap is turned round, the gap is twice as far off"
    assert f"part came out broken by the mean rises ✓ supported {broken}" in shown
    assert "doubling is exact ✓ supported the mutant three for two" in shown
    assert "the statement – out of scope nothing" in page.claims["many_classes_are_needed"]


def test_how_a_claim_is_judged_read_and_tuned_is_told(page: Page, html: str) -> None:
    assert "Judged on 60 normal numbers, gap apart." in page.claims["both_halves_hold"]
    shown = page.claims["cross_entropy_reaches_zero"]
    assert "Refuted as literally read: 'fitted' is read as 'of least risk'. The charitable reading" in shown
    assert "set on seeds 0, 1, on whose streams the claim is never judged" in shown
    assert "errata: 0; readings: 1" in " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert '<span class="tag">reading</span>' in row(html, "cross_entropy_reaches_zero")


def test_a_run_with_power_has_its_column(tmp_path: Path) -> None:
    toy_run(tmp_path / "run", mutants=False, power=True)
    html = report(tmp_path / "run")
    assert 'data-label="would notice">1% more, 1% less</td>' in row(html, "doubling_is_addition")
    assert 'data-label="would notice">1% more, not ×½</td>' in row(html, "squares_are_small")
    shown = Page(html).claims["doubling_is_addition"]
    assert re.search(r"Error in \S+\.twice that it would notice: 1% more, 1% less\.", shown)


def test_mutants_are_told_apart(page: Page) -> None:
    assert "three for two noticed" in page.claims["doubling_is_addition"]
    assert "written <as> a sum survived" in page.claims["doubling_is_addition"]
    assert "three for two survived" in page.claims["cross_entropy_reaches_zero"]


def test_a_figure_stands_once_with_its_first_claim(page: Page, html: str) -> None:
    assert html.count('id="figure-risk_over_n"') == 1
    assert "Excess risk & N in risk_over_n Read the slope." in page.claims["doubling_is_addition"]
    assert "seed 0, commit 0123456789ab , 12.5 s." in page.claims["doubling_is_addition"]
    assert "config · sizes 100, 1,000" in page.claims["doubling_is_addition"]
    assert "1,000 Bayes 2.5×10⁻⁷ 2487e95" in page.claims["doubling_is_addition"]
    assert "See also Excess risk & N in risk_over_n" in page.claims["both_halves_hold"]


def test_studies_without_a_claim_come_last(run: Path, figures: Path, tmp_path: Path) -> None:
    of_this_run = tmp_path / "figures"
    shutil.copytree(figures, of_this_run, ignore=shutil.ignore_patterns("a_claim_of_another_run"))
    html = report(run, of_this_run)
    last = html[html.index('id="further"') :]
    assert 'id="figure-benchmark_populations"' in last
    assert 'id="figure-risk_over_n"' not in last


def test_a_page_of_some_claims_has_their_figures_alone(html: str, run: Path, figures: Path) -> None:
    assert set(re.findall(r'id="at-figure-(\w+)"', html)) == {"risk_over_n"}
    assert 'id="further"' not in html
    without = report(run, figures, only=["cross_entropy_reaches_zero"])
    assert 'id="at-figure' not in without


def test_figures_are_listed_with_what_is_searched(html: str) -> None:
    (listed,) = re.findall(r'<ul id="figures">(.*?)</ul>', html, re.DOTALL)
    (words,) = re.findall(
        r'<li data-text="([^"]*)" data-claims="both_halves_hold doubling_is_addition"><a ', listed
    )
    assert words == "risk_over_n risk over n Excess risk &amp; N in risk_over_n Read the slope."


def test_headers_sort_and_controls_have_names(page: Page, html: str) -> None:
    headers = re.findall(r'<th scope="col" role="columnheader"[^>]*><button type="button">', html)
    assert len(headers) == 8
    assert html.count('aria-sort="ascending"') >= 1
    for name in ("filter-text", "filter-chapter", "filter-verdict"):
        assert re.search(rf'<label>\w+ <\w+ [^>]*id="{name}"', html)
    assert all(len(re.findall("<td role", row(html, name))) == 8 for name in NAMES)


def test_what_is_read_is_shown_even_against_the_evidence(copy: Path) -> None:
    """Verdicts come from the ledger: a ledger that says otherwise is shown as it says."""
    ledger = read_json(copy / "ledger.json")
    ledger["findings"][0] |= {"verdict": "VACUOUS", "as_expected": False, "mutants": None}
    write_json(copy / "ledger.json", ledger)
    html = report(copy)
    assert 'data-verdict="VACUOUS"' in row(html, NAMES[0])
    assert Verdict.VACUOUS.value in Page(html).claims[NAMES[0]]


def test_a_run_without_mutants_or_figures(copy: Path) -> None:
    ledger = read_json(copy / "ledger.json")
    for finding in ledger["findings"]:
        finding["mutants"] = None
    write_json(copy / "ledger.json", ledger)
    html = report(copy, None)
    assert "no mutants in this run" in html
    assert "kdtheory verify doubling_is_addition --mutants" in html
    assert 'id="further"' not in html


def test_the_same_records_make_the_same_page(run: Path, figures: Path, html: str) -> None:
    assert report(run, figures) == html


def edit(run: Path, *without: str, **entries: object) -> None:
    """Spoil the first finding."""
    ledger = read_json(run / "ledger.json")
    row = ledger["findings"][0] | entries
    ledger["findings"][0] = {key: row[key] for key in row if key not in without}
    write_json(run / "ledger.json", ledger)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "ledger.json").unlink(), "holds no ledger.json"),
        (lambda run: (run / "ledger.json").write_text("{"), "is not JSON"),
        (lambda run: (run / "ledger.json").write_text(json.dumps({"schema": 1})), "no ledger of schema 3"),
        (lambda run: (run / "run.json").unlink(), "run.json cannot be read"),
        (
            lambda run: edit(run, verdict="SUPPORTD"),
            r"verdict is 'SUPPORTD', and must be one of",
        ),
        (lambda run: edit(run, seconds=None), r"findings\[0\].seconds is None, and must be a number"),
        (lambda run: edit(run, "formula"), r"findings\[0\] lacks 'formula'"),
    ],
)
def test_an_incomplete_run_is_refused(copy: Path, damage, message: str) -> None:
    damage(copy)
    with pytest.raises(ValueError, match=message):
        report(copy)


def test_a_run_that_does_not_say_on_what_data_has_a_page(copy: Path) -> None:
    asked = read_json(copy / "run.json")
    write_json(copy / "run.json", {key: value for key, value in asked.items() if key != "data"})
    assert "<dt>Data</dt>" not in report(copy)


@pytest.mark.parametrize(
    ("name", "content"), [("table.csv", b"\xff\xfe"), ("figure.svg", b"\xff"), ("table.csv", b"x" * 200_000)]
)
def test_a_damaged_figure_is_named(name: str, content: bytes, run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "drawn" / "run.json", {"claims": "a_claim"})  # no list: of no claim
    report(run, tmp_path)
    (tmp_path / "drawn" / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"the figure in .*drawn cannot be read .*; draw it again"):
        report(run, tmp_path)


def test_figures_that_are_no_directory_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no directory"):
        report(run, tmp_path / "nowhere")
