"""A page for each chapter and for each claim, from the registry; the errata; the way from the notes to them.

Where `KDTHEORY_RUN` names the directory of an ended run, each page has the verdict of that run as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from generate.gallery import Drawn, thumbnails
from generate.text import page, paragraphs, prose, table
from kdtheory.bibliography import bibtex, citation
from kdtheory.catalogue import catalogue
from kdtheory.claims import REGISTRY, Verdict
from kdtheory.claims.finding import READ_LITERALLY, Finding
from kdtheory.records import read_ledger
from kdtheory.report.evidence import exhibit

Entry = dict[str, Any]
_SPELLED = {word: word.upper() for word in ("jsd", "kd", "kl", "pac", "svd", "vc")} | {
    "adam": "Adam",
    "bayes": "Bayes",
    "bernstein": "Bernstein",
    "gaussian": "Gaussian",
    "gibbs": "Gibbs",
    "occam": "Occam",
    "relu": "ReLU",
    "renyi": "Rényi",
}
"""Words of names that are written otherwise in a title."""
_SIGNS = {"SUPPORTED": "✓", "REFUTED": "✗", "VACUOUS": "∅"}
NOTES = {1: "3.1", 2: "3.2 and 3.3", 3: "2, 4 and 5", 4: "6", 5: "7", 6: "8", 7: "9"}
"""Chapter ↦ the sections of the lecture notes that it goes through; the other chapters go beyond them."""


def title(entry: Entry) -> str:
    """The name as a sentence is read."""
    name = " ".join(_SPELLED.get(word, word) for word in str(entry["name"]).split("_"))
    return name[:1].upper() + name[1:]


def pill(verdict: str) -> str:
    """A verdict as a coloured word."""
    word = verdict.lower().replace("_", " ")
    return f'<span class="pill {verdict}">{_SIGNS.get(verdict, "•")} {word}</span>'


def _kind(entry: Entry) -> str:
    return "" if not entry["erratum"] else "a reading" if entry["reading"] else "an erratum"


def _expected(entry: Entry) -> str:
    kind = _kind(entry)
    return pill(entry["expected"]) + (f" ({kind})" if kind else "")


def write(drawn: Sequence[Drawn]) -> list[Entry]:
    """All pages about claims.

    Args:
        drawn: the figures, each with the claims that it illustrates.

    Returns:
        What the claims say of themselves, in their order.
    """
    entries = list(catalogue()["claims"].values())
    found = _findings()
    chapters = [(n, topic, list(some)) for (n, topic), some in groupby(entries, key=_chapter)]
    for entry in entries:
        figures = [one for one in drawn if entry["name"] in one.claims]
        page(f"claims/{entry['name']}.md", _claim(entry, figures, found.get(entry["name"])))
    for number, topic, some in chapters:
        page(f"chapters/{number}.md", _chapter_page(number, topic, some, drawn))
    page("claims.md", _index(chapters))
    page("errata.md", _errata([entry for entry in entries if entry["erratum"]], found))
    page("notes.md", _from_the_notes(entries, drawn))
    return entries


def _chapter(entry: Entry) -> tuple[int, str]:
    return entry["chapter"], entry["topic"]


def _findings() -> dict[str, Finding]:
    run = os.environ.get("KDTHEORY_RUN")
    return {one.name: one for one in read_ledger(Path(run))} if run else {}


def _claim(entry: Entry, figures: Sequence[Drawn], finding: Finding | None) -> str:
    name, chapter = entry["name"], entry["chapter"]
    return "\n\n".join(
        part
        for part in (
            f"# {prose(title(entry))}",
            f"Section {entry['section']} of [{prose(entry['topic'])}](../chapters/{chapter}.md). "
            f"Expected: {_expected(entry)}",
            prose(entry["statement"]),
            f"```{{math}}\n{entry['formula']}\n```",
            f"**Source.** {prose(citation(entry['source']))}, {prose(entry['place'])}.",
            _verdict_of_run(finding),
            "## How it is judged",
            paragraphs(entry["how"]),
            _reading(entry),
            _list("## Assumptions", entry["assumes"]),
            "## Premise and control" if len(entry["controls"]) == 1 else "## Premise and controls",
            _settings(entry),
            _list("## Mutants that must be noticed", entry["mutants"]),
            _power(entry),
            _functions(name),
            "## Figures\n\n" + thumbnails(figures, above="../") if figures else "",
            f"## Execute it\n\n```sh\nkdtheory verify {name} --mutants\n```",
            f"## BibTeX\n\n```bibtex\n{bibtex(entry['source'])}\n```",
        )
        if part
    )


def _verdict_of_run(finding: Finding | None) -> str:
    if finding is None:
        return ""
    shown = exhibit(finding.evidence)
    sides = [(label.partition("· ")[2], value) for label, value in shown.numbers if "counterexample" in label]
    names = {"lhs": "left side", "rhs": "right side"}
    against = ", ".join(f"{names.get(label, label)} {value}" for label, value in sides if value != "—")
    told = shown.key_figure + (f"; a counterexample: {against}" if against else "")
    return f"**When it was executed:** {pill(finding.verdict.name)} {prose(told)}"


def _reading(entry: Entry) -> str:
    if not entry["reading"]:
        return ""
    return f"Refuted as literally read: {prose(entry['reading'])}. The charitable reading is the control."


def _list(head: str, sentences: Sequence[str]) -> str:
    return "\n".join([f"{head}\n", *(f"- {prose(one)}" for one in sentences)]) if sentences else ""


def _settings(entry: Entry) -> str:
    declared = pill(entry["control_brings"])
    because = "\n".join(f"- {prose(one['because'])}: must come out {declared}" for one in entry["controls"])
    named = (
        [f"control {n}" for n in range(1, len(entry["controls"]) + 1)] if because.count("\n") else ["control"]
    )
    rows = [
        [
            f"`{key}`",
            prose(value),
            *(prose(one["overrides"].get(key, "the same")) for one in entry["controls"]),
        ]
        for key, value in entry["premise"].items()
    ]
    return f"{because}\n\n{table(['setting', 'as printed' if entry['erratum'] else 'premise', *named], rows)}"


def _power(entry: Entry) -> str:
    told = []
    if entry["power"]:
        told.append(f"Its power is measured by scaling `{entry['power']}`.")
    if entry["loose"]:
        told.append(f"An error of a quarter goes unnoticed where it is {prose(entry['loose'])}.")
    if entry["tuned_on"]:
        seeds = ", ".join(map(str, entry["tuned_on"]))
        told.append(f"Sizes or thresholds were set on seeds {seeds}, on which it is never judged.")
    return " ".join(told)


def _functions(name: str) -> str:
    """The functions that a claim puts to the test: those whose wrong versions it must notice."""
    from generate.api import link

    tried = sorted({link(mutant.target) for mutant in REGISTRY[name].mutants} - {""})
    return "## Functions put to the test\n\n" + ", ".join(tried) if tried else ""


def _chapter_page(number: int, topic: str, some: list[Entry], drawn: Sequence[Drawn]) -> str:
    names = {entry["name"] for entry in some}
    figures = [one for one in drawn if names & set(one.claims)]
    notes = (
        f"Sections {NOTES[number]} of the lecture notes." if number in NOTES else "Beyond the lecture notes."
    )
    head = f"Chapter {number}: {topic}" if number else "Other papers"
    return "\n\n".join(
        [
            f"# {prose(head)}",
            notes.replace("Sections", "Section") if "and" not in notes and "," not in notes else notes,
            _table_of(some, above="../"),
            "## Figures\n\n" + thumbnails(figures, above="../") if figures else "",
            _tree([f"../claims/{entry['name']}" for entry in some]),
        ]
    )


def _table_of(some: list[Entry], above: str = "") -> str:
    rows = [
        [
            entry["section"],
            f"[{prose(title(entry))}]({above}claims/{entry['name']}.md)",
            prose(citation(entry["source"])),
            _expected(entry),
        ]
        for entry in some
    ]
    return table(["section", "claim", "source", "expected"], rows)


def _tree(pages: Sequence[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```"


def _index(chapters: list[tuple[int, str, list[Entry]]]) -> str:
    verdicts = "\n".join(f"- {pill(verdict.name)} {prose(verdict.value)}" for verdict in Verdict)
    rows = [
        [f"[{number} · {prose(topic)}](chapters/{number}.md)", str(len(some)), _counted(some)]
        for number, topic, some in chapters
    ]
    return "\n\n".join(
        [
            "# Claims",
            "Each claim has a page: its statement, where it is printed, how it is judged, the control that "
            "must come out otherwise under the very same code, and the wrong versions of the library that it "
            "must notice.",
            table(["chapter", "claims", "expected"], rows),
            "## What a verdict means",
            verdicts,
            "See also the [errata](errata.md), and [where the sections of the lecture notes went](notes.md).",
            _tree(["errata", "notes", *(f"chapters/{number}" for number, _, _ in chapters)]),
        ]
    )


def _counted(some: list[Entry]) -> str:
    counts = {verdict.name: sum(one["expected"] == verdict.name for one in some) for verdict in Verdict}
    shown = (f'<span class="counted">{pill(name)} {count}</span>' for name, count in counts.items() if count)
    return " ".join(shown)


def _errata(entries: list[Entry], found: dict[str, Finding]) -> str:
    as_printed = [entry for entry in entries if not entry["reading"]]
    readings = [entry for entry in entries if entry["reading"]]
    return "\n\n".join(
        [
            "# Errata",
            "Statements that are refuted when they are executed as they stand: of the lecture notes, of "
            "papers, and those that people repeat. The control of each is the mended form, which must be "
            "supported under the same code.",
            "## Refuted as printed",
            *(_erratum(one, found.get(one["name"])) for one in as_printed),
            "## Readings",
            prose(READ_LITERALLY) + ".",
            *(_erratum(one, found.get(one["name"])) for one in readings),
        ]
    )


def _erratum(entry: Entry, finding: Finding | None) -> str:
    mended = "; ".join(prose(one["because"]) for one in entry["controls"])
    return "\n\n".join(
        part
        for part in (
            f"### [{prose(title(entry))}](claims/{entry['name']}.md)",
            f"{prose(citation(entry['source']))}, {prose(entry['place'])}",
            prose(entry["statement"]),
            f"```{{math}}\n{entry['formula']}\n```",
            f"**Counterexample.** {paragraphs(entry['how'])}",
            _verdict_of_run(finding),
            f"**{'Charitable reading' if entry['reading'] else 'Mended'}.** {mended}",
            f"**Read as.** {prose(entry['reading'])}" if entry["reading"] else "",
        )
        if part
    )


def _from_the_notes(entries: list[Entry], drawn: Sequence[Drawn]) -> str:
    rows = []
    for entry in entries:
        if entry["chapter"] in NOTES:
            figures = [one for one in drawn if entry["name"] in one.claims]
            pictures = ", ".join(
                f"[{prose(one.study.replace('_', ' '))}](figures/{one.study}.md)" for one in figures
            )
            own = entry["place"].removeprefix("Section ") if entry["source"] == "shen2021deep" else ""
            where = own.split(";")[0] or NOTES[entry["chapter"]]
            rows.append([prose(where), f"[{prose(title(entry))}](claims/{entry['name']}.md)", pictures])
    return (
        "# From the lecture notes to claims and figures\n\n"
        "The CS 541 lecture notes on knowledge distillation (Shen 2021), section by section: what is "
        "executed of each, and what draws it. Where a claim tests the notes' own words the exact place is "
        "given, otherwise the section whose subject it belongs to.\n\n"
        + table(["section of the notes", "claim", "figures"], rows)
    )
