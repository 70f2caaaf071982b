"""The page, put together: what is read from records and figures goes through one template.

Nothing is computed here: verdicts, evidence and scores are read and counted, and shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from importlib import resources
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from kdtheory.claims.finding import READ_LITERALLY, Ledger
from kdtheory.claims.verdict import Verdict
from kdtheory.files import Record
from kdtheory.plain import NUMERIC_NAME
from kdtheory.report.entry import Entry, entries
from kdtheory.report.evidence import kinds
from kdtheory.report.indices import indexed
from kdtheory.report.numerals import numeral, reworded, rows
from kdtheory.report.shared import Shared
from kdtheory.report.sources import Figure, Run, read_figures, read_run

__all__ = ["page_template", "report"]

_SIGNS = {
    Verdict.SUPPORTED: "✓",
    Verdict.REFUTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.VACUOUS: "∅",
    Verdict.BLIND: "◌",
    Verdict.OUT_OF_SCOPE: "–",
    Verdict.ERROR: "!",
}
_LONGEST_TABLE = 12


def report(run: Path, figures: Path | None = None, only: Collection[str] = ()) -> str:
    """One self-contained HTML page that needs no network: ledger, claims, evidence, figures.

    Args:
        run: the directory of an ended run.
        figures: the directory that holds one folder per study; None for a page without figures.
        only: names of claims; the page is of these alone where there are any.

    Raises:
        ValueError: the run has not ended, has none of the claims,
            a file is missing or damaged, or `figures` is no directory.
    """
    shared = Shared()
    read, drawn = _with_only(read_run(run), only), read_figures(figures, shared)
    claims = entries(read, drawn)
    further = _further(claims, drawn)
    chapters = [(n, *_titled(list(some))) for n, some in groupby(claims, key=lambda one: one.finding.chapter)]
    shown = [*(figure for entry in claims for figure in entry.figures), *further]
    style, shapes = shared.definitions(figure.svg or "" for figure in shown)
    return page_template("page.html.j2").render(
        run=read,
        ledger=read.ledger,
        claims=claims,
        chapters=chapters,
        figures=shown,
        shared_style=style,
        shared_shapes=shapes,
        further=further,
        otherwise=[entry for entry in claims if not entry.finding.as_expected],
        counts=_counts(read.ledger),
        mutation=_mutation(read.ledger),
        refuted=Counter(one.kind for one in read.ledger if one.as_expected and one.kind),
        powered=any(one.power for one in read.ledger),
        read_literally=READ_LITERALLY,
        asked=rows(_named(read.asked, *(key for key in read.asked if key != "claims"))),
        verdicts=list(Verdict),
        kinds=kinds(),
    )


def _with_only(run: Run, only: Collection[str]) -> Run:
    """The run with the findings on some claims; their verdicts are those of the whole run."""
    kept = tuple(one for one in run.ledger if not only or one.name in only)
    if not kept:
        raise ValueError(f"the run {run.name} has none of the claims that are named ({next(iter(only))}, …)")
    return replace(run, ledger=replace(run.ledger, findings=kept))


def _further(claims: list[Entry], drawn: list[Figure]) -> list[Figure]:
    """The figures that illustrate no claim; none on a page of a part of the claims that figures name."""
    known = {entry.name for entry in claims}
    whole = all(known.issuperset(figure.claims) for figure in drawn)
    return [figure for figure in drawn if not figure.claims] if whole else []


def _titled(claims: list[Entry]) -> tuple[str, list[Entry]]:
    """The claims of a chapter and its title, which those from elsewhere may not have."""
    return next(filter(None, (one.finding.topic for one in claims)), ""), claims


def _counts(ledger: Ledger) -> list[tuple[Verdict, int]]:
    counted = Counter(one.verdict for one in ledger)
    return [(verdict, counted[verdict]) for verdict in Verdict if counted[verdict]]


def _mutation(ledger: Ledger) -> tuple[int, int, int] | None:
    """Mutants noticed, those of them that the check was only left unsure by, and all."""
    scores = [one.mutants for one in ledger if one.mutants]
    if not scores:
        return None
    return sum(s.killed for s in scores), sum(len(s.unsure) for s in scores), sum(s.total for s in scores)


def page_template(name: str) -> jinja2.Template:
    """A template of this package, with its filters and its style."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdtheory.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "numeral": numeral,
        "prose": _prose,
        "reworded": reworded,
        "word": _word,
        "cell": _cell,
        "capitalize_first": _capitalised,
    }
    environment.globals |= {
        "sign": _SIGNS.__getitem__,
        "made_how": _made_how,
        "longest_table": _LONGEST_TABLE,
        "css": _verbatim("page.css"),
        "js": _verbatim("page.js"),
    }
    return environment.get_template(name)


def _verbatim(name: str) -> Markup:
    return Markup(resources.files("kdtheory.report").joinpath("page", name).read_text(encoding="utf-8"))


def _prose(text: str) -> Markup:
    """Text in which `names` between backticks are code, and z_s has its index."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    shown = (
        f"<code>{escape(piece)}</code>" if n % 2 else indexed(piece, escape=lambda part: str(escape(part)))
        for n, piece in enumerate(pieces)
    )
    return Markup("".join(shown))


def _word(verdict: Verdict | str) -> str:
    """A verdict as a word: out of scope."""
    return (verdict.name if isinstance(verdict, Verdict) else verdict).lower().replace("_", " ")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    """A table's cell: a number formatted, anything else as it stands, as is the name of a commit, 2487e95."""
    if NUMERIC_NAME.fullmatch(text):
        return text
    try:
        return numeral(int(text) if text.strip("-").isdigit() else float(text))
    except ValueError:
        return text


def _made_how(figure: Figure) -> list[tuple[str, str]]:
    made = _named(figure.made, "seed", "commit", "seconds", "config", "versions")
    return rows({**made, "table": f"figures/{figure.study}/table.csv"})


def _named(record: Record, /, *keys: str) -> Record:
    """Some entries of a record; the seed is a name, not an amount, so its digits are not grouped."""
    return {key: str(record[key]) if key == "seed" else record[key] for key in keys if key in record}
