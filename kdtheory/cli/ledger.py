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
from kdtheory.claims.finding import READ_LITERALLY, Ledger
from kdtheory.cli.app import INTERRUPTED, RUNS, Ended, app, err_console, out_console
from kdtheory.datasets import load_images
from kdtheory.ledger import exit_code, verify
from kdtheory.progress import progress_bar
from kdtheory.records import SCHEMA, RunDirectory, as_document, read_json, read_ledger
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
    table = Table("", Column("", overflow="fold"), show_header=False, box=None, padding=(0, 2))
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
        "expected": claim.expect.name + (f", as literally read: {claim.reading}" if claim.reading else ""),
        "tuned on": f"seeds {', '.join(map(str, claim.tuned_on))}, never judged on" if claim.tuned_on else "",
        "scaled": claim.power.name if claim.power else "",
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
        if there := len(directory.finished(claims)) + len(directory.outdated):
            _say_what_is_there(there, len(directory.outdated))
        ledger = verify(claims, plan, jobs=jobs, alpha=alpha, directory=directory, progress=tell)
    if as_json:
        typer.echo(json.dumps(as_document(ledger), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print_ledger(ledger)
        out_console.print(f"recorded in {place}")
    raise typer.Exit(exit_code(ledger))


def _say_what_is_there(there: int, outdated: int) -> None:
    again = f"; {outdated} of them by other code than this, which are examined again" if outdated else ""
    err_console.print(f"{there} claims are examined already{again}", highlight=False)


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
    return sorted(unique, key=lambda claim: (claim.order, claim.name))


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
        if read_json(path).get("schema") != SCHEMA:
            continue
        ledger = read_ledger(path.parent)
        for found in ledger:
            if found.name == claim.name:
                where = f"{ledger.tier} tier, seed {ledger.seed}, {path.parent}"
                told = f"{found.verdict.name} ({where}). {found.verdict.value}\n{found.evidence.key_figure}"
                parts = found.parts.items()
                broken = "\n".join(
                    f"{name}: {part.broken_by}" if name else part.broken_by for name, part in parts
                )
                return {
                    "last verdict": told,
                    "broken by": broken,
                    "would notice": found.would_notice,
                    "calls": "\n".join(found.calls),
                }
    return {"last verdict": "never run here"}


def _coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def _print_ledger(ledger: Ledger) -> None:
    with_mutants, with_power = any(one.mutants for one in ledger), any(one.power for one in ledger)
    columns = ("§", Column("claim", overflow="fold"), "verdict", "control", "key figure")
    table = Table(*columns, title="kdtheory ledger")
    if with_mutants:
        table.add_column("mutants")
    if with_power:
        table.add_column("would notice")
    table.add_column("s", justify="right")
    for one in ledger:
        mark = f" [dim]{one.kind}[/]" if one.kind else ""
        mark += "" if one.as_expected else f" [bold red]≠ {one.expected.name}[/]"
        control = one.control.verdict.name + ("" if one.control.as_expected else " [bold red]≠[/]")
        cells = [
            one.section,
            one.name,
            _coloured(one.verdict.name) + mark,
            control,
            escape(one.evidence.key_figure),
        ]
        if with_mutants:
            cells.append(f"{one.mutants.killed}/{one.mutants.total}" if one.mutants else "")
        if with_power:
            cells.append(escape(one.would_notice))
        table.add_row(*cells, f"{one.seconds:.1f}")
    out_console.print(table)
    for line in _summary(ledger):
        out_console.print(line, highlight=False)


def _summary(ledger: Ledger) -> list[str]:
    counts = Counter(one.verdict for one in ledger)
    lines = [
        f"{counts[verdict]} {_coloured(verdict.name)}: {verdict.value}"
        for verdict in Verdict
        if counts[verdict]
    ]
    decisions = f"{ledger.decisions} sampled decisions of claims and controls"
    lines.append(f"family-wise error ≤ {ledger.alpha:g} over {decisions} (Holm 1979)")
    if refuted := Counter(one.kind for one in ledger if one.kind and one.as_expected):
        lines += [f"{refuted['erratum']} of the refuted as expected are misprints"]
        lines += [f"{refuted['reading']} {READ_LITERALLY}"] if refuted["reading"] else []
    if scored := [one.mutants for one in ledger if one.mutants]:
        killed, total = sum(one.killed for one in scored), sum(one.total for one in scored)
        unsure = sum(len(one.unsure) for one in scored)
        split = f"{killed - unsure} decided against, {unsure} only unsure"
        lines.append(f"mutation score {killed}/{total} ({killed / total:.0%}): {split}")
    otherwise = ", ".join(one.name for one in ledger.unexpected)
    lines.append(f"otherwise than expected: {otherwise}" if otherwise else "all as expected")
    return lines
