"""The commands about claims: list, show, verify, cite."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from kdtheory import bibliography
from kdtheory.claims import REGISTRY, Claim, Plan, Verdict
from kdtheory.cli.app import RUNS, app, out_console
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
    """Show one claim: statement, source, assumptions, control, mutants, last verdict."""
    (claim,) = _chosen([name], None)
    place = f", {claim.place}" if claim.place else ""
    settings = ", ".join(f"{key} = {value!r}" for key, value in claim.premise.items())
    overrides = ", ".join(f"{key} = {value!r}" for key, value in claim.control.overrides.items())
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "claim": f"{claim.name}  (§ {claim.section}{', erratum' if claim.erratum else ''})",
        "statement": claim.statement,
        "formula": claim.formula,
        "source": f"{bibliography.citation(claim.source)}{place}  [{claim.source}]",
        "assumes": "\n".join(claim.assumes) or "nothing",
        "premise": settings,
        "control": f"{claim.control.because}: {overrides}; must be {claim.control_brings.name}",
        "mutants": "\n".join(mutant.name for mutant in claim.mutants),
        "uses": "\n".join(f"{used.__module__}.{used.__qualname__}" for used in claim.uses),
        "expected": claim.expect.name,
        "last verdict": _last_verdict(claim, runs),
    }
    for label, text in rows.items():
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
    alpha: Annotated[float, typer.Option(help="Family-wise error rate of the ledger.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Execute claims and judge them: the ledger. Exit 0 all as expected, 1 otherwise, 2 could not check."""
    claims = _chosen(names or [], chapter)
    resolve_device(device)
    plan = Plan(seed=seed, tier=tier, data=data, device=device, mutants=mutants)
    asked = _asked(claims, plan, alpha)
    if resume and out is None:
        raise ValueError("--resume needs --out: name the directory of the run to go on with")
    place = out or RUNS / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}-{tier}-seed{seed}"
    with RunDirectory(place, asked, resume=resume) as directory, progress_bar("claims") as tell:
        ledger = verify(claims, plan, jobs=jobs, alpha=alpha, directory=directory, progress=tell)
    if as_json:
        typer.echo(json.dumps(as_document(ledger), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print_ledger(ledger)
        out_console.print(f"recorded in {place}")
    raise typer.Exit(exit_code(ledger))


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
        "schema": 1,
        "version": version("kdtheory"),
        "seed": plan.seed,
        "tier": plan.tier,
        "alpha": alpha,
        "device": plan.device,
        "mutants": plan.mutants,
        "data": {"name": images.name, "digest": images.digest},
        "claims": [claim.name for claim in claims],
    }


def _last_verdict(claim: Claim, runs: Path) -> str:
    ledgers = sorted(runs.glob("*/ledger.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in ledgers:
        document = read_json(path)
        for finding in document["findings"]:
            if finding["name"] == claim.name:
                verdict = Verdict[finding["verdict"]]
                where = f"{document['tier']} tier, seed {document['seed']}, {path.parent}"
                return f"{verdict.name} ({where}). {verdict.value}\n{finding['evidence']['key_figure']}"
    return "never run here"


def _coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def _print_ledger(ledger: dict[str, Any]) -> None:
    with_mutants = any(row["mutants"] for row in ledger["findings"])
    columns = ("§", Column("claim", overflow="fold"), "verdict", "control", "key figure")
    table = Table(*columns, title="kdtheory ledger")
    if with_mutants:
        table.add_column("mutants")
    table.add_column("s", justify="right")
    for row in ledger["findings"]:
        mark = " [dim]erratum[/]" if row["expected"] == "REFUTED" else ""
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
    if scored := [row["mutants"] for row in findings if row["mutants"]]:
        killed, total = sum(row["killed"] for row in scored), sum(row["total"] for row in scored)
        lines.append(f"mutation score {killed}/{total} ({killed / total:.0%})")
    unexpected = [row["name"] for row in findings if not row["as_expected"]]
    lines.append(f"otherwise than expected: {', '.join(unexpected)}" if unexpected else "all as expected")
    return lines
