"""The commands that say what there is: list, show, cite. They import no mathematics."""

from __future__ import annotations

import contextlib
import fnmatch
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from kdtheory import bibliography
from kdtheory.catalogue import catalogue, papers
from kdtheory.cli.app import RUNS, app, err_console, out_console
from kdtheory.cli.layout import COLOURS, coloured, item, prose, rows
from kdtheory.cli.names import chosen_entries, complete_cited, complete_claims, unknown
from kdtheory.files import SCHEMA, latest_run, read_json

_MEANT = "Names, patterns ('kd_*'), files (mine.py) or modules (package.module)"
Words = Annotated[list[str] | None, typer.Argument(help=f"{_MEANT}.", autocompletion=complete_claims)]
Chapter = Annotated[int | None, typer.Option(help="Only this chapter.")]
Bibliography = Annotated[
    list[Path] | None,
    typer.Option("--bibliography", help="A BibTeX file of your own; those beside the claims are read."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Runs = Annotated[Path, typer.Option(help="Where runs are kept, or one run.")]


@app.command("list", short_help="List the claims, by chapter, words, pattern or verdict.")
def list_claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"{_MEANT}, or words of statements.", autocompletion=complete_claims),
    ] = None,
    chapter: Chapter = None,
    expected: Annotated[str | None, typer.Option(help="Only what is expected so: REFUTED, …")] = None,
    runs: Runs = RUNS,
    papers_of_own: Bibliography = None,
    as_json: AsJson = False,
) -> None:
    """List the claims: section, name, what is expected, the last verdict, statement."""
    read_bibliographies(papers_of_own)
    entries = chosen_entries(names or [], chapter, told=True)
    if expected is not None:
        entries = _expected(entries, expected.upper())
    last = _verdicts(runs)
    if as_json:
        document = [{**entry, "last_verdict": last.get(entry["name"])} for entry in entries]
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    for number, some in groupby(entries, key=lambda one: one["chapter"]):
        listed = list(some)
        if out_console.is_terminal:  # claims from elsewhere may have a chapter's number without its title
            topic = next((one["topic"] for one in listed if one["topic"]), "")
            prose(f"[bold]{f'Chapter {number}  ' if number else ''}[/]{escape(topic)}")
        for entry in listed:
            told = last.get(entry["name"], "")
            item(
                (f"  {entry['section']:<5}" if out_console.is_terminal else entry["section"], entry["name"]),
                {
                    "expected": coloured(entry["expected"]),
                    "last": coloured(told) if told else "",
                    "": escape(entry["statement"]),
                },
            )


def _expected(entries: list[dict[str, Any]], verdict: str) -> list[dict[str, Any]]:
    found = [entry for entry in entries if entry["expected"] == verdict]
    if not found:
        there = sorted({entry["expected"] for entry in entries})
        raise ValueError(f"expected = {verdict!r} has no claims; choose one of {', '.join(there)}")
    return found


@app.command(short_help="Show one claim: how it is judged, controls, last verdict.")
def show(
    name: Annotated[str, typer.Argument(help="Name of a claim.", autocompletion=complete_claims)],
    runs: Runs = RUNS,
    source: Annotated[str | None, typer.Option("--from", help="The file or module that declares it.")] = None,
    papers_of_own: Bibliography = None,
    as_json: AsJson = False,
) -> None:
    """Show one claim: statement, how it is judged, source, assumptions, controls, mutants, last verdict."""
    read_bibliographies(papers_of_own)
    entries = _named(name, source)
    if as_json:
        typer.echo(json.dumps(entries if len(entries) > 1 else entries[0], indent=1, ensure_ascii=False))
        return
    for entry in entries:
        rows({**_told(entry), **_last_finding(entry["name"], runs)})


def _named(name: str, source: str | None) -> list[dict[str, Any]]:
    """The claim of that name, or all of a file or module."""
    if source is None:
        return chosen_entries([name])
    entries = {entry["name"]: entry for entry in chosen_entries([source])}
    if name not in entries:
        raise ValueError(unknown("claim", name, entries))
    return [entries[name]]


def _told(entry: dict[str, Any]) -> dict[str, str]:
    """The declaration of a claim, as rows."""
    controls = [f"{one['because']}: {_settings(one['overrides'])}" for one in entry["controls"]]
    paper, place = bibliography.citation(entry["source"]), entry["place"]
    where = ", ".join(dict.fromkeys(filter(None, (paper, place))))
    seeds = ", ".join(map(str, entry["tuned_on"]))
    return {
        "claim": f"{entry['name']}  ({_place(entry)})",
        "statement": entry["statement"],
        "judged": entry["how"] or "as it is stated",
        "formula": entry["formula"],
        "source": where if paper == entry["source"] else f"{where}  [{entry['source']}]",
        "assumes": "\n".join(entry["assumes"]) or "nothing",
        "premise": _settings(entry["premise"]),
        "control" if len(controls) == 1 else "controls": "\n".join(
            f"{control}; must be {entry['control_brings']}" for control in controls
        ),
        "mutants": "\n".join(entry["mutants"]),
        "expected": entry["expected"]
        + (f", as literally read: {entry['reading']}" if entry["reading"] else ""),
        "tuned on": f"seeds {seeds}, never judged on" if seeds else "",
        "scaled": entry["power"],
        "loose": entry["loose"],
    }


