"""The commands about claims: list, show, verify, cite."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import json
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from kdtheory import bibliography
from kdtheory.claims import REGISTRY, Claim, Plan, Verdict
from kdtheory.claims.finding import READ_LITERALLY, SCHEMA, broken_by, would_notice
from kdtheory.cli.app import INTERRUPTED, RUNS, Ended, app, out_console
from kdtheory.datasets import load_images
from kdtheory.ledger import as_document, exit_code, verify
from kdtheory.progress import progress_bar
from kdtheory.records import RunDirectory, read_json
from kdtheory.types import resolve_device

COLOURS = {
    "SUPPORTED": "green",
    "REFUTED": "red",
    "INCONCLUSIVE": "yellow",
    "VACUOUS": "cyan",
    "BLIND": "magenta",
    "OUT_OF_SCOPE": "blue",
    "ERROR": "bold red",
}


@app.command("list")
def list_claims(chapter: Annotated[int | None, typer.Option(help="Only this chapter.")] = None) -> None:
    """List the claims: section, name, what is expected, statement."""
    table = Table("§", Column("claim", overflow="fold"), "expected", "statement")
    for claim in _chosen([], chapter):
        table.add_row(claim.section, claim.name, _coloured(claim.expect.name), claim.statement)
    out_console.print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a claim.")],
    runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = RUNS,
) -> None:
    """Show one claim: statement, how it is judged, source, assumptions, controls, mutants, last verdict."""
    (claim,) = _chosen([name], None)
    place = f", {claim.place}" if claim.place else ""
    settings = ", ".join(f"{key} = {value!r}" for key, value in claim.premise.items())
    controls = [
        f"{control.because}: {', '.join(f'{key} = {value!r}' for key, value in control.overrides.items())}"
        for control in claim.controls
    ]
    last = _last_finding(claim, runs)
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "claim": f"{claim.name}  (§ {claim.section}{', erratum' if claim.erratum else ''})",
        "statement": claim.statement,
        "judged": claim.how or "as it is stated",
        "formula": claim.formula,
        "source": f"{bibliography.citation(claim.source)}{place}  [{claim.source}]",
        "assumes": "\n".join(claim.assumes) or "nothing",
        "premise": settings,
        "control" if len(controls) == 1 else "controls": "\n".join(
            f"{control}; must be {claim.control_brings.name}" for control in controls
        ),
        "mutants": "\n".join(mutant.name for mutant in claim.mutants),
        "uses": "\n".join(f"{used.__module__}.{used.__qualname__}" for used in claim.uses),
        "expected": claim.expect.name + (f", as literally read: {claim.reading}" if claim.reading else ""),
        "tuned on": f"seeds {', '.join(map(str, claim.tuned_on))}, never judged on" if claim.tuned_on else "",
        "loose": claim.loose,
        **last,
    }
    for label, text in rows.items():
        if text:
            table.add_row(f"[bold]{label}[/]", escape(text))
    out_console.print(table)


@app.command("verify")
def verify_claims(
    names: Annotated[list[str] | None, typer.Argument(help="Claims; all where none is named.")] = None,
    chapter: Annotated[int | None, typer.Option(help="Only this chapter.")] = None,
    tier: Annotated[str, typer.Option(help="quick or full: sample sizes, never what is claimed.")] = "quick",
    seed: Annotated[int, typer.Option(help="The integer that all random streams hang on.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for all cores.")] = -1,
    data: Annotated[Path | None, typer.Option(help="Folder of IDX files instead of the digits.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Directory of the run; a new one under runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    mutants: Annotated[bool, typer.Option("--mutants", help="Run the planted mutants too.")] = False,
    power: Annotated[bool, typer.Option("--power", help="Find the errors that are noticed.")] = False,
    alpha: Annotated[float, typer.Option(help="Family-wise error rate of the ledger.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Execute claims and judge them: the ledger. Exit 0 all as expected, 1 otherwise, 2 could not check."""
    claims = _chosen(names or [], chapter)
    resolve_device(device)
    plan = Plan(seed=seed, tier=tier, data=data, device=device, mutants=mutants, power=power)
    asked = _asked(claims, plan, alpha)
    if resume and out is None:
        raise ValueError("--resume needs --out: name the directory of the run to go on with")
    place = out or RUNS / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}-{tier}-seed{seed}"
    with (
        _resumable(place),
        RunDirectory(place, asked, resume=resume) as directory,
        progress_bar("claims") as tell,
    ):
        ledger = verify(claims, plan, jobs=jobs, alpha=alpha, directory=directory, progress=tell)
    if as_json:
        typer.echo(json.dumps(as_document(ledger), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print_ledger(ledger)
        out_console.print(f"recorded in {place}")
    raise typer.Exit(exit_code(ledger))


@contextlib.contextmanager
def _resumable(place: Path) -> Iterator[None]:
    """Say how to go on, where the run in `place` ends before all claims are examined."""
    how = f"what is finished is kept: go on with the same command, --out {place} and --resume"
    try:
        yield
    except ChildProcessError as error:
        raise Ended(f"error {error}; {how}", 2) from error
    except KeyboardInterrupt as error:
        raise Ended(f"interrupted; {how}", INTERRUPTED) from error


@app.command()
def cite(name: Annotated[str, typer.Argument(help="A claim, or a key of the bibliography.")]) -> None:
    """Print the BibTeX entry of a claim's source."""
    typer.echo(bibliography.bibtex(REGISTRY[name].source if name in REGISTRY else name))


def _chosen(names: list[str], chapter: int | None) -> list[Claim]:
    for name in names:
        if name not in REGISTRY:
            near = difflib.get_close_matches(name, REGISTRY, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `kdtheory list`"
            raise ValueError(f"claim {name!r} is not known; {hint}")
    claims = [REGISTRY[name] for name in names] or list(REGISTRY.values())
    chosen = [claim for claim in claims if chapter in (None, claim.chapter)]
    if not chosen:
        chapters = sorted({claim.chapter for claim in claims})
        raise ValueError(f"chapter = {chapter} has no claims; choose one of {chapters}")
    unique = {claim.name: claim for claim in chosen}.values()
    return sorted(unique, key=lambda claim: ([int(part) for part in claim.section.split(".")], claim.name))


def _asked(claims: list[Claim], plan: Plan, alpha: float) -> dict[str, Any]:
    """What a run is asked for; a resumed run must ask the same. Reads the data once, at the door."""
    images = load_images(plan.data)
    return {
        "schema": SCHEMA,
        "version": version("kdtheory"),
        "seed": plan.seed,
        "tier": plan.tier,
        "alpha": alpha,
        "device": plan.device,
        "mutants": plan.mutants,
        "power": plan.power,
        "data": {"name": images.name, "digest": images.digest},
        "claims": [claim.name for claim in claims],
    }


def _last_finding(claim: Claim, runs: Path) -> dict[str, str]:
    """The last verdict, what broke each part then, and what would have been noticed, as rows of `show`."""
    for path in sorted(runs.glob("*/ledger.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        document = read_json(path)
        for row in document["findings"] if document.get("schema") == SCHEMA else ():
            if row["name"] == claim.name:
                verdict = Verdict[row["verdict"]]
                where = f"{document['tier']} tier, seed {document['seed']}, {path.parent}"
                found = f"{verdict.name} ({where}). {verdict.value}\n{row['evidence']['key_figure']}"
                broken = "\n".join(f"{part}: {by}" if part else by for part, by in broken_by(row).items())
                return {"last verdict": found, "broken by": broken, "would notice": would_notice(row)}
    return {"last verdict": "never run here"}


def _coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


ERRATUM, READING = "erratum", "reading"


def _kind(row: dict[str, Any]) -> str:
    """What a statement that is expected to be refuted is: a misprint, or refuted as literally read."""
    return READING if row["reading"] else ERRATUM


def _print_ledger(ledger: dict[str, Any]) -> None:
    with_mutants, with_power = (any(row[key] for row in ledger["findings"]) for key in ("mutants", "power"))
    columns = ("§", Column("claim", overflow="fold"), "verdict", "control", "key figure")
    table = Table(*columns, title="kdtheory ledger")
    if with_mutants:
        table.add_column("mutants")
    if with_power:
        table.add_column("would notice")
    table.add_column("s", justify="right")
    for row in ledger["findings"]:
        mark = f" [dim]{_kind(row)}[/]" if row["expected"] == "REFUTED" else ""
        mark += "" if row["as_expected"] else f" [bold red]≠ {row['expected']}[/]"
        control = row["control"]["verdict"] + ("" if row["control"]["as_expected"] else " [bold red]≠[/]")
        cells = [
            REGISTRY[row["name"]].section,
            row["name"],
            _coloured(row["verdict"]) + mark,
            control,
            escape(row["evidence"]["key_figure"]),
        ]
        if with_mutants:
            cells.append(f"{row['mutants']['killed']}/{row['mutants']['total']}" if row["mutants"] else "")
        if with_power:
            cells.append(escape(would_notice(row)))
        table.add_row(*cells, f"{row['seconds']:.1f}")
    out_console.print(table)
    for line in _summary(ledger):
        out_console.print(line, highlight=False)


def _summary(ledger: dict[str, Any]) -> list[str]:
    findings = ledger["findings"]
    counts = {verdict: sum(row["verdict"] == verdict.name for row in findings) for verdict in Verdict}
    lines = [
        f"{number} {_coloured(verdict.name)}: {verdict.value}" for verdict, number in counts.items() if number
    ]
    decisions = f"{ledger['decisions']} sampled decisions of claims and controls"
    lines.append(f"family-wise error ≤ {ledger['alpha']:g} over {decisions} (Holm 1979)")
    if refuted := Counter(_kind(row) for row in findings if row["expected"] == row["verdict"] == "REFUTED"):
        lines += [f"{refuted[ERRATUM]} of the refuted as expected are misprints"]
        lines += [f"{refuted[READING]} {READ_LITERALLY}"] if refuted[READING] else []
    if scored := [row["mutants"] for row in findings if row["mutants"]]:
        killed, total = sum(row["killed"] for row in scored), sum(row["total"] for row in scored)
        unsure = sum(len(row["unsure"]) for row in scored)
        split = f"{killed - unsure} decided against, {unsure} only unsure"
        lines.append(f"mutation score {killed}/{total} ({killed / total:.0%}): {split}")
    unexpected = [row["name"] for row in findings if not row["as_expected"]]
    lines.append(f"otherwise than expected: {', '.join(unexpected)}" if unexpected else "all as expected")
    return lines