def _place(entry: dict[str, Any]) -> str:
    section = f"§ {entry['section']}" if entry["section"] else entry["topic"]
    return section + (", erratum" if entry["erratum"] else "")


def _settings(settings: dict[str, str]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in settings.items())


@app.command()
def cite(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Claims, bounds or other functions, sources; or patterns ('kd_*').",
            autocompletion=complete_cited,
        ),
    ],
    papers_of_own: Bibliography = None,
) -> None:
    """Print the BibTeX of what claims or bounds rest on, once each."""
    read_bibliographies(papers_of_own)
    told: set[str] = set()
    found = {one: _sources(one) for word in names for one in _cited(word)}
    for name, sources in found.items():
        if name in catalogue()["functions"] and not papers(name):  # a comment to BibTeX
            typer.echo(f"% {name} is named after no paper; these are of the claims that put it to the test")
        for key in sources:
            if key not in told:
                typer.echo(bibliography.bibtex(key))
            told.add(key)


def _cited(word: str) -> list[str]:
    """The word, or the claims, functions of papers and sources whose names are like it."""
    if not any(sign in word for sign in "*?["):
        return [word]
    functions = (name for name, found in catalogue()["functions"].items() if found)
    matching = fnmatch.filter([*catalogue()["claims"], *functions, *bibliography.keys()], word)
    if not matching:
        raise ValueError(f"no claim, function or source has a name like {word!r}; see `kdtheory list --json`")
    return matching


def _sources(name: str) -> list[str]:
    known = catalogue()
    if name in known["claims"]:
        return [known["claims"][name]["source"]]
    if name in set(bibliography.keys()):
        return [name]
    if name in known["functions"] or (papers(name) and "_" not in name):  # hsu21 is short for a paper
        if found := known["functions"].get(name) or papers(name):
            return found
        raise ValueError(f"function {name!r} is of no paper here; its docstring says what it rests on")
    outside = {entry["name"]: entry["source"] for entry in chosen_entries([])}
    if name in outside:
        return [outside[name]]
    raise ValueError(unknown("name", name, [*outside, *known["functions"], *bibliography.keys()]))


def read_bibliographies(paths: list[Path] | None) -> None:
    """Read BibTeX files of the user's own."""
    for path in paths or ():
        bibliography.read(path)


def _verdicts(runs: Path) -> dict[str, str]:
    """The verdicts of the newest ended run, by claim."""
    if (run := latest_run(runs)) is None:
        return {}
    with _passed_over(run / "ledger.json"):
        document = read_json(run / "ledger.json")
        if document.get("schema") == SCHEMA:
            return {one["name"]: one["verdict"] for one in document["findings"] if one["verdict"] in COLOURS}
    return {}


@contextlib.contextmanager
def _passed_over(ledger: Path) -> Iterator[None]:
    """A ledger that is damaged is said to be, and stands in the way of nothing."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError):
        said = f"{escape(str(ledger))} is damaged, and is passed over"
        err_console.print(said, soft_wrap=True, highlight=False)


def _last_finding(name: str, runs: Path) -> dict[str, str]:
    """The last verdict, with counterexamples, what broke each part then, and what would have been noticed."""
    ledgers = [*runs.glob("ledger.json"), *runs.glob("*/ledger.json")]
    for path in sorted(ledgers, key=lambda path: path.stat().st_mtime, reverse=True):
        with _passed_over(path):
            ledger = read_json(path)
            for found in ledger["findings"] if ledger.get("schema") == SCHEMA else ():
                if found["name"] == name:
                    return _as_found(found, f"{ledger['tier']} tier, seed {ledger['seed']}, {path.parent}")
    return {"last verdict": f"never run here: no run under {runs} has it, and --runs names another place"}


def _as_found(found: dict[str, Any], where: str) -> dict[str, str]:
    meaning = catalogue()["verdicts"][found["verdict"]]
    parts = {part: told.get("broken_by", "") for part, told in found["parts"].items()}
    return {
        "last verdict": f"{found['verdict']} ({where}). {meaning}\n{found.get('key_figure', '')}",
        "against it": "\n".join(_counterexamples(found["evidence"])),
        "broken by": "\n".join(f"{part}: {by}" if part else by for part, by in parts.items() if by),
        "would notice": found.get("would_notice", ""),
        "calls": "\n".join(found.get("calls", ())),
    }


def _counterexamples(evidence: dict[str, Any], part: str = "") -> Iterator[str]:
    """The two sides where they are furthest from what is claimed, of each part that has them."""
    for name, inner in evidence.get("parts", {}).items():
        yield from _counterexamples(inner, f"{part}{name}: ")
    if against := evidence.get("counterexample"):
        yield f"{part}left side {against['lhs']:.6g}, right side {against['rhs']:.6g}"
